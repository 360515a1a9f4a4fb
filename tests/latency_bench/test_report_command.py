"""`offhook bench report`: what it writes, what it says, and its exit status."""

import argparse
import json
from pathlib import Path

import pytest
from synthetic_report import (
    calibrate_report,
    capacity_report,
    quality_report,
    run_report,
    soak_report,
    write_report,
)

from latency_bench.report_command import add_parser


def _run(*words: str | Path) -> int:
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers(required=True))
    args = parser.parse_args(["report", *map(str, words)])
    status = args.func(args)
    assert isinstance(status, int)
    return status


def test_everything_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = write_report(run_report(tmp_path, calls=3, turns=2), tmp_path)
    out = tmp_path / "made"
    status = _run(
        report,
        *("--html", out / "report.html"),
        *("--png", out / "png"),
        *("--csv", out / "csv"),
        *("--junit", out / "junit.xml"),
        *("--assert", "v2v_p95_ms<5000"),
    )
    assert status == 0
    assert "data:audio/webm" in (out / "report.html").read_text(encoding="utf-8")
    assert sorted(path.name for path in (out / "png").iterdir()) == [
        "latency-cdf-dark.png",
        "latency-cdf.png",
        "waterfall-dark.png",
        "waterfall.png",
    ]
    for path in (out / "png").iterdir():
        assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert sorted(path.name for path in (out / "csv").iterdir()) == ["calls.csv", "turns.csv"]
    assert (out / "junit.xml").read_text().count("<testcase") == 4
    said = capsys.readouterr().out
    assert "All 3 calls went as they should" in said
    assert "met v2v_p95_ms<5000" in said
    assert not list(out.glob(".*"))


def test_sound_can_be_left_out(tmp_path: Path) -> None:
    report = write_report(run_report(tmp_path, calls=2, turns=1), tmp_path)
    assert _run(report, "--html", tmp_path / "report.html", "--audio-mb", "0") == 0
    assert "data:audio" not in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_an_assertion_that_does_not_hold_is_exit_status_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = write_report(run_report(calls=3), tmp_path)
    junit = tmp_path / "junit.xml"
    assert _run(report, "--assert", "v2v_p95_ms<10", "--junit", junit) == 1
    assert "NOT MET v2v_p95_ms<10" in capsys.readouterr().out
    assert 'type="assertion"' in junit.read_text()
    assert _run(report, "--assert", "turns>0", "--assert", "returned_wer<1") == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nothing.json"], "nothing.json: no such file"),
        (["{report}", "--assert", "v2v_p59_ms<9"], "did you mean v2v_p95_ms?"),
        (["{report}", "--assert", "import os"], "is no assertion"),
        ([], "give one REPORT.json, or --compare"),
        (["{report}", "--compare", "{report}", "{report}"], "give one REPORT.json, or --compare"),
        (["--compare", "{report}", "nothing.json"], "nothing.json: no such file"),
        (["--compare", "{report}", "{report}", "--assert", "turns>1"], "not --assert"),
        (["{report}", "--html", "{report}/page.html"], "report.json: File exists"),
    ],
)
def test_bad_input_is_exit_status_2_and_a_plain_message(
    words: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = write_report(run_report(calls=2), tmp_path)
    assert _run(*[word.format(report=report) for word in words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("offhook bench report: ")
    assert says in error
    assert "Traceback" not in error


def test_two_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = write_report(run_report(calls=20, faults=False), tmp_path, "a.json")
    b = write_report(run_report(calls=20, faults=False, seed=3, faster=1.5), tmp_path, "b.json")
    html, made = tmp_path / "compare.html", tmp_path / "compare.json"
    assert _run("--compare", a, b, "--html", html, "--json", made) == 0
    found = json.loads(made.read_text())
    assert found["schema"] == "offhook-bench-comparison/1"
    first = found["differences"][0]
    assert first["key"] == "v2v_p50_ms"
    assert first["outcome"] == "better"
    assert first["ci95"][0] < first["difference"] < first["ci95"][1] < 0
    assert first["sentence"] in html.read_text(encoding="utf-8")
    said = " ".join(capsys.readouterr().out.split())
    assert first["sentence"] in said


@pytest.mark.parametrize(
    ("make", "pictures", "says"),
    [
        (capacity_report, ["capacity-dark.png", "capacity.png"], "8 calls at once"),
        (quality_report, [], "False barge-in"),
        (soak_report, [], "RSS drifts"),
        (calibrate_report, [], "within 7.9 ms"),
    ],
)
def test_the_other_kinds(
    make: object,
    pictures: list[str],
    says: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert callable(make)
    report = write_report(make(), tmp_path)
    assert _run(report, "--html", tmp_path / "a.html", "--png", tmp_path / "png") == 0
    assert sorted(path.name for path in (tmp_path / "png").iterdir()) == pictures
    assert says in capsys.readouterr().out


def test_an_agents_words_are_no_markup_in_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    body = run_report(calls=2)
    body["calls"][0]["outcome"] = "refused"
    body["calls"][0]["reason"] = "[bold]x[/] [/red] \x1b]0;title\x07"
    body["target"]["name"] = "[link=http://example.org]agent[/link]"
    assert _run(write_report(body, tmp_path)) == 0
    said = capsys.readouterr().out
    assert "[bold]x[/] [/red]" in said
    assert "[link=http://example.org]" in said
    assert "\x1b]0" not in said
