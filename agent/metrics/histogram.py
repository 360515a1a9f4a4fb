"""Counts of measurements by size, both as classic buckets and as a native histogram. Pure.

A native histogram's buckets grow by one factor, 2**(1/8), so that any quantile is known to 5%
without choosing bounds beforehand; only those in use are kept and sent. Prometheus takes it in its
protobuf format alone, and a server that does not ask for that gets the classic buckets.
"""

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SCHEMA = 3
"""Each power of two is divided into 2**SCHEMA buckets."""
ZERO_THRESHOLD = 2.0**-128
"""What is no larger is in the bucket of zero; the width that Prometheus' own clients have."""

LATENCY_S = (0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0)
"""Classic bounds around what people feel: 200 ms is a pause in talk, 800 ms a long one."""
DURATION_S = (5.0, 15.0, 30.0, 60.0, 120.0, 180.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0)

_FRACTIONS = tuple(0.5 * 2 ** (n / 2**SCHEMA) for n in range(2**SCHEMA))


@dataclass(frozen=True, slots=True)
class Counted:
    """A histogram as it was at one moment."""

    bounds: Sequence[float]
    cumulative: Sequence[int]
    """For each bound how many were no larger; what is over all of them is in ``count`` alone."""
    count: int
    total: float
    """All measurements together."""
    zeros: int
    buckets: Mapping[int, int]
    """The native histogram: bucket -> how many."""


class Histogram:
    """Takes measurements, none of them negative, in one unit."""

    def __init__(self, bounds: Sequence[float]) -> None:
        """``bounds`` of the classic buckets, rising."""
        self._bounds = tuple(bounds)
        self._classic = [0] * (len(self._bounds) + 1)
        self._native: dict[int, int] = {}
        self._zeros = 0
        self._count = 0
        self._total = 0.0

    def observe(self, value: float) -> None:
        """Counts one. Raises ValueError for a negative one, or no number."""
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{value} is no measurement: it must be 0 or more")
        self._classic[bisect_left(self._bounds, value)] += 1
        if value <= ZERO_THRESHOLD:
            self._zeros += 1
        else:
            bucket = bucket_of(value)
            self._native[bucket] = self._native.get(bucket, 0) + 1
        self._count += 1
        self._total += value

    def copy(self) -> "Histogram":
        """The same counts, which nobody adds to any more; takes a microsecond."""
        copied = Histogram(self._bounds)
        copied._classic, copied._native = self._classic.copy(), self._native.copy()
        copied._zeros, copied._count, copied._total = self._zeros, self._count, self._total
        return copied

    def counted(self) -> Counted:
        """What it has counted so far."""
        reached, cumulative = 0, []
        for number in self._classic[:-1]:
            reached += number
            cumulative.append(reached)
        return Counted(
            self._bounds, cumulative, self._count, self._total, self._zeros, dict(self._native)
        )


def bucket_of(value: float) -> int:
    """The native bucket of ``value``, over 0: number n holds what is over ``growth**(n-1)`` and no
    larger than ``growth**n``, where ``growth`` is ``2**(2**-SCHEMA)``."""
    fraction, exponent = math.frexp(value)
    return bisect_left(_FRACTIONS, fraction) + (exponent - 1) * len(_FRACTIONS)


@dataclass(frozen=True, slots=True)
class Sparse:
    """Native buckets as they are sent: runs of neighbours, and each count less the one before."""

    spans: tuple[tuple[int, int], ...]
    """Buckets left out since the run before (the first run: its first bucket), and its length."""
    deltas: tuple[int, ...]


def sparse(buckets: Mapping[int, int]) -> Sparse:
    """``buckets`` in runs."""
    spans: list[tuple[int, int]] = []
    deltas: list[int] = []
    after, count_before = 0, 0
    for bucket in sorted(buckets):
        if spans and bucket == after:
            spans[-1] = (spans[-1][0], spans[-1][1] + 1)
        else:
            spans.append((bucket - after, 1))
        after = bucket + 1
        deltas.append(buckets[bucket] - count_before)
        count_before = buckets[bucket]
    return Sparse(tuple(spans), tuple(deltas))
