"""Which process a call under way is in, and what becomes of the calls of one that died.

Several processes write to one file of call records. Each holds a lock on a small file of its
own beside the database for as long as it lives; a call names the lock of the process it is in.
Where that lock is free the process is gone, and its calls are over.
"""

import fcntl
import secrets
from pathlib import Path
from typing import IO

from sqlalchemy import Connection, delete, select

from agent.records.schema import HOLDERS, StoreError, end_unfinished, open_engine


class Holder:
    """This process's mark beside ``database``."""

    def __init__(self, database: Path) -> None:
        self.name = secrets.token_hex(8)
        self._path = _mark(database, self.name)
        self._file: IO[str] | None = None

    def hold(self) -> None:
        """Takes the lock; harmless when held. Raises OSError."""
        if self._file is None:
            self._path.touch(mode=0o600)
            file = self._path.open("w")
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._file = file

    def release(self) -> None:
        """Gives it up; what this process left unfinished is then over."""
        if self._file is not None:
            self._path.unlink(missing_ok=True)
            self._file.close()
            self._file = None


def end_orphans(connection: Connection, database: Path) -> int:
    """Gives the calls of processes that are gone their cause; returns how many."""
    holders = set(connection.execute(select(HOLDERS.c.holder).distinct()).scalars())
    gone = [name for name in sorted(holders) if not _alive(database, name)]
    ended = end_unfinished(connection, HOLDERS.c.holder.in_(gone)) if gone else 0
    if gone:
        connection.execute(delete(HOLDERS).where(HOLDERS.c.holder.in_(gone)))
    for name in gone:
        _mark(database, name).unlink(missing_ok=True)
    return ended


def settle(database: Path) -> int:
    """`end_orphans` for whoever watches the processes. Blocks.

    Raises StoreError, OSError or SQLAlchemyError.
    """
    try:
        engine = open_engine(database, create=False)
    except StoreError:
        return 0
    try:
        with engine.begin() as connection:
            return end_orphans(connection, database)
    finally:
        engine.dispose()


def _mark(database: Path, name: str) -> Path:
    return database.with_name(f"{database.name}.{name}.alive")


def _alive(database: Path, name: str) -> bool:
    try:
        with _mark(database, name).open("r") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
