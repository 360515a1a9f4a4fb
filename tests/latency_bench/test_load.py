"""Callers as they come and talk, what counts of it, and which load is tried next."""

import itertools
import statistics
from dataclasses import replace

import numpy as np
import pytest

from latency_bench.conversation import Conversation, Pace, Phase
from latency_bench.figures import CallFigures, TurnFigures
from latency_bench.load.callers import Callers, Habits, Window, figures_of
from latency_bench.load.objective import (
    LEVELS,
    Limit,
    Objective,
    ObjectiveError,
    capacity,
    levels_up_to,
    next_level,
    parse_levels,
    parse_objective,
)
from latency_bench.part import Part

RATE_HZ = 16_000


def question(name: str = "q") -> Part:
    pcm = np.full(RATE_HZ // 10, 8000, np.int16)
    return Part(0, "speech", pcm, RATE_HZ, 0, len(pcm) - 1, source=name)


def callers(seed: int = 1, habits: Habits | None = None) -> Callers:
    return Callers([question(name) for name in "abcde"], habits or Habits(), seed)


def turn(ended_s: float = 1.0, **changes: object) -> TurnFigures:
    made = TurnFigures(
        part=0, step=0, kind="speech", said=None, source="", over_agent=False, continues=False,
        owes_answer=True, began_s=ended_s - 1, ended_s=ended_s, v2v_ms=500.0,
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


def call(began_s: float, duration_s: float, *turns: TurnFigures, **changes: object) -> CallFigures:
    made = CallFigures(
        call=0, scenario="question", door="sip", outcome="completed", began_s=began_s,
        duration_s=duration_s, answer_ms=500.0, turns=turns,
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


def test_the_same_seed_draws_the_same_callers() -> None:
    def drawn(seed: int) -> list[object]:
        one = callers(seed)
        parts = [(part.source, part.at_s, part.step) for _ in range(5) for part in one.call()]
        return [*parts, *one.arrivals_s(4, 10), one.gap_s()]

    assert drawn(1) == drawn(1) != drawn(2)


def test_calls_arrive_apart_and_never_after_the_ramp() -> None:
    arrivals = callers().arrivals_s(200, 20.0)
    assert arrivals == sorted(arrivals) and 0 <= arrivals[0] and arrivals[-1] <= 20
    apart = np.diff(arrivals)
    # Of a Poisson process: gaps as irregular as exponential ones, not a timetable.
    assert 0.7 < np.std(apart) / np.mean(apart) < 1.4


def test_callers_think_as_long_as_people_and_ask_each_question_once_first() -> None:
    habits = Habits(think_s=2.0, turns=(3, 7))
    one = callers(habits=habits)
    calls = [one.call() for _ in range(400)]
    assert {len(parts) for parts in calls} == {3, 4, 5, 6, 7}
    asked = [part for parts in calls for part in parts]
    for five in (
        itertools.batched(asked, 5)
        if hasattr(itertools, "batched")
        else zip(*[iter(asked)] * 5, strict=False)
    ):
        assert len({part.source for part in five}) == 5
    pauses = [part.at_s for part in asked]
    assert 1.8 < statistics.mean(pauses) < 2.2
    assert 1.2 < statistics.median(pauses) < 1.6, "most are short, some long"
    assert max(pauses) <= habits.longest_think_s
    assert all(part.when == "after" and part.wait_s == habits.wait_s for part in asked)


def test_callers_without_questions_are_refused() -> None:
    with pytest.raises(ValueError, match="something to ask"):
        Callers([], Habits(), 1)


def test_a_caller_thinks_before_the_next_question() -> None:
    def begins_s(think_s: float) -> float:
        """When the question begins: the greeting ends at 0.5 s, and 0.7 s later it is over."""
        talk = Conversation([replace(question(), at_s=think_s)], RATE_HZ, Pace())
        for frame in range(1000):
            now_s = frame * 0.02
            talk.hear(-20.0 if now_s < 0.5 else -90.0, now_s)
            talk.next_frame(now_s)
            if talk.phase is Phase.SENDING or talk.said:
                return now_s
        raise AssertionError("never asked")

    usual_s = begins_s(0.0)
    assert usual_s == pytest.approx(0.5 + 0.7 + 0.3, abs=0.05)
    assert begins_s(0.2) == usual_s, "shorter than the usual pause"
    assert begins_s(3.0) == pytest.approx(usual_s + 2.7, abs=0.03)


def test_only_turns_of_the_window_count() -> None:
    window = Window(10.0, 20.0)
    calls = [
        # Answered at 8.5: questions end at 9.5, 10.5, 19.4 and 20.5.
        call(8.0, 15.0, turn(1.0), turn(2.0), turn(10.9), turn(12.0)),
        call(11.0, 5.0, turn(1.0, continues=True), turn(2.0, owes_answer=False)),
    ]
    assert [found.ended_s for found in window.turns(calls)] == [2.0, 10.9]


def test_carried_load_is_measured() -> None:
    window = Window(10.0, 20.0)
    calls = [call(4.5, 100.0), call(14.5, 2.5), call(17.0, 100.0), call(0.0, 5.0), call(30.0, 5.0)]
    assert window.carried(calls) == pytest.approx((10 + 2.5 + 2.5) / 10)
    assert window.peak(calls) == 2
    assert window.peak([call(9.5, 5.0), call(14.5, 5.0)]) == 1, "one leaves as the other comes"
    assert Window(5, 5).carried(calls) == 0.0


def test_failed_calls_are_those_that_the_caller_did_not_end() -> None:
    window = Window(10.0, 20.0)
    calls = [
        call(11.0, 5.0),
        call(12.0, 5.0, outcome="stopped"),
        call(12.0, 0.0, outcome="refused", answer_ms=None),
        call(13.0, 1.0, outcome="failed"),
        call(30.0, 0.0, outcome="refused"),
        call(1.0, 0.0, outcome="refused"),
    ]
    assert window.failed_rate(calls) == 0.5
    assert window.failed_rate([]) is None


def test_figures_of_turns() -> None:
    turns = [
        *(turn(v2v_ms=float(ms)) for ms in range(100, 2001, 100)),
        turn(v2v_ms=None, missed=True),
        turn(v2v_ms=-100.0, cut_in=True),
    ]
    found = figures_of(turns)
    assert found["v2v_p50_ms"] == 1050.0 and found["v2v_p95_ms"] == pytest.approx(1905.0)
    assert found["missed_rate"] == found["cut_in_rate"] == pytest.approx(1 / 22)
    assert set(figures_of([]).values()) == {None}


def test_an_objective_is_read() -> None:
    found = parse_objective(" v2v_p95_ms < 1500 ,missed_rate<=0.05")
    assert found.limits == (
        Limit("v2v_p95_ms", 1500.0),
        Limit("missed_rate", 0.05, inclusive=True),
        Limit("failed_rate", 0.05),
    )
    assert str(found) == "v2v_p95_ms<1500,missed_rate<=0.05,failed_rate<0.05"
    assert parse_objective("failed_rate<1").limits == (Limit("failed_rate", 1.0),)
    assert found.to_json()["missed_rate"] == 0.05


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "'' is no limit"),
        ("v2v_p95_ms", "'v2v_p95_ms' is no limit: write FIGURE<NUMBER"),
        ("v2v_p95_ms>3", "is no limit"),
        ("v2v_p95_ms<-3", "is no limit"),
        ("v2v_p95_ms<1e3", "is no limit"),
        ("missed_rate<0.1,", "'' is no limit"),
        ("mos_min<4", "'mos_min' is no figure of a load: use v2v_p50_ms"),
        ("missed_rate<0.1,missed_rate<0.2", "missed_rate has two limits"),
    ],
)
def test_a_mistaken_objective_says_what_to_write(text: str, words: str) -> None:
    with pytest.raises(ObjectiveError) as refused:
        parse_objective(text)
    assert words in str(refused.value)


