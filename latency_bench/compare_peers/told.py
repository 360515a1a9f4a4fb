"""What a box of ours tells of the calls of a trial: its stages, and engine time thrown away."""

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

import httpx2

from latency_bench.load.box_stages import stages_between

log = logging.getLogger(__name__)

REQUEST_LIMIT_S = 10.0
SETTLED_S = 8.0
"""By then the box has written down calls that are over."""
POLL_S = 0.3
MOST_CALLS = 500
WASTED = ("turn_wasted_s", "stt_wasted_s", "llm_wasted_s", "tts_wasted_s")
ENGINES = ("stt_busy_s", "llm_busy_s", "tts_busy_s")


@dataclass(frozen=True, slots=True)
class Told:
    """Of all calls of a stretch of time."""

    stages_ms: Sequence[Mapping[str, float]] = ()
    """Of each turn."""
    busy_s: float = 0.0
    """What recognition, language model and synthesis worked."""
    discarded_s: float = 0.0
    """Of this, what nobody used."""
    calls: int = 0


async def told_by(http_url: str, token: str | None, from_s: float, to_s: float) -> Told | None:
    """Asks a box about its calls between two monotonic times, once they are over.

    None, and a line in the log, where it cannot be asked.
    """
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    limits = httpx2.Timeout(REQUEST_LIMIT_S)
    until_s = time.monotonic() + SETTLED_S
    try:
        async with httpx2.AsyncClient(base_url=http_url, headers=headers, timeout=limits) as http:
            while True:
                asked_s = time.monotonic()
                listed = await _get(http, f"/api/calls?limit={MOST_CALLS}")
                # Between question and answer the box read its clock.
                offset_s = (asked_s + time.monotonic()) / 2 - _seconds(listed["now"])
                over = all(call["ended_at"] is not None for call in listed["calls"])
                if over or time.monotonic() > until_s:
                    break
                await asyncio.sleep(POLL_S)
            bodies = [
                await _get(http, f"/v1/calls/{quote(call['call_id'])}/turns")
                for call in listed["calls"]
                if call["ended_at"] is None or _seconds(call["ended_at"]) + offset_s >= from_s
            ]
        return told_of(bodies, from_s - offset_s, to_s - offset_s)
    except (httpx2.HTTPError, ValueError, KeyError, TypeError) as error:
        log.warning("%s cannot be asked about its calls: %s", http_url, error)
        return None


def told_of(bodies: Iterable[Mapping[str, Any]], from_s: float, to_s: float) -> Told:
    """Sums up answers of ``/v1/calls/ID/turns``; times of the box's clock. Pure.

    Raises KeyError, TypeError and ValueError for what is no such answer.
    """
    stages: list[Mapping[str, float]] = []
    busy_s = discarded_s = 0.0
    calls = 0
    for body in bodies:
        stages += stages_between(body["turns"], from_s, to_s)
        usage = body["call"]["usage"]
        busy_s += sum(float(usage[name]) for name in ENGINES)
        discarded_s += sum(float(usage.get(name, 0.0)) for name in WASTED)
        calls += 1
    return Told(stages, busy_s, discarded_s, calls)


async def _get(http: httpx2.AsyncClient, path: str) -> dict[str, Any]:
    response = await http.get(path)
    response.raise_for_status()
    body = response.json()
    if not isinstance(body, dict):
        raise ValueError(f"{path} is no JSON object")
    return body


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
