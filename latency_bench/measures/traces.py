"""What the agent says of its own turns, matched to what the caller said. Pure.

Traces are ``turn`` messages (docs/events.md): the box's own come over the call, another agent's
are made of its OpenTelemetry spans.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from latency_bench.recording import Event

LONGEST_MS = 1e7
"""No stage takes longer (2.8 hours): such a number is a mistake, and none is shown."""
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Told:
    """What the agent tells of one part."""

    heard: str = ""
    answer: str = ""
    stages_ms: dict[str, float] = field(default_factory=dict)
    inside_ms: float | None = None


def traces_of(
    events: Sequence[Event], began_s: Sequence[float], over_agent: Sequence[bool]
) -> list[Told]:
    """What is told of each part, in order; parts begin at ``began_s``.

    A turn belongs to the part after whose first sound it was first told, and holds what was told
    last: an agent tells of a turn when it is over. A turn that was interrupted is over when the
    caller has begun the next part, so it belongs to the part before that. The greeting (turn 0)
    belongs to none.
    """
    first_told_s: dict[int, float] = {}
    bodies: dict[int, dict[str, Any]] = {}
    for event in events:
        number = event.body.get("turn")
        if event.body.get("type") != "turn" or not isinstance(number, int):
            continue
        if isinstance(number, bool) or number < 1:
            continue
        first_told_s.setdefault(number, event.at_s)
        bodies[number] = event.body
    owned: list[list[dict[str, Any]]] = [[] for _ in began_s]
    moved: set[int] = set()
    for number in sorted(bodies):
        at_s, body = first_told_s[number], bodies[number]
        part = sum(began <= at_s for began in began_s) - 1
        if part < 0:
            continue
        cut_off = over_agent[part] and body.get("interrupted") is True
        if cut_off and part > 0 and part not in moved:
            moved.add(part)
            part -= 1
        owned[part].append(body)
    return [_told(bodies_of_part) for bodies_of_part in owned]


def whole(text: str) -> str:
    """``text`` as it can be written: halves of surrogate pairs, which JSON may hold, replaced."""
    return _SURROGATE.sub("\ufffd", text)


def plain_json(value: object) -> Any:
    """What the agent sent, as JSON can hold it: without NaN, infinities and half characters."""
    if isinstance(value, str):
        return whole(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {whole(str(key)): plain_json(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain_json(entry) for entry in value]
    return value


def _text(value: object) -> str:
    return whole(str(value)) if value else ""


def _told(bodies: Sequence[dict[str, Any]]) -> Told:
    if not bodies:
        return Told()
    last = bodies[-1]
    return Told(
        heard=" ".join(filter(None, (_text(body.get("heard")) for body in bodies))),
        answer=_text(last.get("answer")),
        stages_ms=_numbers(last.get("stages_ms")),
        inside_ms=_number(last.get("total_ms")),
    )


def _numbers(value: object) -> dict[str, float]:
    if not isinstance(value, dict):
        return {}
    return {whole(str(k)): n for k, v in value.items() if (n := _number(v)) is not None}


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # NaN is in no range, and an int of any length can be compared.
    return float(value) if 0 <= value <= LONGEST_MS else None