def test_what_was_broken_is_told() -> None:
    objective = parse_objective("v2v_p95_ms<1500,missed_rate<0.05")
    good = {"v2v_p95_ms": 1499.0, "missed_rate": 0.0, "failed_rate": 0.0}
    assert objective.broken(good) == []
    assert objective.broken({**good, "v2v_p95_ms": 1500.0}) == [
        "P95 voice to voice was 1500 ms (asked: v2v_p95_ms<1500)"
    ]
    assert objective.broken({**good, "missed_rate": 0.25}) == [
        "25.0% of turns were missed (asked: missed_rate<0.05)"
    ]
    assert "was not measured" in objective.broken({**good, "v2v_p95_ms": None})[0]
    assert "was not measured" in objective.broken({**good, "v2v_p95_ms": float("nan")})[0]
    assert (
        Objective((Limit("missed_rate", 0.05, inclusive=True),)).broken({"missed_rate": 0.05}) == []
    )


@pytest.mark.parametrize("limit", range(0, 20))
@pytest.mark.parametrize("levels", [LEVELS, (1, 2), (4,), (2, 16), levels_up_to(11)])
def test_the_search_finds_the_highest_load_that_keeps(limit: int, levels: tuple[int, ...]) -> None:
    kept: dict[int, bool] = {}
    while (level := next_level(kept, levels)) is not None:
        assert level not in kept and len(kept) < 15
        kept[level] = level <= limit
    assert capacity(kept) == min(limit, max(levels))
    if limit >= max(levels):
        assert set(kept) == set(levels)


def test_a_heavier_load_that_kept_by_luck_does_not_count() -> None:
    kept = {1: True, 2: False, 3: True}
    assert capacity(kept) == 1 and next_level(kept, LEVELS) is None


def test_levels() -> None:
    assert parse_levels("4, 1,2,2") == (1, 2, 4)
    assert levels_up_to(5) == (1, 2, 3, 4, 5)
    assert levels_up_to(16) == LEVELS and levels_up_to(1) == (1,)
    assert levels_up_to(40)[-3:] == (31, 38, 40) and len(levels_up_to(250)) < 30
    for text in ("", "0", "1,x", "1000", "-1"):
        with pytest.raises(ObjectiveError, match="numbers of 1 to"):
            parse_levels(text)
