"""What the box itself tells of a call, asked of its HTTP interface once the call is over.

Over WebRTC the box tells it during the call; a telephone has no way to.
"""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

import httpx2

from latency_bench.recording import CallRecording, Event
from latency_bench.tracing.call_fit import misfit_s

log = logging.getLogger(__name__)

FOUND_LIMIT_S = 20.0
"""How long the box may take to notice the hang-up and to write the call down."""
POLL_S = 0.2
REQUEST_LIMIT_S = 5.0
SETTLED_S = 6.0
"""By then the box has written down a call that is over."""
RECENT = 100
"""How many of the latest calls are looked at."""
NEAR_S = 3.0
"""The box begins a call so soon after the caller heard the answer, or before."""
APART_S = 0.15
"""Two calls whose turns fit that equally well cannot be told apart."""
TOLD = ("heard", "answer", "interrupted", "at_ms", "stages_ms", "total_ms", "usage")


@dataclass(frozen=True, slots=True)
class BoxCall:
    """One call of the box; times on the caller's monotonic clock."""

    call_id: str
    began_s: float
    ended_s: float | None


async def inside_events(
    http_url: str, token: str | None, recording: CallRecording
) -> tuple[Event, ...]:
    """The call's turns as ``turn`` messages, on the caller's clock; empty where there are none.

    ``http_url``: the box's, such as ``http://127.0.0.1:7860``. The call is found by its door and
    time, and where several callers were at it, by when they spoke. A box that does not answer is
    logged, and nothing else.
    """
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    limits = httpx2.Timeout(REQUEST_LIMIT_S)
    try:
        async with (
            asyncio.timeout(FOUND_LIMIT_S),
            httpx2.AsyncClient(base_url=http_url, headers=headers, timeout=limits) as http,
        ):
            return await _found(http, recording)
    except TimeoutError:
        log.warning("%s told of no finished call at that time", http_url)
    except (httpx2.HTTPError, ValueError, KeyError, TypeError) as error:
        log.warning("%s cannot be asked about the call: %s", http_url, error)
    return ()


async def _found(http: httpx2.AsyncClient, recording: CallRecording) -> tuple[Event, ...]:
    while True:
        asked_s = time.monotonic()
        listed = await _get(http, f"/api/calls?limit={RECENT}")
        # Between question and answer the box read its clock.
        offset_s = (asked_s + time.monotonic()) / 2 - _seconds(listed["now"])
        calls = near(listed["calls"], recording, offset_s)
        over = [call for call in calls if call.ended_s is not None]
        # Another caller's call may go on; ours is written down soon after its end.
        settled = time.monotonic() - recording.ended_s > SETTLED_S
        if over and (settled or len(over) == len(calls)):
            calls = over
            told = [await _get(http, f"/v1/calls/{quote(c.call_id)}/turns") for c in calls]
            return chosen(calls, [each["turns"] for each in told], recording, offset_s)
        await asyncio.sleep(POLL_S)


def near(
    records: Sequence[Mapping[str, Any]], recording: CallRecording, offset_s: float
) -> list[BoxCall]:
    """The box's calls that may be this one: through its door, and begun when it was answered."""
    found = []
    for record in records:
        began_s = _seconds(record["started_at"]) + offset_s
        ended = record["ended_at"]
        ended_s = None if ended is None else _seconds(ended) + offset_s
        if record["door"] == recording.door and abs(began_s - recording.answered_s) <= NEAR_S:
            found.append(BoxCall(record["call_id"], began_s, ended_s))
    return found


def chosen(
    calls: Sequence[BoxCall],
    told: Sequence[Sequence[Mapping[str, Any]]],
    recording: CallRecording,
    offset_s: float,
) -> tuple[Event, ...]:
    """The turns of the call that fits best; none where two fit alike."""
    pairs = zip(calls, told, strict=True)
    fits = [_misfit_s(call, turns, recording, offset_s) for call, turns in pairs]
    order = sorted(range(len(calls)), key=fits.__getitem__)
    best = order[0]
    if len(order) > 1 and fits[order[1]] - fits[best] < APART_S:
        log.warning("calls %s cannot be told apart", ", ".join(call.call_id for call in calls))
        return ()
    return events_of_turns(told[best], calls[best].ended_s, offset_s)


def _misfit_s(
    call: BoxCall, turns: Sequence[Mapping[str, Any]], recording: CallRecording, offset_s: float
) -> float:
    heard_s = [_seconds(turn["at"]) + offset_s for turn in turns if turn["turn"] and turn["at"]]
    fits_s = misfit_s(recording, heard_s)
    return abs(call.began_s - recording.answered_s) if fits_s is None else fits_s


def events_of_turns(
    turns: Sequence[Mapping[str, Any]], call_ended_s: float | None, offset_s: float
) -> tuple[Event, ...]:
    """Turns of ``/v1/calls/ID/turns`` as the page is told of them, each when it was over.

    A turn that was cut off was over by the time the words that cut it off had ended; any other is
    dated by the answer's first sound, which is before the caller speaks again.
    """
    events: list[Event] = []
    following_s = call_ended_s
    for turn in reversed(turns):
        zero_s = None if turn["at"] is None else _seconds(turn["at"]) + offset_s
        if zero_s is not None:
            spoke_s = zero_s + max(turn["at_ms"].values(), default=0.0) / 1000
            cut_off = turn["interrupted"] and following_s is not None
            at_s = following_s if cut_off and following_s is not None else spoke_s
            body = {"type": "turn", "turn": turn["turn"], **{key: turn[key] for key in TOLD}}
            events.append(Event(at_s, body))
            following_s = zero_s
    return tuple(reversed(events))


async def _get(http: httpx2.AsyncClient, path: str) -> dict[str, Any]:
    response = await http.get(path)
    response.raise_for_status()
    body = response.json()
    if not isinstance(body, dict):
        raise ValueError(f"{path} is no JSON object")
    return body


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
