"""What a box of ours says each stage took, over all calls of a stretch of time."""

import logging
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

import httpx2

log = logging.getLogger(__name__)

REQUEST_LIMIT_S = 10.0
MOST_CALLS = 500


async def box_stages(
    http_url: str, token: str | None, from_s: float, to_s: float
) -> list[Mapping[str, float]]:
    """``stages_ms`` of each turn whose question ended between two monotonic times.

    Asked once the calls are over: while they last, nobody but the callers bothers the box. A box
    that cannot be asked is logged, and its turns are missing.
    """
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    limits = httpx2.Timeout(REQUEST_LIMIT_S)
    try:
        async with httpx2.AsyncClient(base_url=http_url, headers=headers, timeout=limits) as http:
            asked_s = time.monotonic()
            listed = await _get(http, f"/api/calls?limit={MOST_CALLS}")
            # Between question and answer the box read its clock.
            offset_s = (asked_s + time.monotonic()) / 2 - _seconds(listed["now"])
            found: list[Mapping[str, float]] = []
            for record in listed["calls"]:
                ended = record["ended_at"]
                if ended is not None and _seconds(ended) + offset_s < from_s:
                    continue
                told = await _get(http, f"/v1/calls/{quote(record['call_id'])}/turns")
                found += stages_between(told["turns"], from_s - offset_s, to_s - offset_s)
            return found
    except (httpx2.HTTPError, ValueError, KeyError, TypeError) as error:
        log.warning("%s cannot be asked about its stages: %s", http_url, error)
        return []


def stages_between(
    turns: Sequence[Mapping[str, Any]], from_s: float, to_s: float
) -> list[Mapping[str, float]]:
    """Of ``/v1/calls/ID/turns``: turns within two times of the box's clock, no greetings."""
    return [
        turn["stages_ms"]
        for turn in turns
        if turn["turn"] and turn["at"] is not None and from_s <= _seconds(turn["at"]) < to_s
    ]


async def _get(http: httpx2.AsyncClient, path: str) -> dict[str, Any]:
    response = await http.get(path)
    response.raise_for_status()
    body = response.json()
    if not isinstance(body, dict):
        raise ValueError(f"{path} is no JSON object")
    return body


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
