"""A run's report in the terminal: what it leaves out where nothing came about."""

import json
from dataclasses import replace
from io import StringIO
from pathlib import Path

from rich.console import Console
from synthetic_report import of_calls, run_report, write_report

from latency_bench.figures import CallFigures, Verdict
from latency_bench.measures.measure import unplaced
from latency_bench.recording import CallFailed
from latency_bench.reports.report_file import read_report
from latency_bench.reports.terminal import show_run

TITLE = "Milliseconds over all turns that count"


def _shown(body: dict[str, object], folder: Path) -> str:
    out = StringIO()
    show_run(Console(file=out, width=160), read_report(write_report(body, folder)))
    return out.getvalue()


def _refused(number: int) -> CallFigures:
    call = unplaced(
        number, "question", "sip", CallFailed("486 Busy Here", "refused"), 1.0, repeat=0
    )
    rules = [Verdict("greeting_within_s", 3.0, None, False)]
    rules += [Verdict("answer_within_s", 4.0, None, False)] * 5
    return replace(call, verdicts=tuple(rules))


def test_calls_that_never_came_about_get_a_line_each_and_no_empty_table(tmp_path: Path) -> None:
    said = _shown(of_calls([_refused(0), _refused(1)], door="sip"), tmp_path)
    lines = [line.strip() for line in said.splitlines() if "486 Busy Here" in line]
    assert lines == [f"{call} question refused: 486 Busy Here" for call in (0, 1)]
    assert TITLE not in said
    assert "expected" not in said and "more)" not in said


def test_calls_that_took_place_have_the_table_and_all_reasons_counted(tmp_path: Path) -> None:
    body = json.loads(json.dumps(run_report(calls=1, turns=2, faults=False)))
    rule = {"rule": "greeting_within_s", "limit": 0.1, "value": 2.0, "met": False}
    body["calls"][0]["verdicts"] = [rule, {**rule, "rule": "answered_within_s"}]
    said = _shown(body, tmp_path)
    assert TITLE in said
    assert "expected: greets within 0.1 s; measured: 2 s (and 1 more)" in said
