"""Each expectation of a scenario, met and not met."""

from typing import Any

import pytest

from latency_bench.figures import CallFigures, Outcome, TurnFigures, Verdict
from latency_bench.measures.judge import judge
from latency_bench.measures.voices import TOO_LOUD
from latency_bench.reports.expectations import expected, unmet
from latency_bench.scenario import Expect, ExpectCall, Scenario


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


EXAMPLES: dict[str, Any] = {
    "answer_within_s": 1.0,
    "not_before_s": 1.0,
    "words": ("two",),
    "any_word": ("two",),
    "stops_within_ms": 500,
    "greeting_within_s": 1.0,
    "answered_within_s": 1.0,
    "dead_air_under_s": 1.0,
}


@pytest.mark.parametrize("rule", Expect.model_fields)
def test_every_field_of_a_step_is_judged_and_worded(rule: str) -> None:
    wanted = scenario({rule: EXAMPLES.get(rule, True)})
    (verdict,) = judge(call(turn()), wanted).turns[0].verdicts
    assert verdict.rule == rule and ": " not in expected(verdict)
    # Of a step that was not reached as well.
    (unreached,) = judge(call(), wanted).verdicts
    assert unreached.rule == rule and not unreached.met


@pytest.mark.parametrize("rule", ExpectCall.model_fields)
def test_every_field_of_a_call_is_judged_and_worded(rule: str) -> None:
    (verdict,) = judge(call(turn()), scenario({}, **{rule: EXAMPLES.get(rule, True)})).verdicts
    assert verdict.rule == rule and ": " not in expected(verdict)


def test_an_unfinished_sentence_is_not_answered_too_soon() -> None:
    wanted = scenario({"not_before_s": 1.0})
    for fields, met in (
        ({"v2v_ms": 1000.0}, True),
        ({"v2v_ms": 999.0}, False),
        ({"v2v_ms": -50.0, "cut_in": True}, False),
        ({}, True),
        # A filler too says that the sentence was taken for a finished one.
        ({"v2v_ms": 400.0, "first_answer_ms": 2000.0, "filler": True}, False),
    ):
        (verdict,) = judge(call(turn(**fields)), wanted).turns[0].verdicts
        assert verdict.met is met


def test_an_owed_answer_that_does_not_come_fails_a_scenario_without_expectations() -> None:
    judged = judge(call(turn(missed=True)), scenario({}))
    assert judged.turns[0].verdicts == (Verdict("answers", True, False, False),)
    assert unmet(judged) == ["turn 0, expected: answers; measured: no"]
    assert judge(call(turn(missed=True)), scenario({"no_answer": True})).passed


def test_the_first_sound_is_taken_for_the_answer_where_nobody_listened() -> None:
    wanted = scenario({"answer_within_s": 1.0})
    assert judge(call(turn(v2v_ms=800.0)), wanted).passed
    assert not judge(call(turn(v2v_ms=800.0, recognised="")), wanted).passed


def test_a_line_too_loud_to_hear_the_agent_meets_nothing_that_hangs_on_its_voice() -> None:
    fields: dict[str, Any] = {"notes": (TOO_LOUD,), "answer_ms": 100.0}
    silent = judge(call(turn(), **fields), scenario({"no_answer": True, "waits": True}))
    assert [(v.value, v.met) for v in silent.turns[0].verdicts] == [(None, False)] * 2
    owed = judge(call(turn(), **fields), scenario({}, answered_within_s=1, dead_air_under_s=9))
    assert owed.turns[0].verdicts == (Verdict("answers", True, None, False),)
    assert [verdict.met for verdict in owed.verdicts] == [True, False]


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
