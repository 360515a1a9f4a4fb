"""What this machine has learnt about its models: checksums seen, commits fetched.

Kept in ``models.lock.json`` in Offhook's home; the shipped catalogue is never edited.
"""

import hashlib
import json
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loguru import logger

_CHUNK_BYTES = 1 << 20


def home() -> Path:
    """``$OFFHOOK_HOME``, else ``$XDG_DATA_HOME/offhook``, else ``~/.local/share/offhook``."""
    if own := os.environ.get("OFFHOOK_HOME"):
        return Path(own).expanduser()
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "offhook"


@dataclass(frozen=True, slots=True)
class FetchedFile:
    """One file as the hub described it when it was fetched."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class FetchedModel:
    """A hub model as it was fetched."""

    source: str
    """As the catalogue had it then; a record of another source is of another model."""
    commit: str
    files: dict[str, FetchedFile]
    """By path relative to the model's folder."""


class ModelLock:
    """The lock file. Safe from many threads; a write replaces the file as a whole."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or home() / "models.lock.json"
        self._guard = threading.Lock()

    def sha256(self, file: Path) -> str:
        """A file's checksum, computed once and remembered by size and modification time."""
        file = file.resolve()
        stat = file.stat()
        seen = {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
        known = self._read()["checksums"].get(str(file))
        if known and {"size": known["size"], "mtime_ns": known["mtime_ns"]} == seen:
            return str(known["sha256"])
        digest = checksum(file)
        self._update("checksums", str(file), seen | {"sha256": digest})
        return digest

    def fetched(self, name: str, source: str) -> FetchedModel | None:
        """What was recorded when the model was fetched from ``source``, if it was."""
        record = self._read()["fetched"].get(name)
        if record is None or record["source"] != source:
            return None
        files = {path: FetchedFile(**file) for path, file in record["files"].items()}
        return FetchedModel(source, record["commit"], files)

    def record_fetched(self, name: str, model: FetchedModel) -> None:
        """Remembers a fetch. Raises OSError where the home cannot be written."""
        files = {
            path: {"sha256": file.sha256, "size_bytes": file.size_bytes}
            for path, file in model.files.items()
        }
        record = {"source": model.source, "commit": model.commit, "files": files}
        self._write("fetched", name, record)

    def _read(self) -> dict[str, dict[str, Any]]:
        state: dict[str, dict[str, Any]] = {"checksums": {}, "fetched": {}}
        try:
            stored = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return state
        except (OSError, ValueError) as error:
            logger.warning("{}: unreadable, its checksums are made anew: {}", self.path, error)
            return state
        return state | {key: stored[key] for key in state if isinstance(stored.get(key), dict)}

    def _update(self, section: str, key: str, value: dict[str, Any]) -> None:
        try:
            self._write(section, key, value)
        except OSError as error:
            # A read-only home costs the checksum's second each start, and nothing else.
            logger.warning("{}: not written: {}", self.path, error)

    def _write(self, section: str, key: str, value: dict[str, Any]) -> None:
        with self._guard:
            state = self._read()
            state[section][key] = value
            self.path.parent.mkdir(parents=True, exist_ok=True)
            temporary = self.path.with_name(f"{self.path.name}.{os.getpid()}")
            temporary.write_text(json.dumps(state, indent=1, sort_keys=True), encoding="utf-8")
            temporary.replace(self.path)


def checksum(file: Path) -> str:
    """SHA-256 of a file's content, lower-case hex."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
