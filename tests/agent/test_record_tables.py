"""The tables of call records: made by the migrations, and old files brought along."""

import json
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, select
from test_records import BEGAN, CALL, ENDED, LIMIT_S, TURN

from agent.records.history import calls, events, find_call, recent_calls, turns
from agent.records.migrate import FOLDER, HEAD, KNOWN
from agent.records.record import BOX_STOPPED, EventRecord
from agent.records.schema import StoreError, delete_calls, mark_unfinished, open_engine, write
from agent.records.store import CallStore
from agent.records.tables import COST_LINES, METADATA, OF_A_CALL, TRANSCRIPT, USAGE
from agent.usage import Usage

EVENT = EventRecord("call1", BEGAN, "key", {"key": "5"})
LINES = {
    "marginal": {"stt": Decimal("0.000000000001"), "llm": None},
    "at capacity": None,
}
PRICED = replace(ENDED, owned_lines=LINES, rented_lines={"Vapi": {"tts": Decimal("0.08")}})
VERSION_1 = """
CREATE TABLE schema_version (version INTEGER NOT NULL, PRIMARY KEY (version));
INSERT INTO schema_version VALUES (1);
CREATE TABLE calls (call_id VARCHAR NOT NULL, started_at VARCHAR NOT NULL, cause VARCHAR,
  record JSON NOT NULL, PRIMARY KEY (call_id));
CREATE INDEX ix_calls_started_at ON calls (started_at);
CREATE TABLE turns (call_id VARCHAR NOT NULL, turn INTEGER NOT NULL, heard VARCHAR NOT NULL,
  answer VARCHAR NOT NULL, interrupted BOOLEAN NOT NULL, record JSON NOT NULL,
  PRIMARY KEY (call_id, turn));
"""
ALSO_OF_VERSION_1 = """
CREATE TABLE events (id INTEGER NOT NULL, call_id VARCHAR NOT NULL, at VARCHAR NOT NULL,
  kind VARCHAR NOT NULL, record JSON NOT NULL, PRIMARY KEY (id));
CREATE INDEX ix_events_call_id ON events (call_id);
CREATE TABLE call_holders (call_id VARCHAR NOT NULL, holder VARCHAR NOT NULL,
  PRIMARY KEY (call_id));
CREATE INDEX ix_call_holders_holder ON call_holders (holder);
"""
"""What the first files of that version do not have."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.sqlite3"


@pytest.fixture
def connection(path: Path) -> Iterator[Connection]:
    engine = open_engine(path)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def old_file(path: Path, script: str) -> None:
    """A file as version 1 left it, with a call that is over and one that is not."""
    under_way = replace(CALL, call_id="open", started_at=BEGAN + timedelta(hours=1)).to_json()
    with closing(sqlite3.connect(path)) as file, file:
        file.executescript(VERSION_1 + script)
        for call in (PRICED.to_json(), under_way):
            row = (call["call_id"], call["started_at"], call["cause"], json.dumps(call))
            file.execute("INSERT INTO calls VALUES (?, ?, ?, ?)", row)
        # As the oldest were.
        oldest = {k: v for k, v in ENDED.to_json().items() if k not in ("trunk", "owned_lines")}
        row = ("old", "2026-01-01T00:00:00.000000+00:00", "x", {**oldest, "call_id": "old"})
        file.execute("INSERT INTO calls VALUES (?, ?, ?, ?)", (*row[:3], json.dumps(row[3])))
        turn = ("call1", 1, TURN.heard, TURN.answer, False, json.dumps(TURN.to_json()))
        file.execute("INSERT INTO turns VALUES (?, ?, ?, ?, ?, ?)", turn)
        if script:
            event = EVENT.to_json()
            row = ("call1", event["at"], "key", json.dumps(event))
            for number in (1, 2):  # twice the same, as after a crash at the wrong moment
                file.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?)", (number, *row))
            file.execute("INSERT INTO call_holders VALUES ('open', 'gone')")


@pytest.mark.parametrize("script", ["", ALSO_OF_VERSION_1])
def test_a_file_of_version_1_is_brought_along(path: Path, script: str) -> None:
    old_file(path, script)
    # A reader suffices; the box does the same.
    assert [call.call_id for call in calls(path)] == ["old", "call1", "open"]
    assert list(calls(path, trunk="carrier")) == [PRICED]
    assert find_call(path, "call1") == (PRICED, [TURN])
    assert events(path, "call1") == ([EVENT] if script else [])
    with closing(sqlite3.connect(path)) as file:
        tables = {
            name for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        }
        assert not {name for name in tables if name.endswith("_1")}
        # An Offhook of that time must see that the file is not its own.
        assert file.execute("SELECT version FROM schema_version").fetchall() == [(2,)]
        assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        lines = file.execute("SELECT bill, line, usd FROM cost_lines ORDER BY 1, 2").fetchall()
        assert lines == [
            ("Vapi", "tts", "0.08"),
            ("marginal", "llm", None),
            ("marginal", "stt", "0.000000000001"),
        ]
    store = CallStore(path, retry_s=0.05)
    assert store.flush(LIMIT_S)
    assert {call.call_id: call.cause for call in store.recent_calls(5)}["open"] == BOX_STOPPED
    store.close(LIMIT_S)


def test_a_migration_that_fails_changes_nothing(path: Path) -> None:
    old_file(path, ALSO_OF_VERSION_1)
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("UPDATE turns SET record = 'no JSON'")
        before = list(file.iterdump())
    with pytest.raises(StoreError, match="from schema 1 to 2, and is as it was: JSONDecodeError"):
        open_engine(path)
    with closing(sqlite3.connect(path)) as file:
        assert list(file.iterdump()) == before


def test_the_migrations_make_the_tables(connection: Connection) -> None:
    context = MigrationContext.configure(connection)
    others = {"alembic_version", "schema_version"}
    changes = [c for c in compare_metadata(context, METADATA) if c[0] != "modify_type"]
    assert [c for c in changes if not (c[0] == "remove_table" and c[1].name in others)] == []


def test_the_last_migration_is_the_version_that_is_known() -> None:
    scripts = ScriptDirectory(FOLDER)
    assert scripts.get_heads() == [HEAD]
    assert {script.revision for script in scripts.walk_revisions()} == set(KNOWN)


def test_a_second_opening_migrates_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_engine(path).dispose()
    monkeypatch.setattr("agent.records.schema.migrate", lambda connection: pytest.fail("again"))
    open_engine(path).dispose()


def test_what_a_call_used_and_cost_has_rows(connection: Connection) -> None:
    write(connection, [replace(PRICED, cause=None), PRICED])
    amounts = {q: a for q, a in connection.execute(select(USAGE.c.quantity, USAGE.c.amount))}
    assert amounts == {"call_s": 61.5, "prompt_tokens": 12.0}
    lines = connection.execute(
        select(COST_LINES.c.side, COST_LINES.c.line, COST_LINES.c.usd).order_by("side", "line")
    ).all()
    marginal, vapi = LINES["marginal"], Decimal("0.08")
    assert marginal
    assert lines == [
        ("owned", "llm", None),
        ("owned", "stt", marginal["stt"]),
        ("rented", "tts", vapi),
    ]


def test_the_transcript_has_a_row_for_what_one_side_said(connection: Connection) -> None:
    write(connection, [TURN, replace(TURN, turn=0, heard="", answer="Hello.")])
    rows = connection.execute(select(TRANSCRIPT).order_by(TRANSCRIPT.c.turn)).all()
    assert rows[0] == ("call1", 0, "agent", "Hello.")
    assert sorted(rows[1:]) == [("call1", 1, "agent", "hi"), ("call1", 1, "caller", "hello?")]


def test_a_call_that_was_cut_off_keeps_what_it_had_come_to(connection: Connection) -> None:
    so_far = replace(CALL, usage=Usage(call_s=12.5, generated_tokens=30), turns=2)
    write(connection, [CALL, so_far], holder=None)
    assert mark_unfinished(connection, BEGAN + timedelta(days=1)) == 1
    amounts = connection.execute(
        select(USAGE.c.quantity, USAGE.c.amount).order_by("quantity")
    ).all()
    assert amounts == [("call_s", 12.5), ("generated_tokens", 30.0)]
    # A word from before must not open it again.
    write(connection, [CALL])
    connection.commit()
    path = Path(str(connection.engine.url.database))
    ended = replace(so_far, cause=BOX_STOPPED, ended_at=BEGAN + timedelta(seconds=12.5))
    assert recent_calls(path, 5) == [ended]


def test_deleted_is_deleted_everywhere(connection: Connection) -> None:
    ours = replace(PRICED, call_id="ours")
    write(connection, [PRICED, TURN, EVENT, ours, replace(TURN, call_id="ours")])
    write(connection, [replace(CALL, call_id="open")], holder="process")
    assert delete_calls(connection, ["call1", "open"]) == 2
    left = {t.name: set(connection.execute(select(t.c.call_id)).scalars()) for t in OF_A_CALL}
    assert left == {
        **{table.name: {"ours"} for table in (*METADATA.tables.values(),)},
        "events": set(),
        "call_holders": set(),
    }


def test_a_record_that_fits_nowhere_holds_up_no_other(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = CallStore(path, retry_s=0.05)
    store.start_call(CALL)
    store.add_turn(replace(TURN, turn=2**70))
    store.add_turn(TURN)
    assert store.flush(LIMIT_S)
    store.close(LIMIT_S)
    assert turns(path, "call1") == [TURN]
    (kept,) = path.parent.glob("*.damaged-records.jsonl")
    assert json.loads(kept.read_text())["record"]["turn"] == 2**70
    said = [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR]
    assert len(said) == 1 and "call call1: a TurnRecord cannot be written" in said[0]
