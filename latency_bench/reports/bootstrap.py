"""Intervals for figures of calls: the bootstrap, and Newcombe's for rates. Pure."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

DRAWS = 4000
CHUNK = 500
Z95 = 1.959964
Floats = NDArray[np.float64]


def draws(
    by_call: Sequence[Sequence[float]], share: float | None, rng: np.random.Generator
) -> Floats:
    """The figure of ``DRAWS`` samples of calls; NaN where none of the drawn calls has a value.

    A sample is how often each call was drawn; a percentile is then that of values which each
    stand as often as their call.
    """
    calls = len(by_call)
    call_of = np.repeat(np.arange(calls), [len(values) for values in by_call])
    flat = np.array([value for values in by_call for value in values])
    order = np.argsort(flat, kind="stable")
    flat, call_of = flat[order], call_of[order]
    found = np.empty(DRAWS)
    for start in range(0, DRAWS, CHUNK):
        times = rng.multinomial(calls, np.full(calls, 1 / calls), size=CHUNK)[:, call_of]
        reached = np.cumsum(times, axis=1)
        total = reached[:, -1]
        with np.errstate(invalid="ignore", divide="ignore"):
            if share is None:
                figures = (times @ flat) / total
            else:
                rank = (total - 1) * share
                low = np.floor(rank)
                part = rank - low
                figures = _ranked(flat, reached, low) * (1 - part) + part * _ranked(
                    flat, reached, np.minimum(low + 1, total - 1)
                )
        found[start : start + CHUNK] = np.where(total > 0, figures, np.nan)
    return found


def _ranked(flat: Floats, reached: NDArray[np.int64], rank: Floats) -> Floats:
    place = (reached <= rank[:, None]).sum(axis=1)
    ranked: Floats = flat[np.minimum(place, len(flat) - 1)]
    return ranked


def percentiles(drawn: Floats) -> tuple[float, float]:
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return float(low), float(high)


def widened(ci95: tuple[float, float], values: Sequence[Floats]) -> tuple[float, float]:
    a, b = (wilson(float(side.sum()), len(side)) for side in values)
    p_a, p_b = (float(side.mean()) for side in values)
    low = p_b - p_a - math.hypot(p_b - b[0], a[1] - p_a)
    high = p_b - p_a + math.hypot(b[1] - p_b, p_a - a[0])
    return min(ci95[0], low), max(ci95[1], high)


def wilson(happened: float, of: int) -> tuple[float, float]:
    share = happened / of
    middle = share + Z95**2 / (2 * of)
    half = Z95 * math.sqrt(share * (1 - share) / of + Z95**2 / (4 * of**2))
    scale = 1 + Z95**2 / of
    return (middle - half) / scale, (middle + half) / scale
