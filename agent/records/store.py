"""Writing call records without ever making a call wait.

Records are queued in memory and written by a thread of its own. While the database refuses
them (full disk, read-only, locked, a server out of reach), each is also appended to a file of
JSON lines, beside SQLite's file or in the temporary folder, and all are tried again every few
seconds; the database takes them in order once it can, also after a restart. The fault is logged
once, not a record.

The queue holds ``limit`` records. Beyond that the oldest leave memory: none is lost that the
file of JSON lines took, and the others are counted in the log.
"""

import fcntl
import logging
import threading
from collections import deque
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from sqlalchemy import Engine
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError, StatementError

from agent.records import history
from agent.records.holder import end_orphans, holder_of
from agent.records.record import CallRecord, EventRecord, TurnRecord
from agent.records.schema import (
    StoreError,
    is_corrupt,
    mark_unfinished,
    open_engine,
    reason,
    write,
)
from agent.records.source import Source
from agent.records.spill import Record, Spill

log = logging.getLogger(__name__)


Batch = tuple[list[Record], str | None]
"""Records, and the holder of the calls among them that are under way."""


class CallStore:
    """The box's call records. Its methods may be called from any thread; see each for blocking."""

    def __init__(self, where: Source | Path, *, limit: int = 10_000, retry_s: float = 5.0) -> None:
        """Never fails: where the database cannot be opened, records wait."""
        self.source = Source.of(where)
        path = self.source.path
        self._limit = limit
        self._retry_s = retry_s
        self._opened_at = datetime.now(UTC)
        self._spill = Spill(path)
        self._holder = holder_of(self.source)
        self._engine: Engine | None = None
        self._lock_file: IO[str] | None = None
        self._changed = threading.Condition()
        self._queue: deque[Record] = deque()
        """Not seen by the writer yet."""
        self._waiting: deque[Record] = deque()
        """Refused by the database, and tried again."""
        self._spilled = 0
        """How many at the left of ``_waiting`` are in a file of JSON lines too."""
        self._on_disk = False
        """Whether this process has a file of JSON lines."""
        self._is_owner = False
        """Whether this process was the first at the file."""
        self._busy = True
        self._failing = False
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="call-records", daemon=True)
        self._thread.start()

    def start_call(self, record: CallRecord) -> None:
        """Records that a call began. Returns at once."""
        self._put(record)

    def update_call(self, record: CallRecord) -> None:
        """Records what a call under way has come to so far. Returns at once."""
        self._put(record)

    def add_turn(self, record: TurnRecord) -> None:
        """Records a turn. Returns at once."""
        self._put(record)

    def add_event(self, record: EventRecord) -> None:
        """Records something that happened in a call. Returns at once."""
        self._put(record)

    def end_call(self, record: CallRecord) -> None:
        """Records how a call ended. Returns at once."""
        self._put(record)

    def flush(self, timeout_s: float) -> bool:
        """Blocks until all is written or refused; whether the database has all of it."""
        with self._changed:
            settled = self._changed.wait_for(lambda: not (self._queue or self._busy), timeout_s)
            return settled and not self._waiting

    def close(self, timeout_s: float = 5.0) -> None:
        """Tries once more what waits, then stops. Blocks up to ``timeout_s``."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            log.error("call records: still writing to %s after %g s", self.source, timeout_s)

    @property
    def failing(self) -> bool:
        """Whether the database refuses records at present."""
        return self._failing

    def recent_calls(self, limit: int) -> list[CallRecord]:
        """The latest calls, latest first, those that wait to be written included. Blocks."""
        calls = {call.call_id: call for call in self._stored_calls(limit)}
        for record in self._in_memory():
            if isinstance(record, CallRecord) and _is_news(record, calls.get(record.call_id)):
                calls[record.call_id] = record
        return sorted(calls.values(), key=lambda call: call.started_at, reverse=True)[:limit]

    def call(self, call_id: str) -> tuple[CallRecord, list[TurnRecord]] | None:
        """One call and its turns in order; None where there is none. Blocks."""
        try:
            stored = history.find_call(self.source, call_id)
        except StoreError as error:
            log.warning("%s", error)
            stored = None
        call, turns = (stored[0], {t.turn: t for t in stored[1]}) if stored else (None, {})
        for record in self._in_memory():
            if record.call_id != call_id:
                continue
            if isinstance(record, TurnRecord):
                turns[record.turn] = record
            elif isinstance(record, CallRecord) and _is_news(record, call):
                call = record
        return (call, [turns[number] for number in sorted(turns)]) if call else None

    # -- any thread

    def _put(self, record: Record) -> None:
        with self._changed:
            self._queue.append(record)
            if len(self._queue) > self._limit:
                self._queue.popleft()
                log.error("call records: %d wait to be written; dropped the oldest", self._limit)
            self._changed.notify_all()

    def _stored_calls(self, limit: int) -> list[CallRecord]:
        try:
            return history.recent_calls(self.source, limit)
        except StoreError as error:
            log.debug("%s", error)
            return []

    def _in_memory(self) -> list[Record]:
        with self._changed:
            return [*self._waiting, *self._queue]

    # -- the writer's own thread

    def _run(self) -> None:
        closing = False
        while True:
            self._write()
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                if closing and not self._queue:
                    break
                self._changed.wait_for(
                    lambda: bool(self._queue) or self._closing,
                    self._retry_s if self._failing else None,
                )
                closing = self._closing
                self._busy = True
        unsafe = len(self._waiting) - self._spilled
        if unsafe:
            log.error("call records: %d lost: no disk took them before the box stopped", unsafe)
        self._let_go()
        self._holder.release()
        if self._lock_file:
            self._lock_file.close()

    def _write(self) -> None:
        with self._changed:
            self._waiting.extend(self._queue)
            self._queue.clear()
        try:
            try:
                self._write_waiting()
            except SQLAlchemyError as error:
                if not is_corrupt(error):
                    raise
                self._set_aside(error)
                self._write_waiting()
        except Exception as error:  # of whatever kind: calls go on, and so must this thread
            self._refused(error)

    def _write_waiting(self) -> None:
        """Everything that waits, in one transaction. Only this thread shortens ``_waiting``."""
        if self._engine is None:
            engine = open_engine(self.source)
            try:
                self._holder.hold(engine)
                self._end_orphans(engine)
            except BaseException:
                engine.dispose()
                raise
            self._engine = engine
        if not self._is_owner:
            self._take_over(self._engine)
        records = list(self._waiting)
        if records or self._on_disk:
            files = self._spill.own_files() if self._on_disk else []
            self._replay(self._engine, files, records[self._spilled :])
        with self._changed:
            self._waiting.clear()
            self._spilled = 0
        self._on_disk = False
        if self._failing:
            self._failing = False
            log.info("call records: %s takes records again; nothing waits", self.source)

    def _take_over(self, engine: Engine) -> None:
        """The first process at a file finishes what an earlier one left; the next ones do not."""
        if self._lock_file is None:
            lock = Path(f"{self.source.path}.lock")
            lock.touch(mode=0o600)
            self._lock_file = lock.open("w")
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        self._replay(engine, self._spill.files(), [])
        with engine.begin() as connection:
            stopped = mark_unfinished(connection, self._opened_at)
        self._is_owner = True
        if stopped:
            log.warning("call records: calls that the box stopped in: %d", stopped)

    def _end_orphans(self, engine: Engine) -> None:
        with engine.begin() as connection:
            ended = end_orphans(connection, self.source)
        if ended:
            log.warning("call records: calls of another process, which is gone: %d", ended)

    def _replay(self, engine: Engine, files: list[Path], records: list[Record]) -> None:
        """Writes what waits in ``files``, and ``records``; then the files are done with."""
        batches: list[Batch] = []
        for file in files:
            own = self._on_disk and file in self._spill.own_files()
            batches.append((self._spill.read(file), self._holder.name if own else None))
        batches.append((records, self._holder.name))
        try:
            with engine.begin() as connection:
                for several, holder in batches:
                    write(connection, several, holder)
        except Exception as error:  # raised again, but for what a record itself is at fault for
            if not _is_unfit(error):
                raise
            self._write_fit(engine, batches)
        for file in files:
            file.unlink(missing_ok=True)

    def _write_fit(self, engine: Engine, batches: list[Batch]) -> None:
        """One by one, so that a record which can never be written does not hold up the others."""
        for record, holder in ((each, holder) for several, holder in batches for each in several):
            try:
                with engine.begin() as connection:
                    write(connection, [record], holder)
            except Exception as error:  # as in `_replay`; this one alone is set aside
                if not _is_unfit(error):
                    raise
                log.error(
                    "call %s: a %s cannot be written (%s); kept in %s",
                    record.call_id,
                    type(record).__name__,
                    reason(error),
                    self._spill.set_aside(record) or "no file, for no disk takes it",
                )

    def _refused(self, error: Exception) -> None:
        """Keeps what waits, on disk too where there is a place for it."""
        self._let_go()
        unspilled = list(self._waiting)[self._spilled :]
        file = self._spill.append(unspilled) if unspilled else None
        lost = 0
        with self._changed:
            if file:
                self._spilled = len(self._waiting)
                self._on_disk = True
            while len(self._waiting) > self._limit:
                self._waiting.popleft()
                lost += self._spilled == 0
                self._spilled = max(0, self._spilled - 1)
        if lost:
            log.error("call records: %d lost: neither disk nor memory has room", lost)
        if not self._failing:
            self._failing = True
            log.error(
                "call records: %s refuses records: %s. Calls go on; records wait in %s and are "
                "tried again every %g s. %s, or set `path` or `url` in [records]",
                self.source,
                reason(error),
                file or "memory",
                self._retry_s,
                self._remedy,
            )

    @property
    def _remedy(self) -> str:
        if self.source.url is not None:
            return "See that the server runs, and that this user may write there"
        return "Make room on the disk, allow writing there"

    def _set_aside(self, error: Exception) -> None:
        """Moves a damaged file out of the way, and keeps it."""
        self._let_go()
        kept = f"{self.source.path}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S}"
        for suffix in ("", "-wal", "-shm"):
            if (part := Path(f"{self.source.path}{suffix}")).exists():
                part.rename(f"{kept}{suffix}")
        log.error(
            "call records: %s is damaged (%s); kept as %s, and a new file begins",
            self.source,
            reason(error),
            kept,
        )

    def _let_go(self) -> None:
        self._holder.let_go()
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None


def _is_news(record: CallRecord, known: CallRecord | None) -> bool:
    """Whether ``record`` says more of a call than what is known: its end is the last word."""
    return known is None or bool(record.cause) or not known.cause


def _is_unfit(error: Exception) -> bool:
    """Whether it is a record's own fault, which no later try will mend."""
    own = (DataError, IntegrityError, ValueError, TypeError, LookupError, ArithmeticError)
    return isinstance(error, own) or type(error) is StatementError
