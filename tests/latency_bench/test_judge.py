"""Each expectation of a scenario, met and not met."""

from typing import Any

import pytest

from latency_bench.figures import CallFigures, Outcome, TurnFigures, Verdict
from latency_bench.judge import judge
from latency_bench.scenario import Scenario


def scenario(*expects: dict[str, Any], **call: Any) -> Scenario:
    over = {"stops_within_ms", "does_not_stop"}
    steps = [
        {"say": "hello", "when": "over" if over & expect.keys() else "after", "expect": expect}
        for expect in expects
    ]
    return Scenario.model_validate({"name": "s", "about": "a", "steps": steps, "expect": call})


def turn(step: int = 0, **changes: Any) -> TurnFigures:
    fields: dict[str, Any] = {
        "part": step,
        "step": step,
        "kind": "speech",
        "said": "hello",
        "source": "",
        "over_agent": False,
        "continues": False,
        "owes_answer": True,
        "began_s": 1.0,
        "ended_s": 2.0,
    }
    return TurnFigures(**{**fields, **changes})


def call(*turns: TurnFigures, outcome: Outcome = "completed", **changes: Any) -> CallFigures:
    return CallFigures(0, "s", "sip", outcome, turns=turns, **changes)


@pytest.mark.parametrize(
    ("expect", "good", "bad", "unknown"),
    [
        ({"answer_within_s": 1.0}, {"first_answer_ms": 900}, {"first_answer_ms": 1100}, {}),
        ({"answer_within_s": 1.0}, {"first_answer_ms": 900}, {"first_answer_ms": -100}, {}),
        ({"stops_within_ms": 500}, {"stopped": True, "stop_ms": 400}, {"stop_ms": 600}, {}),
        ({"does_not_stop": True}, {"stopped": False}, {"stopped": True}, {"stopped": None}),
        ({"words": ("two", "cats")}, {"recognised": "Cats: 2."}, {"recognised": "two dogs"}, {}),
        ({"any_word": ("two", "cats")}, {"recognised": "2 dogs"}, {"recognised": "a dog"}, {}),
        ({"words": ("new york",)}, {"recognised": "New York."}, {"recognised": "york, new"}, {}),
    ],
)
def test_a_turn_meets_what_is_expected_or_does_not(
    expect: dict[str, Any], good: dict[str, Any], bad: dict[str, Any], unknown: dict[str, Any]
) -> None:
    for fields, met in ((good, True), (bad, False), (unknown, False)):
        judged = judge(call(turn(**fields)), scenario(expect))
        (verdict,) = judged.turns[0].verdicts
        assert verdict.rule == next(iter(expect)) and verdict.met is met
        assert judged.passed is met and judged.verdicts == ()
        if fields is unknown:
            assert verdict.value is None


def test_what_was_never_said_was_not_waited_for() -> None:
    waits, silent = {"waits": True}, {"no_answer": True}
    assert judge(call(turn()), scenario(waits)).passed
    assert not judge(call(turn(cut_in=True)), scenario(waits)).passed
    assert judge(call(turn()), scenario(silent)).passed
    assert not judge(call(turn(v2v_ms=400.0)), scenario(silent)).passed


def test_an_agent_that_speaks_in_a_pause_did_not_wait_for_the_turn() -> None:
    parts = (turn(0, continues=True, cut_in=True), turn(0))
    judged = judge(call(*parts), scenario({"waits": True}))
    assert judged.turns[0].verdicts == () and judged.turns[1].verdicts[0].met is False
    # Over two steps as well; the second one's turn began with the first.
    parts = (turn(0, continues=True, cut_in=True), turn(1))
    judged = judge(call(*parts), scenario({}, {"waits": True}))
    assert judged.turns[1].verdicts == (Verdict("waits", True, False, False),)


def test_a_step_that_is_repeated_is_judged_each_time() -> None:
    parts = (turn(0, first_answer_ms=500.0), turn(0, first_answer_ms=1500.0))
    judged = judge(call(*parts), scenario({"answer_within_s": 1}))
    assert [part.verdicts[0].met for part in judged.turns] == [True, False]


def test_a_step_that_was_not_reached_is_not_met() -> None:
    judged = judge(call(turn(0)), scenario({}, {"answer_within_s": 1, "words": ("two", "cats")}))
    assert judged.verdicts == (
        Verdict("answer_within_s", 1.0, None, False),
        Verdict("words", "two, cats", None, False),
    )
    assert not judged.passed


@pytest.mark.parametrize(
    ("expect", "good", "bad"),
    [
        ({"greeting_within_s": 1.0}, {"greeting_ms": 900.0}, {"greeting_ms": 1100.0}),
        ({"greeting_within_s": 1.0}, {"greeting_ms": 900.0}, {"greeting_ms": None}),
        ({"answered_within_s": 2.0}, {"answer_ms": 1900.0}, {"answer_ms": 2100.0}),
    ],
)
def test_a_call_meets_what_is_expected_or_does_not(
    expect: dict[str, Any], good: dict[str, Any], bad: dict[str, Any]
) -> None:
    wanted = scenario({}, **expect)
    assert judge(call(turn(), **good), wanted).passed
    judged = judge(call(turn(), **bad), wanted)
    assert not judged.passed and judged.verdicts[0].met is False


def test_dead_air_is_the_longest_of_the_turns_that_owe_an_answer() -> None:
    wanted = scenario({}, {}, dead_air_under_s=2)
    quiet = turn(1, dead_air_ms=5000.0, owes_answer=False)
    assert judge(call(turn(0, dead_air_ms=1500.0), quiet), wanted).passed
    assert not judge(call(turn(0, dead_air_ms=2500.0), quiet), wanted).passed
    (verdict,) = judge(call(quiet), wanted).verdicts
    assert verdict.value is None and not verdict.met


def test_an_agent_may_hang_up_where_it_should_and_after_handing_over() -> None:
    assert not judge(call(turn(), outcome="remote"), scenario({})).passed
    assert judge(call(turn(), outcome="remote"), scenario({}, hangs_up=True)).passed
    assert not judge(call(turn()), scenario({}, hangs_up=True)).passed
    handed = {"outcome": "remote", "transferred_to": "sip:desk@example.com"}
    assert judge(call(turn(), **handed), scenario({"transferred": True})).passed
    assert not judge(call(turn(), **handed), scenario({})).passed
    stays = judge(call(turn()), scenario({"transferred": True}))
    assert not stays.passed and stays.turns[0].verdicts[0].value is None


@pytest.mark.parametrize("outcome", ["limit", "failed", "stopped", "refused", "no_audio"])
def test_a_call_that_did_not_take_place_fails_whatever_else(outcome: Outcome) -> None:
    assert not judge(call(turn(), outcome=outcome), scenario({}, hangs_up=False)).passed
