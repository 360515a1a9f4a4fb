"""Marks become a waterfall whose steps sum to the last mark."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.latency import STAGES, TurnTrace

_MARK = st.none() | st.floats(0, 1e6, allow_nan=False)


def test_each_step_is_measured_from_the_mark_before() -> None:
    trace = TurnTrace(1, 10.0, 10.2, 10.3, 10.4, 10.45, 10.5, 10.52)
    assert trace.total_ms == pytest.approx(520)
    assert list(trace.at_ms()) == list(STAGES)
    assert list(trace.stages_ms().values()) == pytest.approx([200, 100, 100, 50, 50, 20])


def test_a_guess_that_was_ready_early_adds_nothing() -> None:
    trace = TurnTrace(1, speech_end_s=0.0, end_of_turn_s=0.5, transcript_s=0.3, first_token_s=0.6)
    assert trace.stages_ms() == pytest.approx(
        {"end_of_turn": 500, "transcript": 0, "first_token": 100}
    )


def test_the_greeting_counts_from_its_first_mark() -> None:
    trace = TurnTrace(0, first_audio_s=5.0, first_packet_s=5.25)
    assert trace.total_ms is None
    assert trace.at_ms() == pytest.approx({"first_audio": 0, "first_packet": 250})


def test_nothing_happened() -> None:
    trace = TurnTrace(3, speech_end_s=1.0)
    assert (trace.total_ms, trace.at_ms(), trace.stages_ms()) == (None, {}, {})


@settings(deadline=None)
@given(st.floats(0, 1e6), st.lists(_MARK, min_size=len(STAGES), max_size=len(STAGES)))
def test_steps_are_never_negative_and_sum_to_the_last_mark(
    start: float, marks: list[float | None]
) -> None:
    trace = TurnTrace(1, start, *marks)
    steps = trace.stages_ms()
    assert all(step >= 0 for step in steps.values())
    last = max([0.0, *trace.at_ms().values()])
    assert sum(steps.values()) == pytest.approx(last, abs=1e-3)
