"""Does a figure grow over hours? Pure.

The slope is the median of those between all pairs of points, which outliers do not move, with a
confidence interval from the order of the pairs (Theil 1950, Sen 1968; `scipy.stats.theilslopes`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

POINTS = 120
"""Neighbouring samples are alike; the medians of so many stretches hardly are, and the interval
assumes that they are not."""
FEWEST = 8
SHORTEST_S = 1200.0
"""In less than that, memory that is taken once and kept looks like a leak."""
HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class Watched:
    """A figure that may drift; below ``matters`` an hour nobody minds."""

    noun: str
    unit: str
    matters: float
    grown: str
    """What growth means."""


WATCHED = {
    "rss_mb": Watched("memory", "MB", 1.0, "a leak"),
    "descriptors": Watched("open descriptors", "", 1.0, "a leak"),
    "threads": Watched("threads", "", 1.0, "a leak"),
    "processes": Watched("processes", "", 0.5, "a leak"),
    "v2v_p50_ms": Watched("latency", "ms", 10.0, "it slows down"),
}


@dataclass(frozen=True, slots=True)
class Trend:
    """How a figure drifts. ``ci95``: both None where there is too little to say."""

    per_hour: float | None
    ci95: tuple[float, float] | None
    verdict: str

    def to_json(self) -> dict[str, Any]:
        """As the report holds it."""
        return {
            "per_hour": self.per_hour,
            "ci95": list(self.ci95) if self.ci95 else None,
            "verdict": self.verdict,
        }


def trend(name: str, at_s: Sequence[float], values: Sequence[float | None]) -> Trend:
    """The drift of one of `WATCHED`; what was not measured is left out."""
    known = [(at, value) for at, value in zip(at_s, values, strict=True) if value is not None]
    if len(known) < FEWEST:
        return Trend(None, None, f"too short to tell: {len(known)} samples")
    times, figures = (np.array(column, np.float64) for column in zip(*known, strict=True))
    times, figures = stretches(times, figures, POINTS)
    lasted_s = float(np.ptp(times))
    if lasted_s < SHORTEST_S:
        return Trend(
            None,
            None,
            f"too short to tell: {lasted_s / 60:.0f} minutes after the warm-up, and it takes "
            f"{SHORTEST_S / 60:.0f}",
        )
    # Imported when a trend is asked for: it takes a second to load.
    from scipy.stats import theilslopes

    slope, _, low, high = theilslopes(figures, times / HOUR_S, alpha=0.95)
    if not all(map(math.isfinite, (slope, low, high))):
        return Trend(None, None, "too short to tell")
    found = (float(low), float(high))
    return Trend(float(slope), found, _verdict(WATCHED[name], float(slope), *found))


def stretches(
    times: NDArray[np.float64], values: NDArray[np.float64], most: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """At most ``most`` points: the medians of as many stretches of equal numbers of samples."""
    if len(times) <= most:
        return times, values
    parts = np.array_split(np.arange(len(times)), most)
    return (
        np.array([np.median(times[part]) for part in parts]),
        np.array([np.median(values[part]) for part in parts]),
    )


def _verdict(watched: Watched, slope: float, low: float, high: float) -> str:
    unit = f" {watched.unit}" if watched.unit else ""
    grow = "grow" if watched.noun.endswith("s") else "grows"
    interval = f"95% CI {_plain(low)} to {_plain(high)}"
    if low > 0:
        meaning = watched.grown if low >= watched.matters else "too little to mind"
        return f"{watched.noun} {grow} by {_plain(slope)}{unit} an hour ({interval}): {meaning}"
    if high < 0:
        fall = "fall" if watched.noun.endswith("s") else "falls"
        return f"{watched.noun} {fall} by {_plain(-slope)}{unit} an hour ({interval})"
    return f"no growth of {watched.noun} can be shown ({interval}{unit} an hour)"


def _plain(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 10 else f"{value:.2g}"
