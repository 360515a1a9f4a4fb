"""Taking calls away for good: their sound, and all that the database has of them. Blocks.

The sound goes first: where the process dies in between, the record still says what is left to do,
and the next time finishes it. SQLite writes over what is deleted, in the file and in its log. A
call under way stays, since its end would be written again; so does one whose sound cannot be
removed.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from sqlalchemy import ColumnElement, Engine, select
from sqlalchemy.exc import SQLAlchemyError

from agent.records.record import CallRecord
from agent.records.schema import NothingYet, StoreError, delete_calls, open_engine, reason
from agent.records.source import Source
from agent.records.spill import Spill
from agent.records.tables import CALLS
from telephony.numbers import dialled_key

BATCH = 100
"""Calls of one transaction: the box writes its records in between."""
WHOLE_NUMBER = re.compile(r"\d{7,15}")
"""A shorter one is an extension, which another exchange has too."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A call in the database, as far as it matters for taking it away."""

    call_id: str
    recording: str
    """The path of its sound; empty: there is none."""
    over: bool


@dataclass(frozen=True, slots=True)
class Erased:
    """What became of calls that were to go."""

    calls: int = 0
    recordings: int = 0
    under_way: tuple[str, ...] = ()
    """The calls that are not over; they stay."""
    stuck: tuple[str, ...] = ()
    """Sound that could not be removed, and why; those calls stay."""
    wiped: bool = True
    """False: SQLite's log still holds them, because somebody is reading."""


def kept_of_caller(source: Source, caller: str) -> list[Kept]:
    """The calls from or to ``caller``, oldest first. Raises StoreError.

    A telephone number is the same however it is written, and whatever host it came from.
    """
    with _reading(source) as engine:
        if engine is None:
            return []
        with engine.connect() as connection:
            callers = connection.execute(select(CALLS.c.caller).distinct()).scalars().all()
    same = [written for written in callers if is_same_caller(written, caller)]
    return _kept(source, CALLS.c.caller.in_(same)) if same else []


def kept_before(source: Source, before: datetime) -> list[Kept]:
    """The calls that began before that, oldest first. Raises StoreError."""
    return _kept(source, CALLS.c.started_at < before)


def kept_named(source: Source, call_ids: Sequence[str]) -> list[Kept]:
    """Those of these calls that there are. Raises StoreError."""
    some = (call_ids[first : first + BATCH] for first in range(0, len(call_ids), BATCH))
    return [kept for names in some for kept in _kept(source, CALLS.c.call_id.in_(names))]


def with_sound(calls: Sequence[Kept], audio: Path | None) -> list[Kept]:
    """These, each with its file in ``audio`` where its record names none.

    The process that recorded it may have died before that was written.
    """
    if audio is None:
        return list(calls)
    return [
        replace(kept, recording=str(path))
        if not kept.recording and (path := audio / f"{kept.call_id}.wav").is_file()
        else kept
        for kept in calls
    ]


def is_same_caller(written: str, asked: str) -> bool:
    """Whether both are one telephone number, or the same text."""
    if written == asked:
        return True
    keys = dialled_key(written), dialled_key(asked)
    return keys[0] == keys[1] and WHOLE_NUMBER.fullmatch(keys[0]) is not None


def erase(
    source: Source, calls: Sequence[Kept], go_on: Callable[[], bool] = lambda: True
) -> Erased:
    """Takes these calls away. Raises StoreError.

    ``go_on`` is asked between batches, and ends it early.
    """
    over = [call for call in calls if call.over]
    erased = Erased(under_way=tuple(call.call_id for call in calls if not call.over))
    with _reading(source) as engine:
        if engine is None or not over:
            return erased
        for first in range(0, len(over), BATCH):
            if not go_on():
                break
            done = _erase_batch(engine, over[first : first + BATCH])
            erased = replace(
                erased,
                calls=erased.calls + done.calls,
                recordings=erased.recordings + done.recordings,
                stuck=erased.stuck + done.stuck,
            )
        return replace(erased, wiped=_wipe(engine))


def waiting_with(source: Source, caller: str | None, calls: Sequence[Kept]) -> list[Path]:
    """Files of records that wait to be written, with something of these calls in them.

    ``caller``: or of this one's calls that the database does not have yet.
    """
    names = {call.call_id for call in calls}
    spill = Spill(source.path)
    return [
        path
        for path in spill.files()
        if any(
            record.call_id in names
            or (
                caller is not None
                and isinstance(record, CallRecord)
                and is_same_caller(record.caller, caller)
            )
            for record in spill.read(path)
        )
    ]


def damaged_copies(source: Source) -> list[Path]:
    """What was set aside of files that were damaged: it holds calls, and nothing reads it."""
    return sorted(source.path.parent.glob(f"{source.path.name}.damaged-*"))


@contextmanager
def _reading(source: Source) -> Iterator[Engine | None]:
    """The database; None where there is none yet. Its errors become StoreError."""
    engine = None
    try:
        try:
            engine = open_engine(source, create=False)
        except NothingYet:
            pass
        yield engine
    except SQLAlchemyError as error:
        raise StoreError(f"{source}: call records cannot be deleted: {reason(error)}") from error
    finally:
        if engine is not None:
            engine.dispose()


def _kept(source: Source, which: ColumnElement[bool]) -> list[Kept]:
    query = select(CALLS.c.call_id, CALLS.c.recording, CALLS.c.cause).where(which)
    with _reading(source) as engine:
        if engine is None:
            return []
        with engine.connect() as connection:
            rows = connection.execute(query.order_by(CALLS.c.started_at, CALLS.c.call_id)).all()
    return [Kept(call_id, recording, cause is not None) for call_id, recording, cause in rows]


def _erase_batch(engine: Engine, calls: Sequence[Kept]) -> Erased:
    done: list[str] = []
    stuck: list[str] = []
    recordings = 0
    for call in calls:
        try:
            recordings += _remove_sound(call)
        except OSError as error:
            stuck.append(f"{call.recording}: {error.strerror}")
        else:
            done.append(call.call_id)
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA secure_delete=ON")
        deleted = delete_calls(connection, done)
    return Erased(deleted, recordings, stuck=tuple(stuck))


def _remove_sound(call: Kept) -> bool:
    """Whether there was any. Raises OSError."""
    path = Path(call.recording)
    # A record that was tampered with must not name any file of the machine's.
    if path.name != f"{call.call_id}.wav":
        return False
    try:
        path.unlink()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _wipe(engine: Engine) -> bool:
    """Moves SQLite's log into its file, over what was deleted there; whether all of it went."""
    if engine.dialect.name != "sqlite":
        return True
    with engine.connect() as connection:
        busy, *_ = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()
    return not busy
