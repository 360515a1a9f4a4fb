"""The workers that a supervisor watches over, as its status file tells of them."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

FRESH = timedelta(seconds=30)
"""An older file was left behind: its supervisor writes it every second or so."""
TOLD = ("worker", "state", "pid", "calls", "starts", "for_s", "http", "last_exit")


def fleet_now(path: Path, now: datetime | None = None) -> list[dict[str, Any]]:
    """Each worker's state; none where no supervisor is at work here. Blocks."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        age = (now or datetime.now(UTC)) - datetime.fromisoformat(told["at"])
        workers = told["workers"] if age < FRESH else []
        return [{name: each.get(name) for name in TOLD} for each in workers]
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        # Another's file of that name, or one of another version, tells nothing.
        return []
