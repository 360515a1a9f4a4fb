"""`offhook bench capacity` and `soak` against an agent of known delay, through the telephone."""

import argparse
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.config import ModelsConfig
from latency_bench import session
from latency_bench.load import options as load_options
from latency_bench.reports.report_file import parse_report
from models.loading import load_tts
from models.tts.base import SpeechSynthesizer

START_LIMIT_S = 120.0
QUICK = ("--think", "0.1", "--wait", "2", "--ring", "5")


@pytest.fixture(scope="module")
def voice() -> Iterator[SpeechSynthesizer]:
    """The callers' voice, loaded once."""
    loaded = load_tts(ModelsConfig().tts, device="cpu")
    yield loaded
    loaded.close()


@pytest.fixture(autouse=True)
def one_voice(voice: SpeechSynthesizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "load_tts", lambda name, device: voice)
    monkeypatch.setattr(session.Session, "close", lambda self: None)


@contextmanager
def agent() -> Iterator[int]:
    """The reference agent's telephone door, in a process of its own; its port."""
    child = subprocess.Popen(
        (sys.executable, "-m", "latency_bench.reference.agent", "--door", "sip", "--until-eof"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None and child.stdin is not None
    with child.stdin, child.stdout:
        try:
            word, port = child.stdout.readline().decode().split()
            assert word == "ready"
            yield int(port)
        finally:
            child.terminate()
            child.wait(30)


def bench(*words: str) -> int:
    """Runs `offhook bench WORDS` in this process; the exit status."""
    return run(parser().parse_args(words))


def run(args: argparse.Namespace) -> int:
    status = args.func(args)
    assert isinstance(status, int)
    return status


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser()
    made.add_argument("--config", default=None)
    load_options.add_parser(made.add_subparsers())
    return made


def read(path: Path) -> dict[str, Any]:
    body = json.loads(path.read_text())
    parse_report(body)
    assert isinstance(body, dict)
    return body


def test_an_agent_that_answers_soon_is_found_to_carry_all_that_were_tried(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    levels = ("--levels", "2", "--seconds", "1.5", "--turns", "1", *QUICK)
    limits = ("--objective", "v2v_p95_ms<30000,missed_rate<0.9")
    where = ("--out", str(tmp_path / "out"), "--json", str(tmp_path / "capacity.json"))
    with agent() as port:
        command = ("capacity", f"sip:good@127.0.0.1:{port}", *levels, *limits)
        assert bench(*command, *where) == 0
    report = read(tmp_path / "capacity.json")
    assert "The agent carries at least 2 calls at once" in capsys.readouterr().out
    assert report["capacity"]["calls"] == report["summary"]["capacity_calls"] == 2
    (level,) = report["levels"]
    assert level["within"] and level["turns"] >= 1 and level["v2v_ms"]["n"] >= 1
    assert level["v2v_ms"]["min"] > 0, "the agent's own delay is 300 ms"
    assert 0 < level["carried"] <= level["offered"] == level["calls"] == 2 >= level["peak"]
    assert level["callers_cores"] > 0 and level["cpu_cores"] is None
    assert level["failed_rate"] == 0
    assert report["objective"]["v2v_p95_ms"] == 30000
    assert report["settings"]["turns_a_call"] == [3, 7] and not report["interrupted"]

    # All levels are kept: what goes on has nobody to call any more, and need not.
    assert bench(*command, *where) == 0
    again = read(tmp_path / "capacity.json")
    assert again["levels"] == report["levels"] and not again["errors"]


def test_an_agent_that_answers_late_carries_none(tmp_path: Path) -> None:
    with agent() as port:
        command = ("capacity", f"sip:late@127.0.0.1:{port}", "--levels", "1,4")
        few = ("--seconds", "1.5", "--turns", "1", "--think", "0.1", "--wait", "4")
        where = ("--json", str(tmp_path / "capacity.json"))
        assert bench(*command, *few, *where) == 1
    report = read(tmp_path / "capacity.json")
    # The next lower load is none at all: 4 is not tried, and the search is over.
    assert [level["calls"] for level in report["levels"]] == [1]
    assert report["capacity"]["calls"] == 0
    assert report["capacity"]["verdict"].startswith("The agent does not carry 1 at once")
    assert "v2v_p95_ms" in report["levels"][0]["broken"][0]


def test_nobody_there_is_said_at_once(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    where = ("--json", str(tmp_path / "capacity.json"), "--levels", "1", *QUICK)
    began_s = time.monotonic()
    nobody = f"webrtc:http://127.0.0.1:{port}/api/offer"
    assert bench("capacity", nobody, "--seconds", "600", *where) == 2
    assert time.monotonic() - began_s < 300
    report = read(tmp_path / "capacity.json")
    assert report["levels"] == [] and "nobody was there" in report["errors"][0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("capacity", "--levels", "0"), "numbers of 1 to 250"),
        (("capacity", "--objective", "mos_min<4"), "no figure of a load"),
        (("capacity", "--max", "251"), "must be 1 to 250"),
        (("capacity", "--levels", "1", "--max", "3"), "not allowed with"),
        (("soak", "--hours", "0"), "must be hours"),
        (("soak", "--hours", "nan"), "must be hours"),
    ],
)
def test_a_mistaken_command_line_says_what_to_write(
    words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parser().parse_args(words)
    assert ended.value.code == 2 and said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("capacity", "sip:a@127.0.0.1:9", "--install"), "--install is for `self`"),
        (("capacity", "nowhere"), "is nobody to call"),
        (("capacity", "--assert", "nonsense<1"), "nonsense"),
        (("soak", "sip:a@127.0.0.1:9", "--assert", "wer<1"), "wer"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_runs(
    words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench(*words) == 2
    assert said in capsys.readouterr().err


def test_a_soak_that_is_stopped_reports_and_goes_on(tmp_path: Path) -> None:
    out, file = tmp_path / "out", tmp_path / "soak.json"
    with agent() as port:
        words = (
            *("soak", f"sip:good@127.0.0.1:{port}", "--hours", "0.003", "--every", "1", *QUICK),
            *("--out", str(out), "--json", str(file)),
        )
        child = subprocess.Popen((sys.executable, __file__, *words), stdout=subprocess.DEVNULL)
        try:
            until_s = time.monotonic() + START_LIMIT_S
            while not _lines(out / "samples.jsonl") >= 2:
                assert time.monotonic() < until_s and child.poll() is None
                time.sleep(0.05)
            child.send_signal(signal.SIGINT)
            assert child.wait(START_LIMIT_S) == 130
        finally:
            child.kill()
            child.wait(30)
        first = read(file)
        assert first["interrupted"] and len(first["samples"]) >= 2
        assert bench(*words) == 0
    report = read(file)
    assert not report["interrupted"] and not report["errors"]
    assert report["samples"][: len(first["samples"])] == first["samples"]
    assert {sample["run"] for sample in report["samples"]} == {0, 1}
    assert report["samples"][-1]["at_s"] >= 0.003 * 3600
    assert report["summary"]["calls"] >= 1 and report["summary"]["turns"] >= 1
    assert report["summary"]["calls_failed"] == 0
    assert all(sample["bench_rss_mb"] > 10 for sample in report["samples"])


def _lines(path: Path) -> int:
    return path.read_text().count("\n") if path.exists() else 0


if __name__ == "__main__":
    sys.exit(bench(*sys.argv[1:]))
