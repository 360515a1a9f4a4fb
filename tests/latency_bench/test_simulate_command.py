"""`offhook bench simulate`: costs read and refused, tables, and the check against a measurement."""

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from simulated_costs import TURN, round_costs

from latency_bench.load.callers import Habits
from latency_bench.simulation.arithmetic import budget, turn_every_s
from latency_bench.simulation.box import BoxRules
from latency_bench.simulation.check import CheckError, check
from latency_bench.simulation.costs import CostsError, read_costs, shipped_costs, write_costs
from latency_bench.simulation.imagined import imagined
from latency_bench.simulation.level import Stretch, simulate
from latency_bench.simulation.options import add_parser


def simulate_command(*words: object) -> int:
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers(required=True))
    args = parser.parse_args(["simulate", *map(str, words)])
    status: int = args.func(args)
    return status


def test_costs_survive_writing_and_reading(tmp_path: Path) -> None:
    path, costs = tmp_path / "costs.json", round_costs()
    write_costs(path, costs)
    assert read_costs(path) == costs


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"turns": []}, "must not be empty"),
        ({"schema": "other/1"}, "schema"),
        ({"cores": "many"}, "cores"),
        ({"steps": [{"sequences": 2, "busy_s": 1}, {"sequences": 1, "busy_s": 1}]}, "must rise"),
        ({"turns": [{**asdict(TURN), "clauses": []}]}, "a clause at least"),
    ],
)
def test_costs_that_make_no_sense_are_refused(
    tmp_path: Path, change: dict[str, Any], complaint: str
) -> None:
    path = tmp_path / "costs.json"
    path.write_text(json.dumps({**asdict(round_costs()), **change}))
    with pytest.raises(CostsError, match=complaint):
        read_costs(path)


def test_steps_are_linear_between_what_was_measured() -> None:
    costs = round_costs()
    assert costs.step_s(1, 0) == pytest.approx(0.010)
    assert costs.step_s(2, 0) == pytest.approx(0.012)
    assert costs.step_s(8, 10) == pytest.approx(0.024 + 0.010)
    assert costs.step_s(0, 10) == pytest.approx(0.005 + 0.010)


def test_the_shipped_costs_carry_a_call_and_the_gpu_carries_more() -> None:
    costs, habits = shipped_costs(), Habits()
    assert len(costs.turns) >= 20
    stretch = Stretch(seconds=60.0)
    level = simulate(costs, 1, BoxRules(), habits, stretch)
    assert level.missed_rate == 0.0 and level.v2v_ms is not None
    assert 0.2 * 1000 < level.v2v_ms.p50 < 3000
    assert budget(imagined(costs), habits).calls > budget(costs, habits).calls >= 1


def test_the_arithmetic_agrees_with_the_simulation_about_the_work() -> None:
    costs, habits = round_costs(), Habits()
    found = budget(costs, habits)
    level = simulate(costs, 4, BoxRules(guesses="never"), habits, Stretch(seconds=600.0))
    expected = found.busy[found.bound] * 4 / found.calls
    assert level.busy[found.bound] == pytest.approx(expected, rel=0.2)
    assert 600 * 4 / level.turns == pytest.approx(turn_every_s(costs, habits), rel=0.1)


def capacity_report(path: Path, levels: list[dict[str, Any]], kind: str = "capacity") -> Path:
    settings = {"think_s": 2.0, "turns_a_call": [3, 7], "gap_s": 1.0, "wait_s": 8.0}
    path.write_text(json.dumps({"kind": kind, "settings": settings, "levels": levels}))
    return path


def test_a_check_sets_each_level_beside_what_was_measured(tmp_path: Path) -> None:
    costs, stretch = round_costs(), Stretch(seconds=60.0)
    truth = simulate(costs, 2, BoxRules(), Habits(), stretch).v2v_ms
    assert truth is not None
    measured = {"p50": truth.p50, "p95": truth.p95 / 1.25}
    levels = [
        {"calls": 1, "turns": 0, "v2v_ms": None},
        {"calls": 2, "turns": 24, "v2v_ms": measured},
    ]
    path = capacity_report(tmp_path / "capacity.json", levels)
    (found,) = check(path, costs, BoxRules(), stretch)
    assert found.errors == pytest.approx((0.0, 0.25))


def test_a_file_that_is_no_capacity_report_is_refused(tmp_path: Path) -> None:
    stretch = Stretch(seconds=10.0)
    for levels, kind, complaint in (
        ([], "capacity", "no level"),
        ([], "soak", "kind 'soak'"),
        ([{"calls": 1}], "capacity", "no report"),
    ):
        path = capacity_report(tmp_path / "r.json", levels, kind)
        with pytest.raises(CheckError, match=complaint):
            check(path, round_costs(), BoxRules(), stretch)


def test_the_command_prints_its_tables_and_writes_its_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    costs, report = tmp_path / "costs.json", tmp_path / "report.json"
    write_costs(costs, replace(round_costs(), name="my box"))
    words = ("--costs", costs, "--calls", "2,1,40", "--seconds", "60", "--json", report)
    assert simulate_command(*words, "--compare") == 0
    shown = capsys.readouterr().out
    assert "my box" in shown and "first come" in shown and "By arithmetic" in shown
    written = json.loads(report.read_text())
    assert [level["calls"] for level in written["levels"]["as the box"]] == [1, 2, 40]
    assert written["calls_within"]["as the box"] >= 2
    assert written["schema"] == "offhook-simulation/1"


def test_bad_input_is_told_and_ends_with_two(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert simulate_command("--costs", tmp_path / "none.json") == 2
    assert "none.json" in capsys.readouterr().err
    (tmp_path / "bad.json").write_text("{")
    assert simulate_command("--costs", tmp_path / "bad.json") == 2
    assert "--record" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        simulate_command("--calls", "0")
