"""The two commands: what they accept, and what they do against agents good and bad."""

import argparse
import asyncio
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from rich.progress import Progress
from stand_in_agent import StandInAgent, offer_server, tone

from agent.config import Config
from latency_bench import command, demo, first_call, quick
from latency_bench.box_process import BoxFailed, BoxProcess
from latency_bench.conversation import Pace
from latency_bench.findings import Findings
from latency_bench.machine import machine_facts
from latency_bench.report import show_bench, show_first_call
from latency_bench.self_call import failing
from latency_bench.utterance import Utterance, write_wav

SPEECH_S = 0.6


def beep() -> Utterance:
    pcm = np.concatenate((tone(SPEECH_S), np.zeros(9_600, np.int16)))
    return Utterance(pcm, 0, len(tone(SPEECH_S)) - 1, "what time is it", "beep")


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=Path)
    subparsers = parser.add_subparsers(required=True)
    demo.command(subparsers)
    command.command(subparsers)
    return parser.parse_args(arguments)


def result(**changes: Any) -> dict[str, Any]:
    usual = {
        "heard": "what time is it",
        "expected": "what time is it",
        "answer": "It is [ten].",
        "returned_audio_text": "It is ten.",
        "v2v_ms": 640.0,
        "stages_ms": {"end_of_turn": 210.0, "transcript": 90.0, "first_packet": 20.0},
        "cost_usd": {
            "owned": {
                "view": "as the only call of the box",
                "total_usd": 0.00005,
                "usd_per_min": 0.0001,
                "lines": {"stt": 0.00002, "idle": 0.00003},
            },
            "rented": [
                {"stack": "A, B", "total_usd": 0.01, "usd_per_min": 0.02},
                {"stack": "C", "total_usd": None, "usd_per_min": None},
            ],
        },
        "inside_ms": 320.0,
        "returned_share": 1.0,
        "question_source": "made up",
        "call_end": "completed",
    }
    return {**usual, **changes}


def test_defaults_and_choices() -> None:
    args = parse("bench", "quick")
    assert (args.questions, args.speech, args.json, args.url) == (20, None, None, None)
    assert parse("bench", "quick", "--calls", "3").questions == 3
    args = parse("demo", "--once", "--say", "Hello?")
    assert args.once and args.say == "Hello?" and callable(args.func)


@pytest.mark.parametrize(
    "arguments",
    [
        ("bench",),
        ("bench", "quick", "--questions", "0"),
        ("bench", "quick", "--questions", "many"),
        ("demo", "--wav", "a.wav", "--say", "hello"),
    ],
)
def test_senseless_arguments_are_refused(arguments: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit):
        parse(*arguments)


def test_bad_recordings_are_told_before_anything_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    song = tmp_path / "song.mp3"
    song.write_bytes(b"not audio at all, whatever its name says")
    for arguments in (
        ("demo", "--wav", str(song)),
        ("bench", "quick", "--speech", str(tmp_path)),
    ):
        args = parse(*arguments)
        assert args.func(args) == 2
    errors = capsys.readouterr().err
    assert "song.mp3: not a PCM WAV file" in errors and "manifest.json: no such file" in errors


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"heard": ""}, "recognised no speech"),
        ({"answer": ""}, "no answer"),
        ({"v2v_ms": None}, "no voice"),
        ({"returned_share": 0.4}, "only 40% of the answer's words"),
    ],
)
def test_success_is_heard_answered_and_heard_back(
    changes: dict[str, Any], reason: str | None
) -> None:
    found = failing(result(**changes))
    assert found is None if reason is None else found is not None and reason in found


def test_the_first_call_is_shown_whole() -> None:
    console = Console(record=True, width=100, file=io.StringIO())
    show_first_call(console, result())
    text = console.export_text()
    for part in ("It is [ten].", "640 ms", "end of turn decided", "wire, buffers, codecs"):
        assert part in text
    assert "320 ms" in text, "the wire's share: 640 - 210 - 90 - 20"
    for row in (("idle", "0.000030"), ("A, B", "0.010000", "0.020000"), ("C", "not known")):
        assert any(all(cell in line for cell in row) for line in text.splitlines()), row


def test_a_call_in_which_nothing_happened_is_shown_too() -> None:
    console = Console(record=True, width=100, file=io.StringIO())
    nothing = result(heard="", answer="", returned_audio_text="", v2v_ms=None, stages_ms={})
    show_first_call(console, {**nothing, "cost_usd": {}})
    assert console.export_text().count("nothing") == 3


async def ask(
    monkeypatch: pytest.MonkeyPatch, agent: StandInAgent, count: int, refusal: str | None = None
) -> Findings:
    """Asks ``count`` beeps, two a call, of one agent a call."""
    monkeypatch.setattr(quick, "TURNS_A_CALL", 2)
    pace = Pace(
        greeting_silence_s=0.2,
        greeting_limit_s=0.3,
        answer_silence_s=0.3,
        answer_limit_s=1.5,
        held_silence_s=0.5,
        listen_limit_s=5.0,
        pause_s=0.1,
    )
    monkeypatch.setattr(quick, "PACE", pace)
    findings = Findings(speech="beeps")
    async with offer_server(agent, refusal) as url:
        box = quick.MeasuredBox(url.removesuffix("/api/offer"), None, None)
        with Progress(disable=True) as bar:
            asked = quick.Asked(bar, count)
            asking = quick.ask_all(box, [beep()] * count, findings, asyncio.Event(), asked)
            await asyncio.wait_for(asking, 90)
    return findings


