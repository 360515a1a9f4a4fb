"""Which process a call under way is in, and what becomes of the calls of one that died.

Several processes write to one database of call records. Each holds a lock for as long as it
lives: on a small file of its own beside SQLite's, or in PostgreSQL for as long as its session
lasts. A call names the lock of the process it is in. Where that lock is free the process is
gone, and its calls are over.
"""

import fcntl
import os
import secrets
from glob import escape
from pathlib import Path
from typing import IO, Protocol

from sqlalchemy import Connection, Engine, delete, select, text, update

from agent.records.schema import NothingYet, end_unfinished, open_engine
from agent.records.source import Source
from agent.records.tables import HOLDERS

NAME_BYTES = 8
MARK = ".alive"


class Holder(Protocol):
    """This process's mark."""

    @property
    def name(self) -> str:
        """What a call under way names; it changes where a lock was lost."""

    def hold(self, engine: Engine) -> None:
        """Takes the lock; harmless when held. Raises OSError or SQLAlchemyError."""

    def let_go(self) -> None:
        """The connection is given up, for now; so is what cannot be held without it."""

    def release(self) -> None:
        """Gives it up; what this process left unfinished is then over."""


class FileHolder:
    """A locked file beside the database."""

    def __init__(self, database: Path) -> None:
        self.name = secrets.token_hex(NAME_BYTES)
        self._path = _mark(database, self.name)
        self._file: IO[str] | None = None

    def hold(self, engine: Engine) -> None:
        """As `Holder` says."""
        while self._file is None:
            self._path.touch(mode=0o600)
            file = self._path.open("w")
            # Another process may look at it, and clear it away, before it is locked.
            fcntl.flock(file, fcntl.LOCK_EX)
            if _is_at(file, self._path):
                self._file = file
            else:
                file.close()

    def let_go(self) -> None:
        """The file needs no connection."""

    def release(self) -> None:
        """As `Holder` says."""
        if self._file is not None:
            self._path.unlink(missing_ok=True)
            self._file.close()
            self._file = None


class SessionHolder:
    """An advisory lock of PostgreSQL's, on a connection of its own."""

    def __init__(self) -> None:
        self.name = secrets.token_hex(NAME_BYTES)
        self._connection: Connection | None = None

    def hold(self, engine: Engine) -> None:
        """As `Holder` says. The server may hold a lost session for long: a new name each time."""
        if self._connection is not None:
            return
        name = secrets.token_hex(NAME_BYTES)
        # Not from the pool, which has one for the writer.
        connection = engine.execution_options(isolation_level="AUTOCOMMIT").connect()
        try:
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _key(name)})
            renamed = update(HOLDERS).where(HOLDERS.c.holder == self.name)
            connection.execute(renamed.values(holder=name))
        except BaseException:
            connection.close()
            raise
        self.name, self._connection = name, connection

    def let_go(self) -> None:
        """Ends the session."""
        if self._connection is not None:
            # Closed for good: back in a pool it would hold the lock on.
            self._connection.invalidate()
            self._connection.close()
            self._connection = None

    def release(self) -> None:
        """As `Holder` says."""
        self.let_go()


def holder_of(source: Source) -> Holder:
    """The mark that goes with the kind of database."""
    return FileHolder(source.path) if source.url is None else SessionHolder()


def end_orphans(connection: Connection, source: Source) -> int:
    """Gives the calls of processes that are gone their cause; returns how many."""
    holders = set(connection.execute(select(HOLDERS.c.holder).distinct()).scalars())
    gone = [name for name in sorted(holders) if not _alive(connection, source, name)]
    ended = end_unfinished(connection, HOLDERS.c.holder.in_(gone)) if gone else 0
    if gone:
        connection.execute(delete(HOLDERS).where(HOLDERS.c.holder.in_(gone)))
    if source.url is None:
        for mark in source.path.parent.glob(f"{escape(source.path.name)}.*{MARK}"):
            _clear_away(mark)
    return ended


def settle(where: Source | Path) -> int:
    """`end_orphans` for whoever watches the processes. Blocks.

    Raises StoreError, OSError or SQLAlchemyError.
    """
    source = Source.of(where)
    try:
        engine = open_engine(source, create=False)
    except NothingYet:
        return 0
    try:
        with engine.begin() as connection:
            return end_orphans(connection, source)
    finally:
        engine.dispose()


def _mark(database: Path, name: str) -> Path:
    return database.with_name(f"{database.name}.{name}{MARK}")


def _clear_away(mark: Path) -> None:
    """Removes the file of a process that is gone, whether it was in a call or not."""
    try:
        with mark.open("r") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            mark.unlink(missing_ok=True)
    except (FileNotFoundError, BlockingIOError):
        return


def _is_at(file: IO[str], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _key(name: str) -> int:
    """PostgreSQL's locks are numbers of 64 bits, with a sign."""
    return int.from_bytes(bytes.fromhex(name), signed=True)


def _alive(connection: Connection, source: Source, name: str) -> bool:
    if source.url is None:
        return _is_locked(_mark(source.path, name))
    free = select(text("pg_try_advisory_xact_lock(:key)")).params(key=_key(name))
    return not connection.execute(free).scalar_one()


def _is_locked(mark: Path) -> bool:
    try:
        with mark.open("r") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
