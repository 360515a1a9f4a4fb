"""Handing over what is kept of calls: a line of JSON each, and the files of their sound. Blocks."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.records import history
from agent.records.erasure import Kept
from agent.records.source import Source

LINES = "calls.jsonl"
SOUND = "recordings"


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written."""

    calls: int
    recordings: int
    missing: tuple[str, ...] = ()
    """The paths of sound that is not there any more."""


def export(source: Source, calls: Sequence[Kept], folder: Path) -> Exported:
    """Writes into ``folder``, which its owner alone may read. Raises StoreError or OSError.

    It is made where it is missing. FileExistsError: there is something in it.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise FileExistsError(17, "it is not empty; name a new folder", str(folder))
    lines, sound = folder / LINES, folder / SOUND
    lines.touch(mode=0o600)
    written = recordings = 0
    missing: list[str] = []
    with lines.open("w", encoding="utf-8") as file:
        for kept in calls:
            found = history.find_call(source, kept.call_id)
            if found is None:
                # It was deleted meanwhile.
                continue
            call, turns = found
            copied = _copy(kept, sound)
            recordings += copied is not None
            if kept.recording and copied is None:
                missing.append(kept.recording)
            line: dict[str, Any] = {
                "call": call.to_json(),
                "turns": [turn.to_json() for turn in turns],
                "events": [event.to_json() for event in history.events(source, kept.call_id)],
                "recording": copied,
            }
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
            written += 1
    return Exported(written, recordings, tuple(missing))


def _copy(kept: Kept, folder: Path) -> str | None:
    """The copy's path as the export names it; None: there is no sound."""
    path = Path(kept.recording)
    if path.name != f"{kept.call_id}.wav" or not path.is_file():
        return None
    folder.mkdir(mode=0o700, exist_ok=True)
    copy = folder / path.name
    copy.touch(mode=0o600)
    shutil.copyfile(path, copy)
    return f"{folder.name}/{path.name}"
