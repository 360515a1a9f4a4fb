"""What a sound over the agent did to it, from recordings whose times are known to the sample."""

from typing import Any

import pytest
from constructed_call import call, event
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from latency_bench.figures import TurnFigures
from latency_bench.measures.measure import turns_of
from latency_bench.recording import Event

MS = 1.1
QUESTION = (2.0, 1.0)
OVER: dict[str, Any] = {"over_agent": True}
UNOWED: dict[str, Any] = {"over_agent": True, "owes_answer": False}


def ms(value: float) -> object:
    return pytest.approx(value, abs=MS)


def over(
    agent: list[tuple[float, float]],
    fields: dict[str, Any] = OVER,
    *,
    at_s: float = 5.0,
    for_s: float = 1.0,
    events: tuple[Event, ...] = (),
    duration_s: float = 20.0,
) -> TurnFigures:
    """The part that is said over the agent, which answers a question from 3.5 s on."""
    said = [QUESTION, (at_s, for_s, fields)]
    return turns_of(call(said, agent, events=events, duration_s=duration_s))[1]


@given(stop_ms=st.integers(20, 2900), wait_ms=st.integers(30, 2000))
@settings(max_examples=20, deadline=None)
def test_an_agent_stops_so_long_after_the_first_sound_and_answers_after_the_last(
    stop_ms: int, wait_ms: int
) -> None:
    # Shorter silences are no stop.
    assume(3000 - stop_ms + wait_ms >= 310)
    answer = (8 + wait_ms / 1000, 1)
    turn = over([(3.5, 1.5 + stop_ms / 1000), answer], for_s=3)
    assert turn.stopped is True and turn.stop_ms == ms(stop_ms)
    assert turn.v2v_ms == ms(wait_ms) and turn.counts and not turn.cut_in
    assert turn.talk_over_ms == ms(stop_ms)


def test_the_answer_that_was_cut_off_ends_where_it_was_cut() -> None:
    first, second = turns_of(call([QUESTION, (5, 1, OVER)], [(3.5, 1.8), (6.7, 2)]))
    assert first.v2v_ms == ms(500) and first.answer_ended_s == pytest.approx(5.3, abs=0.002)
    assert second.answer_began_s == pytest.approx(6.7, abs=0.002)
    assert second.stop_ms == ms(300) and second.v2v_ms == ms(700)


def test_an_agent_that_talks_on_was_not_stopped_and_answers_late_or_never() -> None:
    deaf = over([(3.5, 10)])
    assert deaf.stopped is False and deaf.stop_ms is None
    assert deaf.missed and deaf.v2v_ms is None and deaf.talk_over_ms == ms(1000)
    late = over([(3.5, 6), (11, 1)])
    assert late.stopped is False and late.v2v_ms == ms(5000) and not late.missed


def test_a_clause_later_is_no_answer_of_an_agent_that_talks_on() -> None:
    turn = over([(3.5, 5), (8.9, 3)])
    assert turn.stopped is False and turn.missed


def test_a_stop_after_three_seconds_was_not_because_of_the_caller() -> None:
    turn = over([(3.5, 4.7), (10, 1)])
    assert turn.stopped is False and turn.stop_ms is None


def test_a_pause_like_the_agents_own_is_no_stop() -> None:
    # Pauses of 0.4 s, one of which falls under the caller's words.
    turn = over([(3.5, 0.6), (4.5, 0.8), (5.7, 6)])
    assert turn.stopped is False and turn.stop_ms is None
    # Where the agent has no pauses of its own, the same silence is a stop.
    turn = over([(3.5, 1.8), (5.7, 6)])
    assert turn.stopped is True and turn.stop_ms == ms(300)
    # And it began again before the caller had finished.
    assert turn.cut_in and turn.v2v_ms == ms(-300)


def test_a_duck_in_loudness_is_no_stop() -> None:
    turn = over([(3.5, 1.6), (5.3, 3)])
    assert turn.stopped is False


def test_there_may_be_nothing_to_interrupt() -> None:
    turn = over([(3.5, 1.4), (6.5, 1)])
    assert turn.stopped is None and turn.stop_ms is None
    assert turn.v2v_ms == ms(500)


def test_a_caller_who_did_not_mean_to_interrupt_is_answered_after_the_agent_stopped() -> None:
    turn = over([(3.5, 1.8), (6.7, 1)], {"over_agent": False})
    assert turn.stopped is None and turn.stop_ms is None and turn.v2v_ms == ms(700)


