"""Native histograms: where a measurement falls, and what is sent of it."""

import math
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.metrics.histogram import (
    LATENCY_S,
    SCHEMA,
    Histogram,
    bucket_of,
    sparse,
)

GROWTH = 2 ** (2**-SCHEMA)


@pytest.mark.parametrize(
    ("value", "bucket"),
    [(1.0, 0), (math.nextafter(1.0, 2), 1), (2.0, 8), (0.5, -8), (GROWTH * 0.9999, 1), (4.0, 16)],
)
def test_powers_of_two_are_upper_bounds(value: float, bucket: int) -> None:
    assert bucket_of(value) == bucket


@given(st.floats(min_value=1e-9, max_value=1e9))
def test_a_measurement_lies_within_its_bucket(value: float) -> None:
    bucket = bucket_of(value)
    # The bounds are rounded, as the client libraries' are.
    assert GROWTH ** (bucket - 1) * (1 - 1e-12) < value <= GROWTH**bucket * (1 + 1e-12)


@given(st.lists(st.floats(min_value=0, max_value=1e5), max_size=60))
def test_both_kinds_of_buckets_hold_every_measurement(values: list[float]) -> None:
    histogram = Histogram(LATENCY_S)
    for value in values:
        histogram.observe(value)
    counted = histogram.counted()
    assert counted.count == len(values)
    assert counted.zeros + sum(counted.buckets.values()) == len(values)
    assert counted.total == pytest.approx(math.fsum(values))
    for bound, number in zip(counted.bounds, counted.cumulative, strict=True):
        assert number == sum(value <= bound for value in values)


@given(st.dictionaries(st.integers(-400, 400), st.integers(1, 10_000), max_size=40))
def test_what_is_sent_says_the_same(buckets: dict[int, int]) -> None:
    sent = sparse(buckets)
    at, counts = 0, list(accumulate(sent.deltas))
    found = {}
    for offset, length in sent.spans:
        at += offset
        for _ in range(length):
            found[at] = counts[len(found)]
            at += 1
    assert found == buckets
    assert all(offset > 0 for offset, _ in sent.spans[1:]), "neighbours are one run"


@pytest.mark.parametrize("value", [-0.001, math.nan, math.inf])
def test_what_is_no_measurement_is_not_counted(value: float) -> None:
    histogram = Histogram(LATENCY_S)
    with pytest.raises(ValueError, match="no measurement"):
        histogram.observe(value)
    assert histogram.counted().count == 0
