"""What a load must keep to, and which load to try next. Pure."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

FIGURES = {
    "v2v_p50_ms": "the median answer took {:.0f} ms",
    "v2v_p95_ms": "P95 voice to voice was {:.0f} ms",
    "missed_rate": "{:.1%} of turns were missed",
    "cut_in_rate": "in {:.1%} of turns the agent cut in",
    "failed_rate": "{:.1%} of calls failed",
}
"""What a limit may be set to, and how what was measured is told."""
DEFAULT = "v2v_p95_ms<1500,missed_rate<0.05"
FAILED_RATE = 0.05
"""Where the objective does not speak of failed calls: a box that turns callers away is full."""
_LIMIT = re.compile(r"\s*([a-z0-9_]+)\s*(<=?)\s*([0-9]+(?:\.[0-9]+)?)\s*")


class ObjectiveError(Exception):
    """The objective cannot be read; the message says what to write."""


@dataclass(frozen=True, slots=True)
class Limit:
    """One figure's limit; ``inclusive``: the limit itself is still good."""

    name: str
    value: float
    inclusive: bool = False

    def keeps(self, measured: float | None) -> bool:
        """Whether it holds; what was not measured does not."""
        if measured is None or math.isnan(measured):
            return False
        return measured <= self.value if self.inclusive else measured < self.value

    def __str__(self) -> str:
        return f"{self.name}{'<=' if self.inclusive else '<'}{self.value:g}"


@dataclass(frozen=True, slots=True)
class Objective:
    """Every limit has to be kept."""

    limits: tuple[Limit, ...]

    def broken(self, figures: Mapping[str, float | None]) -> list[str]:
        """What was not kept, in words; empty where all was."""
        return [
            _told(limit, figures.get(limit.name))
            for limit in self.limits
            if not limit.keeps(figures.get(limit.name))
        ]

    def to_json(self) -> dict[str, float]:
        """The limits by figure."""
        return {limit.name: limit.value for limit in self.limits}

    def __str__(self) -> str:
        return ",".join(map(str, self.limits))


def parse_objective(text: str) -> Objective:
    """Reads ``v2v_p95_ms<1500,missed_rate<0.05``. Raises ObjectiveError."""
    limits: dict[str, Limit] = {}
    for piece in text.split(","):
        found = _LIMIT.fullmatch(piece)
        if found is None:
            raise ObjectiveError(
                f"{piece.strip()!r} is no limit: write FIGURE<NUMBER, such as {DEFAULT!r}"
            )
        name, sign, number = found.groups()
        if name not in FIGURES:
            raise ObjectiveError(f"{name!r} is no figure of a load: use {', '.join(FIGURES)}")
        if name in limits:
            raise ObjectiveError(f"{name} has two limits; keep one")
        limits[name] = Limit(name, float(number), inclusive=sign == "<=")
    limits.setdefault("failed_rate", Limit("failed_rate", FAILED_RATE))
    return Objective(tuple(limits.values()))


def parse_levels(text: str) -> tuple[int, ...]:
    """Reads ``1,2,4``. Raises ObjectiveError."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdigit() and 1 <= int(part) <= MOST_CALLS for part in parts):
        raise ObjectiveError(f"{text!r} are no levels: write numbers of 1 to {MOST_CALLS}: 1,2,4")
    return tuple(sorted({int(part) for part in parts}))


MOST_CALLS = 250
LEVELS = (1, 2, 3, 4, 6, 8, 12, 16)


def levels_up_to(most: int) -> tuple[int, ...]:
    """The usual levels as far as ``most``, and that one."""
    doubled = list(LEVELS)
    while doubled[-1] < most:
        doubled.append(doubled[-1] + max(4, doubled[-1] // 4))
    return tuple(sorted({*(level for level in doubled if level < most), most}))


def next_level(kept: Mapping[int, bool], levels: Sequence[int]) -> int | None:
    """Which load to try now; None: the answer is known.

    ``kept``: whether each load that was tried kept to the objective. Goes up ``levels`` until one
    breaks it, then halves the way between the highest good and the lowest bad one.
    """
    good, bad = capacity(kept), lowest_bad(kept)
    if bad is None:
        return next((level for level in sorted(levels) if level not in kept), None)
    middle = (good + bad) // 2
    return middle if good < middle < bad else None


def capacity(kept: Mapping[int, bool]) -> int:
    """The highest load that kept to the objective below the first that did not; 0: none."""
    bad = lowest_bad(kept)
    return max(
        (level for level, good in kept.items() if good and (not bad or level < bad)), default=0
    )


def lowest_bad(kept: Mapping[int, bool]) -> int | None:
    """The lowest load that broke the objective."""
    return min((level for level, good in kept.items() if not good), default=None)


def _told(limit: Limit, measured: float | None) -> str:
    if measured is None or math.isnan(measured):
        return f"{limit.name} was not measured: no turn was answered"
    return f"{FIGURES[limit.name].format(measured)} (asked: {limit})"