@pytest.mark.parametrize("kind", ["speech", "noise"])
def test_a_backchannel_or_noise_that_the_agent_talks_through(kind: str) -> None:
    fields = {**UNOWED, "kind": kind}
    first, second = turns_of(
        call([QUESTION, (5, 0.4, fields)], [(3.5, 2), (6.0, 2), (8.9, 1)], duration_s=14)
    )
    assert second.stopped is False and second.v2v_ms is None and not second.missed
    assert second.talk_over_ms == (ms(400) if kind == "speech" else 0)
    # The answer goes on under it: its clauses are all of one answer.
    assert first.answer_ended_s == pytest.approx(9.9, abs=0.002)
    assert first.dead_air_ms == ms(900)


@pytest.mark.parametrize(("silent_s", "stopped"), [(0.9, False), (1.1, True)])
def test_a_false_stop_lasts_a_second(silent_s: float, stopped: bool) -> None:
    turn = over([(3.5, 2.5), (6 + silent_s, 2)], UNOWED, for_s=0.4)
    assert turn.stopped is stopped
    assert turn.stop_ms == (ms(1000) if stopped else None)


def test_a_stop_after_a_second_and_a_half_was_not_because_of_a_backchannel() -> None:
    assert over([(3.5, 3.1)], UNOWED, for_s=0.4).stopped is False
    assert over([(3.5, 2.9)], UNOWED, for_s=0.4).stopped is True


def test_what_the_agent_says_after_a_false_stop_is_its_own() -> None:
    first, second = turns_of(call([QUESTION, (5, 0.4, UNOWED)], [(3.5, 2), (7.4, 1)]))
    assert second.stopped is True and second.v2v_ms == ms(2000)
    assert first.answer_ended_s == pytest.approx(5.5, abs=0.002)


@pytest.mark.parametrize(("told_s", "stopped"), [(5.4, True), (3.0, False), (None, False)])
def test_an_agent_that_tells_settles_whether_the_answer_had_just_ended(
    told_s: float | None, stopped: bool
) -> None:
    events = [event(3.5, "speaking", who="agent", on=True)]
    if told_s is not None:
        events.append(event(told_s, "interrupted", turn=1))
    turn = over([(3.5, 2)], UNOWED, for_s=0.4, events=tuple(sorted(events, key=lambda e: e.at_s)))
    assert turn.stopped is stopped


def test_an_agents_word_does_not_make_a_stop_of_what_went_on() -> None:
    events = (event(5.2, "interrupted", turn=1),)
    assert over([(3.5, 8)], UNOWED, for_s=0.4, events=events).stopped is False


def test_a_call_that_ends_too_soon_tells_nothing_of_a_stop() -> None:
    turn = over([(3.5, 2)], UNOWED, for_s=0.4, duration_s=6)
    assert turn.stopped is None


def test_silence_interrupts_nobody() -> None:
    fields = {"kind": "silence", "owes_answer": False}
    turn = over([(3.5, 2), (8, 1)], fields, for_s=2)
    assert turn.stopped is None and turn.v2v_ms == ms(1000) and not turn.cut_in


TELLS = event(3.5, "speaking", who="agent", on=True)


def test_a_moment_of_silence_after_which_a_telling_agent_goes_on_is_no_stop() -> None:
    # Held for 0.5 s at 5.2 s, and it went on for as long as it had to say.
    held = [(3.5, 1.7), (5.7, 5)]
    turn = over(held, events=(TELLS,))
    assert turn.stopped is False and turn.stop_ms is None
    # Held once in vain, and then for good: the stop begins with the silence that lasted.
    turn = over(
        [(3.5, 1.7), (5.7, 0.5), (8, 1)], for_s=2, events=(TELLS, event(6.6, "interrupted"))
    )
    assert turn.stopped is True and turn.stop_ms == ms(1200)


def test_a_stop_begins_with_the_silence_and_not_with_the_agents_word_for_it() -> None:
    turn = over([(3.5, 1.7), (6.7, 1)], events=(TELLS, event(5.8, "interrupted")))
    assert turn.stopped is True and turn.stop_ms == ms(200)


def test_a_backchannel_that_holds_the_agent_for_a_moment_has_not_stopped_it() -> None:
    turn = over([(3.5, 1.7), (5.7, 3)], UNOWED, for_s=0.4, events=(TELLS,))
    assert turn.stopped is False and turn.stop_ms is None and turn.v2v_ms is None
