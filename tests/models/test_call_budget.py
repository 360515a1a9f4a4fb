"""How many calls fit, by hand."""

import pytest

from models.call_budget import Resource, calls_that_fit


def test_the_resource_that_is_full_first_bounds_the_calls() -> None:
    found = calls_that_fit(
        {
            "processor": Resource(turn_s=1.0, standing=0.05, width=2),
            "llm": Resource(turn_s=0.4),
            "event loop": Resource(standing=0.03),
        },
        turn_every_s=10.0,
        most_busy=0.7,
    )
    # (1 / 10 + 0.05) / 2 = 0.075 a call; nine take 0.675, ten 0.75.
    assert (found.calls, found.bound) == (9, "processor")
    assert found.busy == pytest.approx({"processor": 0.675, "llm": 0.36, "event loop": 0.27})


def test_a_whole_number_is_not_lost_to_rounding() -> None:
    assert calls_that_fit({"llm": Resource(turn_s=0.7)}, 10.0).calls == 10
    assert calls_that_fit({"llm": Resource(turn_s=8.0)}, 10.0).calls == 0


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="time apart"):
        calls_that_fit({"llm": Resource(turn_s=1.0)}, 0.0)
    for free in ({}, {"llm": Resource()}):
        with pytest.raises(ValueError, match="without end"):
            calls_that_fit(free, 10.0)
