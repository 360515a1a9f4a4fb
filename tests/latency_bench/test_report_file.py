"""A report is read whole, or refused with the file, the place and the remedy."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic_report import (
    calibrate_report,
    capacity_report,
    quality_report,
    run_report,
    soak_report,
    write_report,
)

from latency_bench.reports.headline import figures, verdict
from latency_bench.reports.report_file import ReportError, parse_report, read_report

EVERY_KIND = [run_report, capacity_report, quality_report, soak_report, calibrate_report]


@pytest.mark.parametrize("make", EVERY_KIND)
def test_every_kind_is_read_and_has_a_verdict_and_figures(make: Any, tmp_path: Path) -> None:
    report = read_report(write_report(make(), tmp_path))
    status, sentence = verdict(report)
    assert status in ("good", "fair", "bad", "none")
    assert sentence.endswith(".")
    assert figures(report)


def test_calls_come_back_as_they_were_written() -> None:
    body = run_report(calls=3)
    written = [json.loads(json.dumps(call)) for call in body["calls"]]
    read = parse_report(body).calls
    assert [json.loads(json.dumps(call.to_json())) for call in read] == written


def test_a_figure_that_is_no_number_counts_as_not_measured() -> None:
    body = run_report(calls=1)
    body["summary"]["v2v_p50_ms"] = float("nan")
    body["summary"]["v2v_p95_ms"] = np.float64(812.5)
    report = parse_report(body)
    assert report.summary["v2v_p50_ms"] is None
    assert report.summary["v2v_p95_ms"] == 812.5
    assert "No answer could be timed" in verdict(report)[1]


def test_what_is_not_told_may_be_null() -> None:
    body = calibrate_report()
    body["target"]["door"] = None
    body["door"]["sip"]["abs_error_ms"] = None
    assert parse_report(body).door["sip"].abs_error_ms.p95 is None


def test_the_verdict_counts_the_calls_that_did_not_pass() -> None:
    body = run_report()
    bad = sum(not call["passed"] for call in body["calls"])
    assert bad > 0
    assert verdict(parse_report(body))[0] == "bad"
    assert verdict(parse_report(body))[1].startswith(f"{bad} of 24 calls did not go")
    good = parse_report(run_report(faults=False))
    assert verdict(good)[0] == "good"
    assert verdict(good)[1].startswith("All 24 calls went as they should.")


def test_an_interrupted_run_says_so() -> None:
    body = run_report(calls=2, faults=False) | {"interrupted": True}
    status, sentence = verdict(parse_report(body))
    assert status == "fair"
    assert sentence.startswith("Stopped before its end.")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "is no JSON"),
        ("[]", "must hold one JSON object"),
        ("{}", "schema is None"),
        ('{"schema": "offhook-bench/9"}', "schema is 'offhook-bench/9'"),
        ('{"schema": "offhook-bench/1", "kind": "run"}', "target"),
        (
            '{"schema": "offhook-bench/1", "kind": "run", "target": {"text": "x"}, "calls": [1]}',
            "calls.0",
        ),
        ("[" * 200_000, "is no JSON"),
    ],
)
def test_what_is_no_report_is_refused(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(ReportError, match="report.json") as refused:
        read_report(path)
    assert says in str(refused.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="nothing.json: no such file"):
        read_report(tmp_path / "nothing.json")


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(ReportError, match="cannot be read"):
        read_report(tmp_path / "report.json")


def test_fields_of_a_later_bench_are_left_alone() -> None:
    body = json.loads(json.dumps(run_report(calls=2)))
    body["news"] = {"of": "tomorrow"}
    body["calls"][0]["news"] = 1
    body["calls"][0]["turns"][0]["news"] = 1
    assert len(parse_report(body).calls) == 2
