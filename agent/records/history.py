"""Reading call records; blocks, and changes nothing."""

from pathlib import Path
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.exc import SQLAlchemyError

from agent.records.record import CallRecord, TurnRecord
from agent.records.schema import CALLS, TURNS, StoreError, open_engine, reason


def recent_calls(path: Path, limit: int) -> list[CallRecord]:
    """The latest calls, latest first. Raises StoreError."""
    query = select(CALLS.c.record).order_by(CALLS.c.started_at.desc()).limit(limit)
    return [CallRecord.from_json(row) for row in _rows(path, query)]


def find_call(path: Path, call_id: str) -> tuple[CallRecord, list[TurnRecord]] | None:
    """One call and its turns in order; None where there is none. Raises StoreError.

    ``call_id`` may be cut short where only one call begins so.
    """
    begins = (
        select(CALLS.c.record)
        .where(CALLS.c.call_id.startswith(call_id, autoescape=True))
        .order_by(CALLS.c.call_id)
    )
    calls = [CallRecord.from_json(row) for row in _rows(path, begins.limit(2))]
    exact = [call for call in calls if call.call_id == call_id] or calls
    if not call_id or not calls:
        return None
    if len(exact) > 1:
        raise StoreError(f"several calls begin with {call_id!r}; give more of it")
    (call,) = exact
    turns = select(TURNS.c.record).where(TURNS.c.call_id == call.call_id).order_by(TURNS.c.turn)
    return call, [TurnRecord.from_json(row) for row in _rows(path, turns)]


def _rows(path: Path, query: Select[tuple[Any]]) -> list[Any]:
    engine = open_engine(path, create=False)
    try:
        with engine.connect() as connection:
            return list(connection.execute(query).scalars())
    except SQLAlchemyError as error:
        raise StoreError(f"{path}: call records cannot be read: {reason(error)}") from error
    finally:
        engine.dispose()
