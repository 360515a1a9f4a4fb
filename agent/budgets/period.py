"""When a day or a month begins, and when the next one does. Pure."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from agent.budget_section import Period


def starts_at(at: datetime, period: Period, time_zone: str) -> datetime:
    """The beginning, in UTC, of the period that ``at`` lies in, by the zone's calendar."""
    local = at.astimezone(ZoneInfo(time_zone))
    first = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if period == "month":
        first = first.replace(day=1)
    return first.astimezone(UTC)


def ends_at(start: datetime, period: Period, time_zone: str) -> datetime:
    """When the period that began at ``start`` is over, in UTC."""
    local = start.astimezone(ZoneInfo(time_zone))
    if period == "day":
        # The wall clock's next midnight: a day may have 23 or 25 hours.
        return (local + timedelta(days=1)).astimezone(UTC)
    months = local.year * 12 + local.month
    return local.replace(year=months // 12, month=months % 12 + 1).astimezone(UTC)
