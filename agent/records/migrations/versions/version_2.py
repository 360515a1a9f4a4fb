"""A column for whatever is asked for, usage and cost lines as tables, the transcript as a view.

On SQLite, the one database that has version 1, its rows move over; of each, what the old record
does not say stays empty.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "2"
down_revision = "1"

AT_ONCE = 500
OLD_INDEXES = ("ix_calls_started_at", "ix_events_call_id", "ix_call_holders_holder")
Rows = Iterator[tuple[str, dict[str, Any]]]


def upgrade() -> None:
    """Both databases end alike."""
    connection = op.get_bind()
    old = connection.dialect.name == "sqlite"
    if old:
        for name in OLD_INDEXES:
            op.execute(f"DROP INDEX IF EXISTS {name}")
        for name in ("calls", "turns", "events", "call_holders"):
            op.rename_table(name, f"{name}_1")
    tables = _create()
    if old:
        _move(connection, tables, "calls_1", _of_call)
        _move(connection, tables, "turns_1", _of_turn)
        _move(connection, tables, "events_1", _of_event)
        op.execute("INSERT INTO call_holders SELECT call_id, holder FROM call_holders_1")
        for name in ("calls", "turns", "events", "call_holders"):
            op.drop_table(f"{name}_1")
        # An Offhook that knows version 1 alone reads this, and leaves the file as it is.
        op.execute("DELETE FROM schema_version")
        op.execute("INSERT INTO schema_version VALUES (2)")


def _create() -> dict[str, sa.Table]:
    moment = sa.Text().with_variant(sa.TIMESTAMP(timezone=True), "postgresql")
    usd = sa.Text().with_variant(sa.Numeric(), "postgresql")
    words = "door direction caller dialled trunk profile workflow tenant agent outcome"
    made = (
        op.create_table(
            "calls",
            sa.Column("call_id", sa.Text, primary_key=True),
            sa.Column("started_at", moment, nullable=False),
            sa.Column("ended_at", moment),
            *(sa.Column(name, sa.Text, nullable=False) for name in words.split()),
            sa.Column("outcome_value_usd", usd),
            sa.Column("cause", sa.Text),
            sa.Column("turns", sa.Integer, nullable=False),
            sa.Column("owned_usd", usd),
            sa.Column("recording", sa.Text, nullable=False),
            sa.Column("record", sa.JSON, nullable=False),
        ),
        op.create_table(
            "turns",
            sa.Column("call_id", sa.Text, primary_key=True),
            sa.Column("turn", sa.Integer, primary_key=True, autoincrement=False),
            sa.Column("heard", sa.Text, nullable=False),
            sa.Column("answer", sa.Text, nullable=False),
            sa.Column("interrupted", sa.Boolean, nullable=False),
            sa.Column("total_ms", sa.Float),
            sa.Column("owned_usd", usd),
            sa.Column("record", sa.JSON, nullable=False),
        ),
        op.create_table(
            "usage",
            sa.Column("call_id", sa.Text, primary_key=True),
            sa.Column("quantity", sa.Text, primary_key=True),
            sa.Column("amount", sa.Float, nullable=False),
        ),
        op.create_table(
            "cost_lines",
            sa.Column("call_id", sa.Text, primary_key=True),
            sa.Column("side", sa.Text, primary_key=True),
            sa.Column("bill", sa.Text, primary_key=True),
            sa.Column("line", sa.Text, primary_key=True),
            sa.Column("usd", usd),
        ),
        op.create_table(
            "events",
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("call_id", sa.Text, nullable=False),
            sa.Column("at", moment, nullable=False),
            sa.Column("kind", sa.Text, nullable=False),
            sa.Column("record", sa.JSON, nullable=False),
            sa.Column("mark", sa.Text, nullable=False, unique=True),
        ),
        op.create_table(
            "call_holders",
            sa.Column("call_id", sa.Text, primary_key=True),
            sa.Column("holder", sa.Text, nullable=False),
        ),
    )
    op.create_index("ix_calls_started_at", "calls", ["started_at"])
    op.create_index("ix_calls_caller", "calls", ["caller", "started_at"])
    under_way = sa.text("cause IS NULL")
    op.create_index(
        "ix_calls_under_way",
        "calls",
        ["call_id"],
        sqlite_where=under_way,
        postgresql_where=under_way,
    )
    op.create_index("ix_events_call_id", "events", ["call_id"])
    op.create_index("ix_call_holders_holder", "call_holders", ["holder"])
    op.execute(
        "CREATE VIEW transcript (call_id, turn, who, text) AS "
        "SELECT call_id, turn, 'caller', heard FROM turns WHERE heard <> '' UNION ALL "
        "SELECT call_id, turn, 'agent', answer FROM turns WHERE answer <> ''"
    )
    return {table.name: table for table in made}


def _move(
    connection: sa.Connection,
    tables: dict[str, sa.Table],
    old: str,
    rows_of: Callable[[dict[str, Any], dict[str, Any]], Rows],
) -> None:
    for part in connection.execute(sa.text(f"SELECT * FROM {old}")).mappings().partitions(AT_ONCE):
        rows: dict[str, list[dict[str, Any]]] = {}
        for row in part:
            for name, values in rows_of(dict(row), json.loads(row["record"])):
                rows.setdefault(name, []).append(values)
        for name, several in rows.items():
            insert = tables[name].insert()
            if name == "events":
                insert = insert.prefix_with("OR IGNORE")
            connection.execute(insert, several)


def _of_call(row: dict[str, Any], record: dict[str, Any]) -> Rows:
    call_id = row["call_id"]
    words = ("door", "caller", "dialled", "trunk", "profile", "workflow", "tenant", "agent")
    yield (
        "calls",
        {
            **{name: record.get(name) or "" for name in (*words, "outcome", "recording")},
            "direction": record.get("direction") or "inbound",
            **{name: record.get(name) for name in ("ended_at", "outcome_value_usd", "owned_usd")},
            "turns": record.get("turns") or 0,
            "call_id": call_id,
            "started_at": row["started_at"],
            "cause": row["cause"],
            "record": record,
        },
    )
    for quantity, amount in (record.get("usage") or {}).items():
        if amount:
            yield "usage", {"call_id": call_id, "quantity": quantity, "amount": amount}
    for side in ("owned", "rented"):
        for bill, lines in (record.get(f"{side}_lines") or {}).items():
            for line, usd in (lines or {}).items():
                about = {"call_id": call_id, "side": side, "bill": bill}
                yield "cost_lines", {**about, "line": line, "usd": usd}


def _of_turn(row: dict[str, Any], record: dict[str, Any]) -> Rows:
    trace = record.get("trace") or {}
    spoken_s, sent_s = trace.get("speech_end_s"), trace.get("first_packet_s")
    total_ms = None if spoken_s is None or sent_s is None else (sent_s - spoken_s) * 1000
    yield (
        "turns",
        {
            **{name: row[name] for name in ("call_id", "turn", "heard", "answer")},
            "interrupted": bool(row["interrupted"]),
            "total_ms": total_ms,
            "owned_usd": record.get("owned_usd"),
            "record": record,
        },
    )


def _of_event(row: dict[str, Any], record: dict[str, Any]) -> Rows:
    text = json.dumps(record, sort_keys=True)
    values = {name: row[name] for name in ("call_id", "at", "kind")}
    mark = hashlib.sha256(text.encode()).hexdigest()[:32]
    yield "events", {**values, "record": record, "mark": mark}
