"""Where records wait as JSON lines while the database refuses them."""

import hashlib
import json
import logging
import os
import stat
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from agent.records.record import CallRecord, EventRecord, TurnRecord

log = logging.getLogger(__name__)

Record = CallRecord | TurnRecord | EventRecord


class Spill:
    """Appends to a file beside the database, else in the temporary folder."""

    def __init__(self, database: Path) -> None:
        stem = f"{database.name}.waiting"
        mark = hashlib.sha256(str(database.absolute()).encode()).hexdigest()[:8]
        self._folders = (
            (database.parent, stem),
            (Path(tempfile.gettempdir()), f"{stem}-{mark}"),
        )

    def append(self, records: Sequence[Record]) -> Path | None:
        """Writes ``records`` to the disk; returns the file, None where neither folder takes it."""
        text = "".join(json.dumps(_wrap(record)) + "\n" for record in records)
        for folder, stem in self._folders:
            path = folder / f"{stem}.{os.getpid()}.jsonl"
            if _append(path, text.encode()):
                return path
        return None

    def set_aside(self, record: Record) -> Path | None:
        """Keeps one that the database will never take, for a person to look at."""
        text = json.dumps(_wrap(record)) + "\n"
        for folder, stem in self._folders:
            path = folder / f"{stem.replace('.waiting', '.damaged-records')}.jsonl"
            if _append(path, text.encode()):
                return path
        return None

    def files(self) -> list[Path]:
        """What is waiting, from this process or an earlier one; oldest first."""
        return self._found("*")

    def own_files(self) -> list[Path]:
        """What is waiting from this process; oldest first."""
        return self._found(str(os.getpid()))

    def _found(self, process: str) -> list[Path]:
        pattern = f"{process}.jsonl"
        (beside, name), (anywhere, stem) = self._folders
        found = [*beside.glob(f"{name}.{pattern}")]
        # Anybody may put a file of that name there, or a link.
        owners = {os.geteuid(), *(folder.stat().st_uid for folder in [beside] if folder.is_dir())}
        found += [p for p in anywhere.glob(f"{stem}.{pattern}") if _is_of(owners, p)]
        return sorted(found, key=lambda path: path.stat().st_mtime)

    def read(self, path: Path) -> list[Record]:
        """The records of one file; a line that was cut off is logged and left out."""
        records: list[Record] = []
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            try:
                records.append(_unwrap(json.loads(line)))
            except (KeyError, TypeError, ValueError) as error:
                log.error("call records: %s:%d is no record: %s", path, number, error)
        return records


def _is_of(owners: Collection[int], path: Path) -> bool:
    about = path.lstat()
    return stat.S_ISREG(about.st_mode) and about.st_uid in owners


def _append(path: Path, data: bytes) -> bool:
    try:
        # Owner only: a record holds what a caller said.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
        descriptor = os.open(path, flags, 0o600)
    except OSError:
        return False
    before = os.fstat(descriptor).st_size
    try:
        written = os.write(descriptor, data)
        os.fsync(descriptor)
    except OSError:
        written = -1
    if written != len(data):
        # Half a line would be lost on reading; take it back.
        os.ftruncate(descriptor, before)
    os.close(descriptor)
    if written != len(data) and before == 0:
        path.unlink(missing_ok=True)
    return written == len(data)


_KINDS: dict[str, type[Record]] = {"call": CallRecord, "turn": TurnRecord, "event": EventRecord}


def _wrap(record: Record) -> dict[str, object]:
    kind = next(name for name, each in _KINDS.items() if isinstance(record, each))
    return {"kind": kind, "record": record.to_json()}


def _unwrap(written: dict[str, Any]) -> Record:
    return _KINDS[written["kind"]].from_json(written["record"])
