"""Reading call records; blocks, and changes nothing that was recorded."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Select, exists, or_, select
from sqlalchemy.exc import SQLAlchemyError

from agent.records.record import CallRecord, EventRecord, TurnRecord
from agent.records.schema import NothingYet, StoreError, open_engine, reason
from agent.records.source import Source, records_source
from agent.records.tables import CALLS, EVENTS, TURNS

__all__ = ["Source", "calls", "events", "find_call", "recent_calls", "records_source", "turns"]

AT_ONCE = 500
"""Rows that are in memory while many are read."""


def calls(
    source: Source | Path,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    caller: str | None = None,
    profile: str | None = None,
    workflow: str | None = None,
    outcome: str | None = None,
    trunk: str | None = None,
    tenant: str | None = None,
    door: str | None = None,
    text: str | None = None,
    limit: int | None = None,
    newest_first: bool = False,
) -> Iterator[CallRecord]:
    """The calls that began from ``since`` on and before ``until``, and are as asked for.

    None: any; an empty text is asked for as it is (``caller=""``: withheld). ``text`` is looked
    for in what both sides said and in the numbers, in small letters or large. Before anything is
    recorded there are none. Raises StoreError, at the first call that is asked for.
    """
    query = select(CALLS.c.record)
    if since is not None:
        query = query.where(CALLS.c.started_at >= since)
    if until is not None:
        query = query.where(CALLS.c.started_at < until)
    asked = {
        "caller": caller,
        "profile": profile,
        "workflow": workflow,
        "outcome": outcome,
        "trunk": trunk,
        "tenant": tenant,
        "door": door,
    }
    for name, value in asked.items():
        if value is not None:
            query = query.where(CALLS.c[name] == value)
    if text:
        columns = (TURNS.c.heard, TURNS.c.answer, CALLS.c.caller, CALLS.c.dialled)
        heard, answer, *numbers = (each.icontains(text, autoescape=True) for each in columns)
        said = exists().where(TURNS.c.call_id == CALLS.c.call_id, or_(heard, answer))
        query = query.where(or_(said, *numbers))
    order = (CALLS.c.started_at, CALLS.c.call_id)
    query = query.order_by(*(each.desc() if newest_first else each for each in order))
    for row in _rows(source, query.limit(limit), missing_ok=True):
        yield CallRecord.from_json(row)


def turns(source: Source | Path, call_id: str) -> list[TurnRecord]:
    """A call's turns in order, by its whole name. Raises StoreError."""
    query = select(TURNS.c.record).where(TURNS.c.call_id == call_id).order_by(TURNS.c.turn)
    return [TurnRecord.from_json(row) for row in _rows(source, query, missing_ok=True)]


def events(source: Source | Path, call_id: str) -> list[EventRecord]:
    """What happened in a call besides its turns, in order. Raises StoreError."""
    query = select(EVENTS.c.record).where(EVENTS.c.call_id == call_id)
    rows = _rows(source, query.order_by(EVENTS.c.at, EVENTS.c.id), missing_ok=True)
    return [EventRecord.from_json(row) for row in rows]


def recent_calls(source: Source | Path, limit: int) -> list[CallRecord]:
    """The latest calls, latest first. Raises StoreError, also where nothing is recorded yet."""
    query = select(CALLS.c.record).order_by(CALLS.c.started_at.desc()).limit(limit)
    return [CallRecord.from_json(row) for row in _rows(source, query)]


def find_call(source: Source | Path, call_id: str) -> tuple[CallRecord, list[TurnRecord]] | None:
    """One call and its turns in order; None where there is none. Raises StoreError.

    ``call_id`` may be cut short where only one call begins so.
    """
    begins = (
        select(CALLS.c.record)
        .where(CALLS.c.call_id.startswith(call_id, autoescape=True))
        .order_by(CALLS.c.call_id)
    )
    found = [CallRecord.from_json(row) for row in _rows(source, begins.limit(2))]
    exact = [call for call in found if call.call_id == call_id] or found
    if not call_id or not found:
        return None
    if len(exact) > 1:
        raise StoreError(f"several calls begin with {call_id!r}; give more of it")
    (call,) = exact
    return call, turns(source, call.call_id)


def _rows(
    source: Source | Path, query: Select[tuple[Any]], *, missing_ok: bool = False
) -> Iterator[Any]:
    source = Source.of(source)
    try:
        engine = open_engine(source, create=False)
    except NothingYet:
        if missing_ok:
            return
        raise
    except SQLAlchemyError as error:
        raise _unreadable(source, error) from error
    try:
        with engine.connect() as connection:
            yield from connection.execution_options(yield_per=AT_ONCE).execute(query).scalars()
    except SQLAlchemyError as error:
        raise _unreadable(source, error) from error
    finally:
        engine.dispose()


def _unreadable(source: Source, error: SQLAlchemyError) -> StoreError:
    return StoreError(f"{source}: call records cannot be read: {reason(error)}")
