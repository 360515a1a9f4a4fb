"""Tables of `offhook bench quality`, as docs/bench-report.md has them. Pure."""

from collections.abc import Sequence
from typing import Any

from latency_bench.quality.word_errors import Rate

Row = list[str | float | None]
Table = dict[str, Any]


def table(title: str, about: str, columns: Sequence[str], rows: Sequence[Row]) -> Table:
    """One table; ``about`` says how its figures came about."""
    return {"title": title, "about": about, "columns": list(columns), "rows": list(rows)}


def value_of(rate: Rate | None) -> float | None:
    """The share alone."""
    return rate.value if rate is not None else None


def percent(value: float | None) -> str | None:
    """A share for people."""
    return None if value is None else f"{value:.1%}"


def rounded(value: float | None) -> float | None:
    """A whole number for people."""
    return None if value is None else round(value)


def with_interval(rate: Rate | None) -> str | None:
    """A share for people, with its 95% confidence interval in percent."""
    if rate is None:
        return None
    return f"{rate.value:.1%} ({rate.low * 100:.0f}-{rate.high * 100:.0f})"
