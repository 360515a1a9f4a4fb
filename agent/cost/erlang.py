"""How many calls at once a traffic needs, after Erlang (1917). Pure.

Traffic is in erlangs: calls at once on average in the busy hour, arrivals a second x seconds a
call. Callers come independently of each other (Poisson); how long they stay does not matter to
Erlang B, and is exponential in Erlang C.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

SECONDS_PER_HOUR = 3600.0
MOST_LINES = 1_000_000


def blocked(erlangs: float, lines: int) -> float:
    """Erlang B: the share of calls that find all ``lines`` taken and go away, 0 to 1.

    By the recurrence B(n) = aB(n-1) / (n + aB(n-1)), which never overflows. Raises ValueError for
    less than no traffic or no line.
    """
    _check(erlangs, lines)
    share = 1.0
    for line in range(1, lines + 1):
        share = erlangs * share / (line + erlangs * share)
    return share if erlangs else float(lines == 0)


def waits(erlangs: float, lines: int) -> float:
    """Erlang C: the share of calls that wait where nobody goes away; 1 where they never catch up.

    Raises ValueError as `blocked`.
    """
    _check(erlangs, lines)
    if erlangs >= lines:
        return 1.0
    share = blocked(erlangs, lines)
    return share / (1 - erlangs / lines * (1 - share))


def mean_wait_s(erlangs: float, lines: int, call_s: float) -> float:
    """Erlang C: the mean wait of all calls of ``call_s`` seconds on average; infinite where they
    never catch up."""
    if erlangs >= lines:
        return math.inf
    return waits(erlangs, lines) * call_s / (lines - erlangs)


def lines_for(erlangs: float, blocking: float) -> int:
    """The fewest lines that block at most that share of calls.

    Raises ValueError where ``blocking`` is not between 0 and 1, or more than a million are needed.
    """
    if not 0 < blocking < 1:
        raise ValueError(f"blocking is {blocking}; it is over 0 and under 1, such as 0.01")
    _check(erlangs, 0)
    share = 1.0
    for line in range(1, MOST_LINES + 1):
        share = erlangs * share / (line + erlangs * share)
        if share <= blocking:
            return line
    raise ValueError(f"{erlangs:g} erlangs need more than {MOST_LINES:,} lines")


@dataclass(frozen=True, slots=True)
class Traffic:
    """What calls asked of the box, hour by hour."""

    calls: int
    call_s: float
    """All of their connected seconds."""
    from_at: datetime
    to_at: datetime
    busy_hour: datetime | None
    """The clock hour that asked for most, UTC; None without calls."""
    busy_erlangs: float
    """Of that hour."""

    @property
    def mean_erlangs(self) -> float:
        """Over the whole time, the nights included."""
        seconds = (self.to_at - self.from_at).total_seconds()
        return self.call_s / seconds if seconds > 0 else 0.0

    @property
    def mean_call_s(self) -> float:
        """Seconds of a call; 0 without calls."""
        return self.call_s / self.calls if self.calls else 0.0


def traffic_of(
    calls: Iterable[tuple[datetime, datetime]], from_at: datetime, to_at: datetime
) -> Traffic:
    """The traffic of calls, each from when to when, in a stretch of time; what lies outside it is
    left out. Raises ValueError where the stretch ends before it begins."""
    if to_at <= from_at:
        raise ValueError(f"the time from {from_at} to {to_at} is empty")
    hours: dict[int, float] = {}
    count, total_s = 0, 0.0
    begins_s, ends_s = from_at.timestamp(), to_at.timestamp()
    for began, ended in calls:
        first_s, last_s = max(began.timestamp(), begins_s), min(ended.timestamp(), ends_s)
        if last_s <= first_s:
            continue
        count += 1
        total_s += last_s - first_s
        for hour in range(int(first_s // SECONDS_PER_HOUR), int(last_s // SECONDS_PER_HOUR) + 1):
            from_s = max(first_s, hour * SECONDS_PER_HOUR)
            to_s = min(last_s, (hour + 1) * SECONDS_PER_HOUR)
            hours[hour] = hours.get(hour, 0.0) + max(0.0, to_s - from_s)
    busiest = max(hours, key=lambda hour: hours[hour], default=None)
    return Traffic(
        calls=count,
        call_s=total_s,
        from_at=from_at,
        to_at=to_at,
        busy_hour=None
        if busiest is None
        else datetime.fromtimestamp(busiest * SECONDS_PER_HOUR, UTC),
        busy_erlangs=0.0 if busiest is None else hours[busiest] / SECONDS_PER_HOUR,
    )


@dataclass(frozen=True, slots=True)
class Fleet:
    """How many boxes a traffic needs, and how idle they are."""

    boxes: int
    lines: int
    blocked: float
    """Of the busy hour's calls, the share that is refused."""
    waiting: float
    """The share that would wait, if they held the line instead."""
    mean_wait_s: float
    idle_busy_hour: float
    """Share of the lines that nobody uses, in the busy hour."""
    idle: float
    """The same over the whole time."""


def fleet_for(traffic: Traffic, calls_a_box: int, blocking: float = 0.01) -> Fleet:
    """The boxes, each of ``calls_a_box`` calls at once, that block at most ``blocking`` of the busy
    hour's calls. Raises ValueError."""
    if calls_a_box < 1:
        raise ValueError(f"a box carries {calls_a_box} calls at once; at least 1")
    boxes = max(1, math.ceil(lines_for(traffic.busy_erlangs, blocking) / calls_a_box))
    lines = boxes * calls_a_box
    share = blocked(traffic.busy_erlangs, lines)
    return Fleet(
        boxes=boxes,
        lines=lines,
        blocked=share,
        waiting=waits(traffic.busy_erlangs, lines),
        mean_wait_s=mean_wait_s(traffic.busy_erlangs, lines, traffic.mean_call_s),
        idle_busy_hour=1 - traffic.busy_erlangs * (1 - share) / lines,
        idle=1 - traffic.mean_erlangs / lines,
    )


def _check(erlangs: float, lines: int) -> None:
    if erlangs < 0 or lines < 0:
        raise ValueError(f"{erlangs:g} erlangs over {lines} lines; neither is under 0")