async def test_questions_become_a_report(monkeypatch: pytest.MonkeyPatch) -> None:
    agent = StandInAgent(speech_s=SPEECH_S, delay_s=0.3)
    report = (await ask(monkeypatch, agent, 2)).report(machine_facts({"stt": "none"}))
    assert (report["n"], report["asked"], report["calls"], report["errors"]) == (2, 2, 1, [])
    assert report["v2v_ms"]["min"] <= report["v2v_ms"]["p50"] <= report["v2v_ms"]["max"]
    assert report["stages_ms"]["first_packet"] == {"p50": 30.0, "p95": 30.0}
    assert report["wer"] == 0.0 and report["machine"]["cores"] >= 1
    assert json.loads(json.dumps(report)) == report
    console = Console(record=True, width=100, file=io.StringIO())
    show_bench(console, report)
    assert "voice to voice" in console.export_text()


async def test_refused_calls_are_told_and_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    agent = StandInAgent(speech_s=SPEECH_S, delay_s=None)
    findings = await ask(monkeypatch, agent, 10, refusal="all 4 places are taken")
    assert len(findings.errors) == quick.FAILED_CALLS_LIMIT and not findings.turns
    assert "503 all 4 places are taken" in findings.errors[0]


async def test_a_box_that_died_ends_the_bench(tmp_path: Path) -> None:
    dying = BoxProcess("http://127.0.0.1:1", tmp_path / "log", program=("false",))
    with Progress(disable=True) as bar:
        async with asyncio.timeout(60), dying as box:
            measured = quick.MeasuredBox(box.url, None, box)
            work = quick._measure(
                measured, [beep()], Findings("x"), asyncio.Event(), quick.Asked(bar, 1)
            )
            with pytest.raises(BoxFailed, match="exit status 1"):
                await work


async def test_the_callers_process_tells_why_it_failed(tmp_path: Path) -> None:
    write_wav(tmp_path / "beep.wav", beep().pcm, 48_000)
    wav = ("--wav", str(tmp_path / "beep.wav"))
    with pytest.raises(first_call.SelfCallFailed, match="cannot be called"):
        calling = first_call.call_itself("http://127.0.0.1:1/", Config(), os.environ, wav)
        await asyncio.wait_for(calling, 90)


async def test_the_callers_process_reports_what_came_back(tmp_path: Path) -> None:
    write_wav(tmp_path / "beep.wav", beep().pcm, 48_000)
    agent = StandInAgent(speech_s=SPEECH_S, delay_s=0.4, greeting=tone(0.4))
    async with offer_server(agent) as url:
        calling = first_call.call_itself(
            url.removesuffix("/api/offer"),
            Config(),
            os.environ,
            ("--wav", str(tmp_path / "beep.wav")),
        )
        found = await asyncio.wait_for(calling, 100)
    assert (found["heard"], found["answer"]) == ("what time is it", "it is ten")
    assert found["expected"] == "" and found["call_end"] == "completed"
    assert found["v2v_ms"] > 0 and "beep.wav" in found["question_source"]
    # A beep is not the answer that the stand-in claims, and the recogniser finds that out.
    assert "only" in (failing(found) or "")


def test_ctrl_c_leaves_a_report(tmp_path: Path) -> None:
    """The real command, against an address where nobody answers, stopped while it tries."""
    script = (
        "import argparse, sys\n"
        "from latency_bench import quick\n"
        "from latency_bench.command import command\n"
        "import asyncio, os, signal\n"
        "async def stuck(*_a, **_k):\n"
        "    print('asking', flush=True)\n"
        "    await asyncio.sleep(600)\n"
        "quick.place_call = stuck\n"
        "quick.STOP_LIMIT_S = 0.2\n"
        "parser = argparse.ArgumentParser()\n"
        "parser.add_argument('--config')\n"
        "command(parser.add_subparsers())\n"
        "args = parser.parse_args(sys.argv[1:])\n"
        "sys.exit(args.func(args))\n"
    )
    write_wav(tmp_path / "a.wav", beep().pcm, 48_000)
    (tmp_path / "manifest.json").write_text('[{"path": "a.wav", "transcript": "beep"}]')
    out = tmp_path / "report.json"
    arguments = ["bench", "quick", "--url", "http://127.0.0.1:1", "--questions", "2"]
    with subprocess.Popen(
        [sys.executable, "-c", script, *arguments, "--speech", str(tmp_path), "--json", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        try:
            assert child.stdout is not None and "asking" in child.stdout.readline()
            child.send_signal(signal.SIGINT)
            output, errors = child.communicate(timeout=60)
        finally:
            child.kill()
    assert child.returncode == 130, errors
    assert "this is what ran" in output
    report = json.loads(out.read_text())
    assert report["interrupted"] and report["n"] == 0
