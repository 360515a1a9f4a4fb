"""The database of call records: opening it, and writing to it."""

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Engine,
    Table,
    create_engine,
    delete,
    event,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL
from sqlalchemy.exc import DatabaseError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from agent.records.migrate import HEAD, KNOWN, migrate, version_of
from agent.records.record import BOX_STOPPED, CallRecord, EventRecord, TurnRecord, to_text
from agent.records.source import Source
from agent.records.tables import CALLS, COST_LINES, EVENTS, HOLDERS, OF_A_CALL, TURNS, USAGE

BUSY_LIMIT_S = 2.0
"""How long a write waits for another process's lock."""
SERVER_LIMIT_S = 10
"""How long a server may take to take a connection, or to acknowledge what it was sent."""
STATEMENT_LIMIT_S = 60
AT_ONCE = 500
"""Calls that are deleted in one statement."""


class StoreError(Exception):
    """The call records cannot be used; the message says why, and what to do."""


class NothingYet(StoreError):
    """There are no tables yet."""


def open_engine(where: Source | Path, *, create: bool = True) -> Engine:
    """Connects to the database, its tables of this version. Raises StoreError or SQLAlchemyError.

    ``create``: makes the folder, the file and the tables where they are missing, else raises
    NothingYet; the owner alone may read them, since they hold what callers said. Raises OSError
    too.
    """
    source = Source.of(where)
    if create:
        source.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if source.url is None and not source.path.exists():
            # SQLite gives the files beside it (-wal, -shm) the same mode.
            source.path.touch(mode=0o600)
    elif not source.exists:
        raise NothingYet(f"{source}: no call records yet; they begin with the first call")
    engine = _engine(source)
    try:
        _prepare(engine, source, create)
    except BaseException:
        engine.dispose()
        raise
    return engine


def write(
    connection: Connection,
    records: Iterable[CallRecord | TurnRecord | EventRecord],
    holder: str | None = None,
) -> None:
    """Puts records in; a later record of the same call or turn replaces an earlier one.

    What a call under way has come to never undoes its end. ``holder``: the process that calls
    under way are in; None: not known.
    """
    for record in records:
        if isinstance(record, TurnRecord):
            _put(connection, TURN, _turn_row(record))
        elif isinstance(record, EventRecord):
            _put(connection, EVENT, _event_row(record))
        elif record.cause is None:
            if _put(connection, UNDER_WAY, _call_row(record)) and holder:
                _put(connection, HELD, {"call_id": record.call_id, "holder": holder})
        else:
            _put(connection, CALL, _call_row(record))
            _put_amounts(connection, USAGE, _usage_rows(record.call_id, asdict(record.usage)))
            _put_amounts(connection, COST_LINES, _cost_rows(record))
            _clear(connection, HOLDERS, record.call_id)


def mark_unfinished(connection: Connection, before: datetime) -> int:
    """Gives calls begun before ``before`` that never ended their cause; returns how many.

    Calls of a known process are not its business: see ``end_orphans``.
    """
    unknown = HOLDERS.c.holder.is_(None) & (CALLS.c.started_at < before)
    return end_unfinished(connection, unknown)


def end_unfinished(connection: Connection, which: ColumnElement[bool]) -> int:
    """Gives those calls under way their cause; ``which`` may ask for the holder's columns.

    Each is as long, and used as much, as when it was last written: at the end of a turn.
    """
    rows = connection.execute(
        select(CALLS.c.call_id, CALLS.c.started_at, CALLS.c.record)
        .outerjoin(HOLDERS, HOLDERS.c.call_id == CALLS.c.call_id)
        .where(CALLS.c.cause.is_(None), which)
    ).all()
    ended = 0
    for call_id, started_at, record in rows:
        # Its own process may have written the end since.
        still_open = update(CALLS).where(CALLS.c.call_id == call_id, CALLS.c.cause.is_(None))
        known_s = record["usage"]["call_s"]
        ended_at = started_at + timedelta(seconds=known_s) if known_s else None
        whole = {**record, "cause": BOX_STOPPED, "ended_at": ended_at and to_text(ended_at)}
        values = {"cause": BOX_STOPPED, "ended_at": ended_at, "record": whole}
        if connection.execute(still_open.values(values)).rowcount:
            _put_amounts(connection, USAGE, _usage_rows(call_id, record["usage"]))
            ended += 1
    return ended


def delete_calls(connection: Connection, call_ids: Sequence[str]) -> int:
    """Takes everything that is kept of these calls away, but their sound; returns how many."""
    deleted = 0
    for first in range(0, len(call_ids), AT_ONCE):
        some = call_ids[first : first + AT_ONCE]
        for table in OF_A_CALL:
            found = connection.execute(delete(table).where(table.c.call_id.in_(some))).rowcount
            deleted += found if table is CALLS else 0
    return deleted


def is_corrupt(error: Exception) -> bool:
    """Whether SQLite says that the file is damaged or is none of its own."""
    if not isinstance(error, DatabaseError) or not isinstance(error.orig, sqlite3.Error):
        return False
    name = getattr(error.orig, "sqlite_errorname", "")
    return name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB"))


def reason(error: Exception) -> str:
    """The database's own words, without the statement; it never repeats a password."""
    if isinstance(error, SQLAlchemyError) and getattr(error, "orig", None) is not None:
        # Of its subclasses only some declare it.
        return " ".join(str(error.orig).split())  # type: ignore[attr-defined]
    return str(error)


# -- opening


@lru_cache(maxsize=32)
def _engine(source: Source) -> Engine:
    """One for each: it remembers its statements. Disposed of, it holds no connection."""
    return _file_engine(source.path) if source.url is None else _server_engine(source.url)


