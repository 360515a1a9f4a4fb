"""A run on disk: every call as soon as it is over, so that an ended run can be gone on with."""

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from latency_bench.figures import CallFigures

PLAN = "plan.json"
BEGAN = "began.txt"
REPORT = "report.json"
CALLS = "calls"
_CALL = TypeAdapter(CallFigures)


class StoreError(Exception):
    """The folder cannot be used; the message says why and what to do."""


class RunStore:
    """A folder of one run: ``plan.json``, and in ``calls`` each call's figures and sound.

    Raises StoreError where it holds another run: one with a different ``plan``.
    """

    def __init__(self, folder: Path, plan: Mapping[str, Any]) -> None:
        self.folder = folder
        self.calls = folder / CALLS
        try:
            self.calls.mkdir(parents=True, exist_ok=True)
            self._agree(plan)
        except OSError as error:
            raise StoreError(f"{folder}: cannot be written: {error.strerror}") from error

    def began(self, now: datetime) -> datetime:
        """When the run's first sitting began; ``now`` if this is it."""
        path = self.folder / BEGAN
        try:
            return datetime.fromisoformat(path.read_text(encoding="utf-8").strip())
        except FileNotFoundError:
            path.write_text(now.isoformat() + "\n", encoding="utf-8")
            return now
        except ValueError as error:
            raise StoreError(f"{path}: no date; give another --out, or remove it") from error

    def done(self) -> dict[int, CallFigures]:
        """Calls that are over, by number; those that Ctrl-C cut short are to be placed again."""
        found: dict[int, CallFigures] = {}
        for path in sorted(self.calls.glob("*.json")):
            try:
                call = _CALL.validate_json(path.read_bytes())
            except (OSError, ValidationError) as error:
                raise StoreError(
                    f"{path}: no call of this bench; remove it, or give another --out"
                ) from error
            if call.outcome != "stopped":
                found[call.call] = call
        return found

    def keep(self, call: CallFigures) -> None:
        """Writes one call, whole or not at all."""
        path = self.calls / f"{call.call:04d}.json"
        part = path.with_suffix(".part")
        part.write_text(json.dumps(call.to_json()) + "\n", encoding="utf-8")
        part.replace(path)

    def sound(self, call: CallFigures) -> Path:
        """Where the call's recording is, if it was kept."""
        return self.calls / f"{call.call:04d}.npz"

    def _agree(self, plan: Mapping[str, Any]) -> None:
        path = self.folder / PLAN
        text = json.dumps(plan, indent=2, sort_keys=True) + "\n"
        if not path.exists():
            path.write_text(text, encoding="utf-8")
            return
        if path.read_text(encoding="utf-8") != text:
            raise StoreError(
                f"{path}: this folder holds a run with other settings; give another --out, or "
                "remove it"
            )
