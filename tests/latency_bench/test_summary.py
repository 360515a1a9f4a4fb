"""The figures of a run, from calls whose figures are known."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from constructed_call import call as recorded

from latency_bench.figures import CallFigures, TurnFigures, Verdict, WireFigures
from latency_bench.measures.measure import measure_call
from latency_bench.measures.summary import caller_turns, run_report

DOCS = Path(__file__).parents[2] / "docs" / "bench-report.md"


def turn(part: int = 0, **changes: Any) -> TurnFigures:
    fields: dict[str, Any] = {
        "part": part,
        "step": part,
        "kind": "speech",
        "said": "how many cats",
        "source": "",
        "over_agent": False,
        "continues": False,
        "owes_answer": True,
        "began_s": 1.0,
        "ended_s": 2.0,
    }
    if "v2v_ms" in changes:
        fields["first_answer_ms"] = changes["v2v_ms"]
    return TurnFigures(**{**fields, **changes})


def call(*turns: TurnFigures, **changes: Any) -> CallFigures:
    fields: dict[str, Any] = {"call": 0, "scenario": "s", "door": "sip", "outcome": "completed"}
    return CallFigures(**{**fields, **changes}, turns=turns)


def test_the_summary_has_every_figure_that_the_schema_names() -> None:
    text = DOCS.read_text(encoding="utf-8")
    section = text.partition("### Summary")[2].partition("###")[0]
    rows = re.findall(r"^\| (`.*?) \|", section, re.M)
    names = set(re.findall(r"`([a-z0-9_]+)`", " ".join(rows)))
    summary = run_report([])["summary"]
    assert names == set(summary)
    measured = {name for name, value in summary.items() if value is not None}
    # Of no call at all, only counts are known.
    assert measured == {
        "calls",
        "calls_failed",
        "calls_unplaced",
        "turns",
        "turns_missed",
        "cut_ins",
        "false_stops",
        "not_stopped",
    }
    assert all(summary[name] == 0 for name in measured)


def test_a_report_is_json() -> None:
    figures = measure_call(recorded([(2, 1)], [(3.5, 1)]), call=0, scenario="s", began_s=0)
    report = json.loads(json.dumps(run_report([figures]), allow_nan=False))
    assert report["summary"]["v2v_p50_ms"] == pytest.approx(500, abs=1.1)
    assert report["spreads"]["v2v_ms"]["n"] == 1 and report["spreads"]["stop_ms"] is None
    assert report["calls"][0]["turns"][0]["v2v_ms"] == pytest.approx(500, abs=1.1)
    assert report["by_scenario"]["s"] == {
        "calls": 1,
        "passed": 1,
        "failed": 0,
        "v2v_ms": report["spreads"]["v2v_ms"],
        "stop_ms": None,
    }


def test_only_turns_that_count_are_in_the_latency() -> None:
    report = run_report(
        [
            call(
                turn(0, v2v_ms=500.0, inside_ms=400.0, stages_ms={"stt": 50.0}),
                turn(1, v2v_ms=-300.0, cut_in=True),
                turn(2, missed=True),
                turn(3, v2v_ms=9000.0, owes_answer=False),
                turn(4, v2v_ms=700.0, first_answer_ms=1500.0, stages_ms={"stt": 150.0}),
            )
        ]
    )
    summary, spreads = report["summary"], report["spreads"]
    assert spreads["v2v_ms"]["n"] == 2 and summary["v2v_p50_ms"] == 600
    assert summary["first_answer_p50_ms"] == 1000
    assert summary["outside_gap_p50_ms"] == 100 and summary["inside_p50_ms"] == 400
    assert (summary["turns"], summary["turns_missed"], summary["cut_ins"]) == (4, 1, 1)
    assert summary["missed_rate"] == 0.25 and summary["cut_in_rate"] == 0.2
    assert spreads["stage.stt"]["p50"] == 100


def test_a_turn_of_several_parts_counts_once() -> None:
    parts = [
        turn(0, continues=True, cut_in=True, said="how many", heard="how"),
        turn(1, v2v_ms=-100.0, cut_in=True, said="cats", heard="many cats"),
        turn(2, continues=True),
    ]
    assert [len(found) for found in caller_turns(parts)] == [2, 1]
    summary = run_report([call(*parts)])["summary"]
    # The last one was never finished, so nothing is owed to it.
    assert (summary["turns"], summary["cut_ins"]) == (1, 1)
    assert summary["wer"] == 0


def test_stops_are_told_apart_by_what_was_owed() -> None:
    asked = (Verdict("stops_within_ms", 500.0, 300.0, True),)
    over = {"over_agent": True}
    summary = run_report(
        [
            call(
                turn(0, stopped=True, stop_ms=200.0, **over),
                turn(1, stopped=False, **over),
                turn(2, stopped=None, **over),
                turn(3, stopped=True, stop_ms=900.0, owes_answer=False, **over),
                turn(4, stopped=False, owes_answer=False, **over),
                turn(5, stopped=True, stop_ms=300.0, owes_answer=False, verdicts=asked, **over),
            )
        ]
    )["summary"]
    assert (summary["false_stops"], summary["not_stopped"]) == (1, 1)
    assert summary["stop_p50_ms"] == 250


def test_calls_are_counted_by_how_they_went() -> None:
    unmet = (Verdict("hangs_up", True, False, False),)
    report = run_report(
        [
            call(answer_ms=100.0, greeting_ms=400.0),
            call(verdicts=unmet, answer_ms=300.0),
            call(outcome="refused", scenario="t"),
            call(outcome="no_audio", scenario="t"),
            call(outcome="failed", scenario="t"),
        ]
    )
    summary = report["summary"]
    assert (summary["calls"], summary["calls_failed"], summary["calls_unplaced"]) == (5, 4, 2)
    assert summary["answer_p50_ms"] == 200 and summary["greeting_p50_ms"] == 400
    assert report["by_scenario"]["t"]["failed"] == 3 and report["by_scenario"]["s"]["passed"] == 1


def test_the_wire_is_summed_over_packets_and_its_worst_is_shown() -> None:
    one = WireFigures(
        packets=900,
        lost=100,
        concealed=0.2,
        gap_max_ms=50.0,
        jitter_ms=1.0,
        mos=3.0,
        level_dbfs=-20.0,
        clipped=0.1,
        broken=3,
        echo_db=-30.0,
    )
    two = WireFigures(
        packets=3000, gap_max_ms=25.0, jitter_ms=3.0, mos=4.4, level_dbfs=-30.0, broken=1
    )
    summary = run_report([call(wire=one), call(wire=two), call(outcome="refused")])["summary"]
    assert summary["lost_share"] == pytest.approx(100 / 4000)
    assert summary["concealed_share"] == pytest.approx(200 / 4000)
    assert (summary["gap_max_ms"], summary["mos_min"], summary["mos_p50"]) == (50, 3, 3.7)
    assert (summary["clipped_share"], summary["broken"]) == (0.05, 4)
    assert (summary["level_p50_dbfs"], summary["echo_max_db"]) == (-25, -30)
    assert summary["jitter_p95_ms"] == pytest.approx(2.9)


def test_talk_over_is_per_call_and_dead_air_the_worst() -> None:
    wire = WireFigures(packets=1)
    summary = run_report(
        [
            call(turn(0, talk_over_ms=100.0), turn(1, talk_over_ms=300.0), wire=wire),
            call(turn(0, dead_air_ms=1200.0), turn(1, dead_air_ms=700.0), wire=wire),
        ]
    )["summary"]
    assert summary["talk_over_ms"] == 200 and summary["dead_air_max_ms"] == 1200


def test_words_are_scored_both_ways() -> None:
    summary = run_report(
        [
            call(
                turn(0, heard="how many bats", answer="two of them", recognised="two of them"),
                turn(1, heard="How many cats?", answer="three of them", recognised="free of them"),
                # Nothing is owed to a backchannel, so it need not be understood.
                turn(2, said="mm", owes_answer=False),
            )
        ]
    )["summary"]
    assert summary["wer"] == pytest.approx(1 / 6)
    assert summary["returned_wer"] == pytest.approx(1 / 6)
    silent = run_report([call(turn(0, recognised="two"))])["summary"]
    assert silent["wer"] is None and silent["returned_wer"] is None


def test_repeats_show_how_far_they_lie_apart() -> None:
    calls = [call(turn(0, v2v_ms=v2v), repeat=n) for n, v2v in enumerate((500.0, 520.0, 510.0))]
    report = run_report(calls)
    assert [row["v2v_p50_ms"] for row in report["repeats"]] == [500, 520, 510]
    assert report["summary"]["repeat_spread"] == pytest.approx(20 / 510)
    assert run_report([replace(c, repeat=0) for c in calls])["repeats"] == []
