"""`offhook bench quality` as a user runs it, and what it asks over a call."""

import argparse
import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from agent.config import Config
from latency_bench.conversation import FRAME_S, Conversation
from latency_bench.leg import Leg
from latency_bench.quality import answers
from latency_bench.quality import bench as quality
from latency_bench.quality.answer_rules import Checked
from latency_bench.quality.answers import Question, questions
from latency_bench.quality.degrade import resampled
from latency_bench.quality.endpointing import Case, Endpoint
from latency_bench.quality.offline_ear import OfflineEar
from latency_bench.quality.options import PARTS, add_parser
from latency_bench.recording import CallRecording
from latency_bench.reports.report_file import parse_report
from latency_bench.target import Target
from latency_bench.wire import level_dbfs
from models.loading import load_stt, load_tts

LINE_HZ = 16_000


def arguments(*given: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=Path)
    add_parser(parser.add_subparsers(required=True))
    return parser.parse_args(["quality", *given])


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings of whoever runs the tests."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OFFHOOK_CONFIG", raising=False)


def test_a_small_run_from_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "quality.json"
    args = arguments("--utterances", "2", "--only", "end-of-turn,answers", "--json", str(file))
    assert args.func(args) == 0
    body = json.loads(file.read_text())
    report = parse_report(body)
    assert report.kind == "quality" and not report.interrupted and report.errors == ()
    assert report.speech.startswith("synthesised")
    assert body["settings"]["only"] == ["end-of-turn", "answers"]
    assert {table.title for table in report.tables} == {"End of turn", "Wait curve", "Answers"}
    assert all(len(row) == len(t.columns) for t in report.tables for row in t.rows)
    assert report.summary["end_wait_p50_ms"] is not None
    assert 100 < report.summary["end_wait_p50_ms"] < 1700
    assert report.summary["wer"] is None and report.summary["barge_in_missed_rate"] is None
    assert len(body["answers"]) == 2 and all(a["answer"] for a in body["answers"])
    kinds = {entry["kind"] for entry in body["end_of_turn"]}
    assert {"complete", "pause put in", "incomplete"} <= kinds
    shown = capsys.readouterr().out
    assert "End of turn" in shown and "Answers" in shown


def test_ctrl_c_leaves_a_report_of_what_ran(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(asked: Sequence[Case], ear: OfflineEar) -> Iterator[Endpoint]:
        yield Endpoint(asked[0], 0, 0.25, True)
        raise KeyboardInterrupt

    monkeypatch.setattr(quality, "judge_all", stopped)
    file = tmp_path / "quality.json"
    args = arguments("--utterances", "1", "--only", "end-of-turn,answers", "--json", str(file))
    assert args.func(args) == 130
    body = json.loads(file.read_text())
    assert body["interrupted"] and len(body["end_of_turn"]) == 1 and body["answers"] == []
    assert body["summary"]["end_wait_p50_ms"] == pytest.approx(250)


def test_bad_input_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = arguments("--speech", str(tmp_path / "none"))
    assert args.func(args) == 2
    assert "manifest.json: no such file" in capsys.readouterr().err
    args = arguments("telephone:123")
    assert args.func(args) == 2
    assert "telephone:123" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        arguments("--only", "hearing,smelling")
    assert "'smelling' is none of" in capsys.readouterr().err
    assert arguments("--only", "answers,hearing").only == ["hearing", "answers"]
    assert arguments().only is None and set(PARTS) == {*PARTS}


def test_questions_mix_facts_with_everyday_ones() -> None:
    assert [bool(q.expected) for q in questions(4)] == [True, False, True, False]
    everything = questions(1000)
    assert len({q.text for q in everything}) == len(everything) == 32


class AnswersOnce:
    """An agent on simulated time: greets, and answers each question half a second after it."""

    def __init__(self, greeting: NDArray[np.int16], answer: NDArray[np.int16]) -> None:
        self._pending = greeting
        self._answer = answer
        self._silent_s = 0.0
        self._owes = False

    def frame(self, heard: NDArray[np.int16]) -> NDArray[np.int16]:
        if level_dbfs(heard) > -50:
            self._owes, self._silent_s = True, 0.0
        else:
            self._silent_s += FRAME_S
        if self._owes and self._silent_s > 0.5:
            self._pending, self._owes = self._answer, False
        pcm = np.zeros(len(heard), np.int16)
        head, self._pending = self._pending[: len(heard)], self._pending[len(heard) :]
        pcm[: len(head)] = head
        return pcm


def test_an_agent_is_asked_over_a_call_and_its_sound_understood(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    onnxruntime.set_seed(1)
    voice, stt = load_tts(Config().models.tts), load_stt(Config().models.stt)

    def said(text: str) -> NDArray[np.int16]:
        pcm = np.concatenate([chunk.pcm for chunk in voice.synthesize(text)])
        return resampled(pcm, voice.sample_rate_hz, LINE_HZ)

    agent = AnswersOnce(said("Hello there."), said("The capital of France is Paris."))

    async def simulated(
        target: Target, talk: Callable[[int], Conversation], **limits: Any
    ) -> CallRecording:
        over: list[bool] = []
        leg = Leg(talk(LINE_HZ), lambda: over.append(True))
        leg.dialled(0.0)
        leg.answered(0.0)
        for number in range(3000):
            at_s = (number + 1) * FRAME_S
            heard = agent.frame(leg.next_frame(at_s))
            leg.packet(at_s, number, number * len(heard))
            leg.heard(heard, at_s, number * len(heard))
            if over:
                break
        assert over, "the call did not end"
        return leg.recording("sip", "L16/16000", LINE_HZ)

    monkeypatch.setattr(answers, "place_call", simulated)
    asked = [
        Question("What is the capital of France?", ("Paris",)),
        Question("What do bees make?", ("honey",)),
    ]
    took: list[Checked] = []

    async def ask() -> None:
        def recognise(pcm: NDArray[np.int16], rate_hz: int) -> str:
            return stt.transcribe(pcm, rate_hz).text

        stop = asyncio.Event()
        target = Target("sip", "sip:agent@127.0.0.1")
        await answers.ask_agent(asked, target, voice, recognise, took.append, stop)

    asyncio.run(asyncio.wait_for(ask(), 100))
    voice.close()
    stt.close()
    assert [one.question for one in took] == [q.text for q in asked]
    assert all(one.ok for one in took)
    assert [one.right for one in took] == [True, False]
