"""Erlang's formulas, against tables and by hand."""

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.cost.erlang import (
    blocked,
    fleet_for,
    lines_for,
    mean_wait_s,
    traffic_of,
    waits,
)

MIDNIGHT = datetime(2026, 11, 2, tzinfo=UTC)


def hours(at: float) -> datetime:
    return MIDNIGHT + timedelta(hours=at)


def test_blocking_by_hand() -> None:
    # B(1) = 2/3, B(2) = (4/3) / (2 + 4/3) = 0.4, B(3) = 0.8 / 3.8.
    assert blocked(2.0, 1) == pytest.approx(2 / 3)
    assert blocked(2.0, 2) == pytest.approx(0.4)
    assert blocked(2.0, 3) == pytest.approx(0.8 / 3.8)
    assert blocked(0.0, 5) == 0.0 and blocked(3.0, 0) == 1.0


@pytest.mark.parametrize(
    ("erlangs", "lines"), [(0.0101, 1), (4.461, 10), (12.03, 20), (29.01, 40), (84.06, 100)]
)
def test_blocking_of_one_in_a_hundred_as_in_the_tables(erlangs: float, lines: int) -> None:
    assert blocked(erlangs, lines) == pytest.approx(0.01, rel=0.03)
    assert lines_for(erlangs * 0.99, 0.01) <= lines < lines_for(erlangs * 1.05, 0.01)


def test_waiting_by_hand() -> None:
    # C = B / (1 - 2/3 (1 - B)) with B = 0.8 / 3.8; two thirds of 3 lines are busy.
    share = 0.8 / 3.8
    assert waits(2.0, 3) == pytest.approx(share / (1 - 2 / 3 * (1 - share)))
    assert waits(2.0, 3) == pytest.approx(4 / 9)
    assert mean_wait_s(2.0, 3, 180.0) == pytest.approx(80.0)
    assert waits(3.0, 3) == 1.0 and math.isinf(mean_wait_s(3.0, 3, 180.0))


@given(st.floats(0, 300), st.integers(1, 300))
def test_more_lines_block_less_and_waiting_is_likelier_than_blocking(
    erlangs: float, lines: int
) -> None:
    assert 0 <= blocked(erlangs, lines + 1) <= blocked(erlangs, lines) <= 1
    assert waits(erlangs, lines) >= blocked(erlangs, lines) - 1e-12


def test_traffic_is_told_by_the_hour() -> None:
    calls = [
        (hours(9.5), hours(10.5)),
        (hours(10), hours(10.25)),
        (hours(10), hours(10.25)),
        (hours(23.5), hours(24.5)),
        (hours(-2), hours(-1)),
    ]
    traffic = traffic_of(calls, MIDNIGHT, hours(24))
    assert traffic.calls == 4 and traffic.call_s == pytest.approx(2 * 3600)
    assert traffic.busy_hour == hours(10) and traffic.busy_erlangs == pytest.approx(1.0)
    assert traffic.mean_erlangs == pytest.approx(2 / 24)
    assert traffic.mean_call_s == pytest.approx(1800)


def test_boxes_for_a_traffic_and_how_idle_they_are() -> None:
    # Ten callers of a quarter of an hour each, all in one hour of the day: 2.5 erlangs.
    calls = [(hours(9 + n * 0.07), hours(9.25 + n * 0.07)) for n in range(10)]
    traffic = traffic_of(calls, MIDNIGHT, hours(24))
    assert traffic.busy_erlangs == pytest.approx(2.5, abs=0.01)
    fleet = fleet_for(traffic, 4)
    # 7 lines block 1% of 2.5 erlangs: two boxes of four.
    assert lines_for(2.5, 0.01) == 7 and (fleet.boxes, fleet.lines) == (2, 8)
    assert 0.003 < fleet.blocked < fleet.waiting < 0.005
    assert fleet.idle == pytest.approx(1 - 2.5 / 24 / 8, abs=0.001)
    assert fleet.idle_busy_hour == pytest.approx(1 - 2.5 / 8, abs=0.01)


def test_no_traffic_needs_one_box() -> None:
    traffic = traffic_of([], MIDNIGHT, hours(24))
    assert traffic.busy_hour is None and traffic.mean_call_s == 0.0
    fleet = fleet_for(traffic, 4)
    assert (fleet.boxes, fleet.idle, fleet.blocked) == (1, 1.0, 0.0)


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="under 0"):
        blocked(-1.0, 3)
    with pytest.raises(ValueError, match=r"such as 0\.01"):
        lines_for(3.0, 1.0)
    with pytest.raises(ValueError, match="is empty"):
        traffic_of([], MIDNIGHT, MIDNIGHT)
    with pytest.raises(ValueError, match="at least 1"):
        fleet_for(traffic_of([], MIDNIGHT, hours(1)), 0)