def _file_engine(path: Path) -> Engine:
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        poolclass=NullPool,
        connect_args={"timeout": BUSY_LIMIT_S},
    )
    event.listen(engine, "connect", _prepare_file)
    return engine


def _server_engine(url: URL) -> Engine:
    # A server that vanished must not hold a thread for the hours that TCP allows.
    limits = {
        "connect_timeout": SERVER_LIMIT_S,
        "tcp_user_timeout": SERVER_LIMIT_S * 1000,
        "keepalives_idle": SERVER_LIMIT_S,
        "application_name": "offhook",
        "options": f"-c lock_timeout={BUSY_LIMIT_S:.0f}s -c statement_timeout={STATEMENT_LIMIT_S}s",
    }
    return create_engine(url, connect_args=limits, pool_size=1, pool_pre_ping=True)


def _prepare(engine: Engine, source: Source, create: bool) -> None:
    if create and source.url is None:
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
    with engine.connect() as connection:
        found = version_of(connection)
    if found is None and not create:
        raise NothingYet(f"{source}: no call records yet; they begin with the first call")
    if found is not None and found not in KNOWN:
        raise StoreError(
            f"{source}: written by a later version of Offhook (schema {found}, this one knows up "
            f"to {HEAD}); update Offhook, or name other records as `path` or `url` in [records]"
        )
    if found != HEAD:
        try:
            with engine.begin() as connection:
                migrate(connection)
        except SQLAlchemyError:
            raise
        except Exception as error:  # whatever an old record makes of the steps
            raise StoreError(
                f"{source}: cannot be brought from schema {found} to {HEAD}, and is as it was: "
                f"{type(error).__name__}: {error}"
            ) from error


def _prepare_file(connection: sqlite3.Connection, _: object) -> None:
    connection.execute("PRAGMA synchronous=FULL")
    # SQLite's own knows the letters of English alone.
    connection.create_function("lower", 1, _lower, deterministic=True)


def _lower(text: str | None) -> str | None:
    return None if text is None else text.lower()


# -- writing


@dataclass(frozen=True, slots=True)
class Upsert:
    """How a row goes into a table: over one with the same key, or not at all."""

    table: Table
    keys: tuple[Column[Any], ...]
    over: bool = True
    where: ColumnElement[bool] | None = None
    """Over a row that is so, and no other."""

    def statement(self, dialect: str) -> sqlite.Insert | postgresql.Insert:
        """In the database's own words."""
        server = dialect == "postgresql"
        insert = postgresql.insert(self.table) if server else sqlite.insert(self.table)
        if not self.over:
            return insert.on_conflict_do_nothing(index_elements=self.keys)
        names = {key.name for key in self.keys}
        changes = {c.name: insert.excluded[c.name] for c in self.table.c if c.name not in names}
        return insert.on_conflict_do_update(
            index_elements=self.keys, set_=changes, where=self.where
        )


CALL = Upsert(CALLS, (CALLS.c.call_id,))
UNDER_WAY = Upsert(CALLS, CALL.keys, where=CALLS.c.cause.is_(None))
TURN = Upsert(TURNS, (TURNS.c.call_id, TURNS.c.turn))
EVENT = Upsert(EVENTS, (EVENTS.c.mark,), over=False)
HELD = Upsert(HOLDERS, (HOLDERS.c.call_id,))


@lru_cache
def _statement(upsert: Upsert, dialect: str) -> sqlite.Insert | postgresql.Insert:
    """Made once: making one takes longer than running it."""
    # Of an insert the count of rows is else lost with the cursor.
    return upsert.statement(dialect).execution_options(preserve_rowcount=True)


def _put(connection: Connection, upsert: Upsert, row: dict[str, Any]) -> bool:
    """Whether the row is there now."""
    return connection.execute(_statement(upsert, connection.dialect.name), row).rowcount > 0


def _put_amounts(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    """A call's rows, in the place of those that were there."""
    if rows:
        _clear(connection, table, rows[0]["call_id"])
        connection.execute(table.insert(), rows)


def _clear(connection: Connection, table: Table, call_id: str) -> None:
    connection.execute(delete(table).where(table.c.call_id == call_id))


def _call_row(record: CallRecord) -> dict[str, Any]:
    words = "door direction caller dialled trunk profile workflow tenant agent outcome recording"
    plain = "call_id started_at ended_at outcome_value_usd cause turns owned_usd"
    return {
        **{name: getattr(record, name) for name in (*words.split(), *plain.split())},
        "record": record.to_json(),
    }


def _usage_rows(call_id: str, usage: Mapping[str, float]) -> list[dict[str, Any]]:
    return [
        {"call_id": call_id, "quantity": quantity, "amount": amount}
        for quantity, amount in usage.items()
        if amount
    ]


def _cost_rows(record: CallRecord) -> list[dict[str, Any]]:
    return [
        {"call_id": record.call_id, "side": side, "bill": bill, "line": line, "usd": usd}
        for side, bills in (("owned", record.owned_lines), ("rented", record.rented_lines))
        for bill, lines in bills.items()
        for line, usd in (lines or {}).items()
    ]


def _turn_row(record: TurnRecord) -> dict[str, Any]:
    return {
        "call_id": record.call_id,
        "turn": record.turn,
        "heard": record.heard,
        "answer": record.answer,
        "interrupted": record.interrupted,
        "total_ms": record.trace.total_ms,
        "owned_usd": record.owned_usd,
        "record": record.to_json(),
    }


def _event_row(record: EventRecord) -> dict[str, Any]:
    whole = record.to_json()
    text = json.dumps(whole, sort_keys=True)
    return {
        "call_id": record.call_id,
        "at": record.at,
        "kind": record.kind,
        "record": whole,
        "mark": hashlib.sha256(text.encode()).hexdigest()[:32],
    }
