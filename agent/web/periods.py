"""Stretches of time that a chart puts side by side, in UTC. Pure."""

from datetime import UTC, datetime, timedelta
from enum import StrEnum

MOST = 400
"""Of them in one chart."""


class TooMany(ValueError):
    """The stretch of time that is asked for has too many periods of that length."""


class Length(StrEnum):
    """Of a period."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


def length_for(begins_at: datetime, ends_at: datetime) -> Length:
    """What makes a readable chart of a stretch of time."""
    stretch = ends_at - begins_at
    if stretch <= timedelta(days=2):
        return Length.HOUR
    if stretch <= timedelta(days=62):
        return Length.DAY
    return Length.WEEK if stretch <= timedelta(days=366) else Length.MONTH


def begin_of(at: datetime, length: Length) -> datetime:
    """When the period that holds ``at`` began; weeks begin on Monday."""
    at = at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    if length is Length.HOUR:
        return at
    day = at.replace(hour=0)
    match length:
        case Length.DAY:
            return day
        case Length.WEEK:
            return day - timedelta(days=day.weekday())
        case Length.MONTH:
            return day.replace(day=1)


def periods(begins_at: datetime, ends_at: datetime, length: Length) -> list[datetime]:
    """The beginnings of all periods, empty ones too, from that of ``begins_at`` to ``ends_at``.

    Raises TooMany.
    """
    found = [begin_of(begins_at, length)]
    while (following := _after(found[-1], length)) < ends_at:
        found.append(following)
        if len(found) > MOST:
            raise TooMany(
                f"from {begins_at:%Y-%m-%d} to {ends_at:%Y-%m-%d} there are over {MOST} "
                f"{length}s; ask for longer periods, or for less time"
            )
    return found


def _after(begin: datetime, length: Length) -> datetime:
    match length:
        case Length.HOUR:
            return begin + timedelta(hours=1)
        case Length.DAY:
            return begin + timedelta(days=1)
        case Length.WEEK:
            return begin + timedelta(days=7)
        case Length.MONTH:
            return begin_of(begin + timedelta(days=32), length)
