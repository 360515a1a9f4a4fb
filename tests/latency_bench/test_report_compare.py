"""Two reports against each other: real differences are found, others are not made up."""

from dataclasses import replace

import numpy as np
import pytest
from synthetic_report import calibrate_report, of_calls, run_report

from latency_bench.figures import CallFigures, TurnFigures
from latency_bench.reports.bootstrap import DRAWS, draws, wilson
from latency_bench.reports.compare import (
    Comparison,
    Difference,
    _difference,
    compare,
    side_by_side,
)
from latency_bench.reports.measures import MEASURES
from latency_bench.reports.report_file import Report, parse_report


def _run(rng: np.random.Generator, middle_ms: float, *, calls: int = 30, turns: int = 4) -> Report:
    """Calls that differ by 40 ms among one another, and their turns by 20 ms."""
    made = []
    for number in range(calls):
        own_ms = middle_ms + float(rng.normal(0, 40))
        made.append(
            CallFigures(
                call=number,
                scenario="question",
                door="sip",
                outcome="completed",
                turns=tuple(
                    _turn(place, own_ms + float(rng.normal(0, 20))) for place in range(turns)
                ),
            )
        )
    return parse_report(of_calls(made, door="sip"))


def _turn(place: int, v2v_ms: float | None) -> TurnFigures:
    return TurnFigures(
        part=place,
        step=place,
        kind="speech",
        said="hello",
        source="",
        over_agent=False,
        continues=False,
        owes_answer=True,
        began_s=3.0 * place,
        ended_s=3.0 * place + 1,
        v2v_ms=v2v_ms,
        first_answer_ms=v2v_ms,
        missed=v2v_ms is None,
    )


def _of(comparison: Comparison, key: str) -> Difference:
    return next(one for one in comparison.differences if one.key == key)


def test_a_real_difference_is_found_and_said() -> None:
    rng = np.random.default_rng(3)
    found = _of(compare(_run(rng, 720), _run(rng, 600)), "v2v_p50_ms")
    assert found.outcome == "better"
    assert found.ci95 is not None and found.ratio_ci95 is not None and found.ratio is not None
    assert found.ci95[0] < -120 < found.ci95[1] < 0
    assert found.ratio_ci95[0] < 600 / 720 < found.ratio_ci95[1]
    assert found.sentence.startswith("B answers 1")
    assert found.sentence.endswith(" ms): the difference is real.")
    back = _of(compare(_run(rng, 600), _run(rng, 720)), "v2v_p50_ms")
    assert back.outcome == "worse"
    assert "later" in back.sentence


def test_no_difference_is_made_up_and_the_size_of_a_study_is_told() -> None:
    rng = np.random.default_rng(4)
    found = _of(compare(_run(rng, 600, calls=5), _run(rng, 600, calls=5)), "v2v_p50_ms")
    assert found.outcome == "unclear"
    assert "no difference can be shown with 20 turns each" in found.sentence
    assert "to show one of 5% you would need about" in found.sentence


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(24):
        a, b = _run(rng, 640, turns=2), _run(rng, 600, turns=2)
        found = _difference(MEASURES[0], a.calls, b.calls, rng)
        assert found is not None and found.ci95 is not None
        held += found.ci95[0] <= -40 <= found.ci95[1]
    # 95% of 24 is 23; fewer than 20 would come about once in two hundred tries.
    assert held >= 20


def test_turns_of_one_call_do_not_count_as_if_they_were_apart() -> None:
    """The same turn again and again tells no more than once."""
    few = _run(np.random.default_rng(6), 600, calls=10, turns=1)
    again = tuple(replace(call, turns=call.turns * 40) for call in few.calls)
    many = few.model_copy(update={"calls": again})
    widths = []
    for report in (few, many):
        found = _of(compare(report, report), "v2v_p50_ms")
        assert found.ci95 is not None
        widths.append(found.ci95[1] - found.ci95[0])
    # Taken as apart, 40 times as many would make it 6 times as narrow.
    assert widths[1] > widths[0] * 0.7


def test_a_drawn_percentile_is_that_of_the_drawn_values() -> None:
    by_call = [[1.0, 5.0], [9.0], [2.0, 2.0, 30.0], []]
    drawn = draws(by_call, 0.95, np.random.default_rng(8))
    times = np.random.default_rng(8).multinomial(4, np.full(4, 0.25), size=500)
    for figure, often in zip(drawn[:200], times[:200], strict=True):
        sample = [v for n, values in zip(often, by_call, strict=True) for v in values * int(n)]
        if sample:
            assert figure == pytest.approx(np.percentile(sample, 95))
        else:
            assert np.isnan(figure)
    assert len(drawn) == DRAWS


def test_the_same_seed_gives_the_same_intervals() -> None:
    a, b = parse_report(run_report(seed=1)), parse_report(run_report(seed=2))
    assert compare(a, b, seed=5).to_json() == compare(a, b, seed=5).to_json()
    assert compare(a, b, seed=5).to_json() != compare(a, b, seed=6).to_json()


def test_rates_without_events_still_have_an_interval() -> None:
    a = parse_report(run_report(faults=False))
    found = _of(compare(a, a), "missed_rate")
    assert found.ci95 is not None
    assert found.ci95[0] < -0.02 and found.ci95[1] > 0.02
    assert found.outcome == "unclear"


def test_missed_turns_that_are_many_more_are_real() -> None:
    good = parse_report(run_report(faults=False))
    deaf = good.model_copy(
        update={
            "calls": tuple(
                replace(call, turns=tuple(replace(t, missed=True, v2v_ms=None) for t in call.turns))
                for call in good.calls
            )
        }
    )
    found = _of(compare(good, deaf), "missed_rate")
    assert found.outcome == "worse"
    assert found.sentence.startswith("B misses 100.0 points more of its turns")
    assert "B has no value" in _of(compare(good, deaf), "v2v_p50_ms").sentence


def test_wilson_is_as_published() -> None:
    """Newcombe 1998, table I: 81 of 263 is 0.2553 to 0.3662; 0 of 20 is 0 to 0.1611."""
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)


def test_what_else_differs_is_said() -> None:
    a = parse_report(run_report(calls=6))
    body = run_report(calls=1, door="sip")
    body["machine"] = {**body["machine"], "cpu": "another", "cores": 2}
    body["speech"] = "recordings of people"
    body["interrupted"] = True
    words = " ".join(compare(a, parse_report(body)).warnings)
    for fact in ("processor", "cores", "speech", "door", "codec", "scenarios", "stopped"):
        assert fact in words
    assert "holds 1 call: no interval" in words
    assert compare(a, a).warnings == ()


def test_one_call_gives_no_interval() -> None:
    a = parse_report(run_report(calls=6))
    b = parse_report(run_report(calls=1))
    found = _of(compare(a, b), "v2v_p50_ms")
    assert found.ci95 is None
    assert "too few calls" in found.sentence


def test_reports_without_calls_are_set_side_by_side() -> None:
    a = parse_report(calibrate_report())
    comparison = compare(a, a)
    assert comparison.differences == ()
    assert "holds no calls" in comparison.warnings[0]
    assert side_by_side(a, a) == [("abs_error_p95_ms", 7.9, 7.9)]
