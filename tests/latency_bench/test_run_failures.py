"""A run against agents that are not there, die or go away: always a report, never a traceback."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from latency_bench.reference.process import ReferenceProcess

LIMIT_S = 100
SCENARIO = """
about = "asks three times"
greeting_limit_s = 1.0
[[steps]]
sound = "white"
seconds = 0.4
[[steps]]
sound = "white"
seconds = 0.4
[[steps]]
silence_s = 0.5
"""


def bench(*arguments: str, folder: Path) -> "subprocess.Popen[str]":
    (folder / "mine.toml").write_text(SCENARIO)
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "agent.cli", "bench", "run", *arguments),
            *("--scenario", str(folder / "mine.toml"), "--no-words"),
            *("--json", str(folder / "run.json"), "--junit", str(folder / "run.xml")),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(child: "subprocess.Popen[str]", folder: Path) -> tuple[int, dict[str, Any], str]:
    try:
        output, errors = child.communicate(timeout=LIMIT_S)
    finally:
        child.kill()
    assert "Traceback" not in errors, errors
    report = folder / "run.json"
    return child.returncode, json.loads(report.read_text()) if report.exists() else {}, output


@pytest.mark.parametrize(
    ("target", "complaint"),
    [("foo:bar", "nobody to call"), ("webrtc:ftp://x", "nobody to call")],
)
def test_a_target_that_is_none_is_refused_at_once(
    tmp_path: Path, target: str, complaint: str
) -> None:
    child = bench(target, folder=tmp_path)
    _, errors = child.communicate(timeout=LIMIT_S)
    assert child.returncode == 2 and complaint in errors and "Traceback" not in errors


def test_where_nobody_listens_the_rest_is_not_placed(tmp_path: Path) -> None:
    status, report, _ = ended(bench("sip:a@127.0.0.1:9", "--calls", "8", folder=tmp_path), tmp_path)
    assert status == 1 and report["errors"] and "found nobody" in report["errors"][0]
    assert {call["outcome"] for call in report["calls"]} == {"unreachable"}
    assert 3 <= len(report["calls"]) < 8


async def test_an_unkept_call_ends_the_run_with_a_report(tmp_path: Path) -> None:
    async with ReferenceProcess("sip") as agent:
        target, out = str(agent.target("good").address), tmp_path / "out"
        child = bench(target, "--calls", "20", "--out", str(out), folder=tmp_path)
        _until(lambda: len(list((out / "calls").glob("*.json"))) >= 2)
        (out / "calls").rename(out / "gone")
        status, report, _ = ended(child, tmp_path)
    assert status == 1 and len(report["calls"]) >= 2
    assert any("No such file" in error for error in report["errors"]) or any(
        "FileNotFoundError" in call["reason"] for call in report["calls"]
    )


async def test_ctrl_c_reports_what_ran_and_the_same_command_goes_on(tmp_path: Path) -> None:
    async with ReferenceProcess("sip") as agent:
        target, out = str(agent.target("good").address), tmp_path / "out"
        arguments = (target, "--calls", "4", "--out", str(out))
        child = bench(*arguments, folder=tmp_path)
        _until(lambda: any((out / "calls").glob("*.json")))
        child.send_signal(signal.SIGINT)
        status, report, _ = ended(child, tmp_path)
        assert status == 130 and report["interrupted"] and report["calls"]
        status, report, _ = ended(bench(*arguments, folder=tmp_path), tmp_path)
    assert status == 0 and not report["interrupted"] and len(report["calls"]) == 4
    assert (out / "report.json").exists()


def _until(true: Any, limit_s: float = 60.0) -> None:
    until_s = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < until_s, f"not so within {limit_s} s"
        time.sleep(0.05)
