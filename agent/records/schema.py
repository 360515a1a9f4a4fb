"""The tables, and how a record becomes a row."""

import sqlite3
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Engine,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    delete,
    event,
    select,
    update,
)
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.engine import URL
from sqlalchemy.exc import DatabaseError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from agent.records.record import BOX_STOPPED, CallRecord, EventRecord, TurnRecord, to_text

VERSION = 1
BUSY_LIMIT_S = 2.0
"""How long a write waits for another process's lock."""

_METADATA = MetaData()
_VERSION = Table("schema_version", _METADATA, Column("version", Integer, primary_key=True))
CALLS = Table(
    "calls",
    _METADATA,
    Column("call_id", String, primary_key=True),
    Column("started_at", String, nullable=False, index=True),
    Column("cause", String),
    Column("record", JSON, nullable=False),
)
TURNS = Table(
    "turns",
    _METADATA,
    Column("call_id", String, primary_key=True),
    Column("turn", Integer, primary_key=True),
    Column("heard", String, nullable=False),
    Column("answer", String, nullable=False),
    Column("interrupted", Boolean, nullable=False),
    Column("record", JSON, nullable=False),
)
EVENTS = Table(
    "events",
    _METADATA,
    Column("id", Integer, primary_key=True),
    Column("call_id", String, nullable=False, index=True),
    Column("at", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("record", JSON, nullable=False),
)
HOLDERS = Table(
    "call_holders",
    _METADATA,
    Column("call_id", String, primary_key=True),
    Column("holder", String, nullable=False, index=True),
)
"""Which process a call under way is in; no row: over, or not known."""


class StoreError(Exception):
    """The file of call records cannot be used; the message says why, and what to do."""


def open_engine(path: Path, *, create: bool = True) -> Engine:
    """Connects to the SQLite file. Raises StoreError or SQLAlchemyError.

    ``create``: makes the folder, the file and the tables where they are missing; the owner alone
    may read them, since they hold what callers said. Raises OSError too.
    """
    if create:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            # SQLite gives the files beside it (-wal, -shm) the same mode.
            path.touch(mode=0o600)
    elif not path.is_file():
        raise StoreError(f"{path}: no call records yet; they begin with the first call")
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        poolclass=NullPool,
        connect_args={"timeout": BUSY_LIMIT_S},
    )
    event.listen(engine, "connect", _set_pragmas)
    if create:
        with engine.begin() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
            _METADATA.create_all(connection)
            _check_version(connection, path)
    return engine


def write(
    connection: Connection,
    records: Iterable[CallRecord | TurnRecord | EventRecord],
    holder: str | None = None,
) -> None:
    """Puts records in; a later record of the same call or turn replaces an earlier one.

    ``holder``: the process that calls which begin here are in; None: not known.
    """
    for record in records:
        if isinstance(record, TurnRecord):
            _put(connection, TURNS, _turn_row(record))
        elif isinstance(record, EventRecord):
            connection.execute(insert(EVENTS).values(_event_row(record)))
        elif record.cause is None:
            # A start that is written again after the end must not undo the end.
            row = insert(CALLS).values(_call_row(record))
            begun = connection.execute(row.on_conflict_do_nothing()).rowcount
            if begun and holder:
                _put(connection, HOLDERS, {"call_id": record.call_id, "holder": holder})
        else:
            _put(connection, CALLS, _call_row(record))
            connection.execute(delete(HOLDERS).where(HOLDERS.c.call_id == record.call_id))


def mark_unfinished(connection: Connection, before: datetime) -> int:
    """Gives calls begun before ``before`` that never ended their cause; returns how many.

    Calls of a known process are not its business: see ``end_orphans``.
    """
    unknown = HOLDERS.c.holder.is_(None) & (CALLS.c.started_at < to_text(before))
    return end_unfinished(connection, unknown)


def end_unfinished(connection: Connection, which: ColumnElement[bool]) -> int:
    """Gives those calls under way their cause; ``which`` may ask for the holder's columns."""
    rows = connection.execute(
        select(CALLS.c.call_id, CALLS.c.record)
        .outerjoin(HOLDERS, HOLDERS.c.call_id == CALLS.c.call_id)
        .where(CALLS.c.cause.is_(None), which)
    ).all()
    ended = 0
    for call_id, record in rows:
        # Its own process may have written the end since.
        still_open = update(CALLS).where(CALLS.c.call_id == call_id, CALLS.c.cause.is_(None))
        values = {"cause": BOX_STOPPED, "record": {**record, "cause": BOX_STOPPED}}
        ended += connection.execute(still_open.values(values)).rowcount
    return ended


def is_corrupt(error: Exception) -> bool:
    """Whether SQLite says that the file is damaged or is none of its own."""
    if not isinstance(error, DatabaseError) or not isinstance(error.orig, sqlite3.Error):
        return False
    name = getattr(error.orig, "sqlite_errorname", "")
    return name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB"))


def reason(error: Exception) -> str:
    """SQLite's own words, without the statement."""
    if isinstance(error, SQLAlchemyError) and getattr(error, "orig", None) is not None:
        # Of its subclasses only some declare it.
        return str(error.orig)  # type: ignore[attr-defined]
    return str(error)


def _put(connection: Connection, table: Table, row: dict[str, Any]) -> None:
    statement = insert(table).values(row)
    keys = [column.name for column in table.primary_key]
    changes = {name: statement.excluded[name] for name in row if name not in keys}
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=changes))


def _call_row(record: CallRecord) -> dict[str, Any]:
    return {
        "call_id": record.call_id,
        "started_at": to_text(record.started_at),
        "cause": record.cause,
        "record": record.to_json(),
    }


def _turn_row(record: TurnRecord) -> dict[str, Any]:
    return {
        "call_id": record.call_id,
        "turn": record.turn,
        "heard": record.heard,
        "answer": record.answer,
        "interrupted": record.interrupted,
        "record": record.to_json(),
    }


def _event_row(record: EventRecord) -> dict[str, Any]:
    return {
        "call_id": record.call_id,
        "at": to_text(record.at),
        "kind": record.kind,
        "record": record.to_json(),
    }


def _check_version(connection: Connection, path: Path) -> None:
    found = connection.execute(select(_VERSION.c.version)).scalar()
    if found is None:
        connection.execute(insert(_VERSION).values(version=VERSION))
    elif found != VERSION:
        raise StoreError(
            f"{path}: written by another version of Offhook (schema {found}, this one knows "
            f"{VERSION}); update Offhook, or name another file as `path` in [records]"
        )


def _set_pragmas(connection: sqlite3.Connection, _: object) -> None:
    connection.execute("PRAGMA synchronous=FULL")
    # SQLite's own knows the letters of English alone.
    connection.create_function("lower", 1, _lower, deterministic=True)


def _lower(text: str | None) -> str | None:
    return None if text is None else text.lower()
