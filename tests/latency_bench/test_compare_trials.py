"""A whole comparison with agents of known delay in the places of a box and its peer."""

import argparse
import asyncio
import contextlib
import json
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from latency_bench.compare_peers import command
from latency_bench.compare_peers import trial as trial_module
from latency_bench.compare_peers.bench import finish, run
from latency_bench.compare_peers.comparison import Comparison, Plan
from latency_bench.compare_peers.contender import Contender, Running
from latency_bench.compare_peers.trial import Lasting, Trial
from latency_bench.conversation import Pace
from latency_bench.load.callers import Habits
from latency_bench.part import Part
from latency_bench.peers import PeerFailed
from latency_bench.reference.process import ReferenceProcess

RATE_HZ = 48_000
LIMIT_S = 110.0
HABITS = Habits(think_s=0.1, turns=(1, 2), gap_s=0.1, wait_s=3.0)
QUICK = Pace(greeting_silence_s=0.2, greeting_limit_s=0.5, answer_silence_s=0.3, pause_s=0.1)


@pytest.fixture(autouse=True)
def until_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine gets the time that it needs for a question; no time is spent after it."""
    monkeypatch.setattr(trial_module, "LONGEST", 120.0)
    monkeypatch.setattr(trial_module, "ANSWER_MARGIN_S", -2.0)


def question() -> Part:
    at = np.arange(round(0.4 * RATE_HZ)) / RATE_HZ
    beep = (9000 * np.sin(2 * np.pi * 440 * at)).astype(np.int16)
    return Part(0, "speech", beep, RATE_HZ, 0, len(beep) - 1, text="beep")


def contender(
    name: str,
    behaviour: str,
    starts: Counter[str],
    at_start: Callable[[int], None] = lambda n: None,
) -> Contender:
    """A reference agent behind its telephone; ``at_start`` is told the how manieth start it is."""

    @contextlib.asynccontextmanager
    async def start(calls: int, folder: Path) -> AsyncIterator[Running]:
        at_start(starts[name])
        starts[name] += 1
        async with ReferenceProcess("sip", behaviour) as process:
            child = process._child
            assert child is not None

            def check() -> None:
                if child.returncode is not None:
                    raise PeerFailed(f"{name} ended with exit status {child.returncode}")

            yield Running(lambda door: process.target(behaviour), child.pid, check)

    return Contender(name, ("sip",), start)


def comparison(tmp_path: Path, *contenders: Contender, **changes: Any) -> Comparison:
    made: dict[str, Any] = {"levels": (1,), "rounds": 1, "seconds": 0.5, "questions": 1, **changes}
    lasting = Lasting(made["seconds"], made["questions"], HABITS, pace=QUICK)
    plan = Plan(contenders, made["levels"], made["rounds"], lasting)
    return Comparison(plan, [question()], tmp_path, None)


async def ran(one: Comparison) -> dict[str, Any]:
    async with asyncio.timeout(LIMIT_S):
        await one.run(asyncio.Event())
    report = dict(one.report())
    json.dumps(report, allow_nan=False)
    return report


async def test_two_agents_have_their_turns_one_after_the_other(tmp_path: Path) -> None:
    starts: Counter[str] = Counter()
    told: list[Trial] = []
    one = comparison(
        tmp_path,
        contender("self", "good", starts),
        contender("stock", "talkative", starts),
        levels=(2,),
        rounds=2,
    )
    one.told = told.append
    report = await ran(one)
    assert one.order == [
        ("self", "sip", 2, 0), ("stock", "sip", 2, 0),
        ("self", "sip", 2, 1), ("stock", "sip", 2, 1),
    ]  # fmt: skip
    assert starts == {"self": 2, "stock": 2}, "each trial has an agent of its own"
    assert [(t.peer, t.round) for t in told] == [
        ("self", 0),
        ("stock", 0),
        ("self", 1),
        ("stock", 1),
    ]
    ours, theirs = report["rows"]
    assert (ours["peer"], theirs["peer"]) == ("self", "stock")
    for row in (ours, theirs):
        assert row["door"] == "sip" and row["calls"] == 2 and row["rounds"] == 2
        assert not row["errors"] and row["questions"] >= 2 and row["v2v_ms"]["n"] >= 1
        assert row["cpu"] >= 0 and row["rss_mb"] > 5 and row["discarded_fraction"] is None
        assert row["first_sound_ms"] == row["v2v_ms"], "nobody listened"
        assert row["broken_turns"] == 0
    # Their delays are 300 and 600 ms, to the sample; the callers' machine may be busy.
    assert 250 < ours["v2v_ms"]["min"] and 550 < theirs["v2v_ms"]["min"]
    figures = report["ratios"]["stock"]["sip"]["2"]
    assert figures["v2v_p50"]["ours"] == ours["v2v_ms"]["p50"]
    assert figures["v2v_p50"]["ratio"] == pytest.approx(
        ours["v2v_ms"]["p50"] / theirs["v2v_ms"]["p50"], rel=0.01
    )
    assert set(report["capacity"]) == {"self", "stock"} and not report["interrupted"]
    assert "0000.npz" in os.listdir(tmp_path / "self-sip-2-2"), "the sound is there to listen to"


async def test_one_that_refuses_is_a_row_and_is_not_asked_for_more(tmp_path: Path) -> None:
    starts: Counter[str] = Counter()
    one = comparison(tmp_path, contender("stock", "refusing", starts), levels=(1, 2))
    report = await ran(one)
    refused, skipped = report["rows"]
    # One more may have been on its way as the rest were given up.
    assert refused["v2v_ms"] is None and set(refused["outcomes"]) <= {"refused", "stopped"}
    assert refused["outcomes"]["refused"] >= 3
    assert "every call failed: refused" in refused["errors"][0]
    assert refused["broken_turns"] == refused["questions"] >= 3
    assert skipped["calls"] == 2 and skipped["v2v_ms"] is None
    assert "every call failed" in skipped["skipped"] and starts == {"stock": 1}
    assert report["capacity"]["stock"] == {"sip": 0}


async def test_one_that_dies_or_does_not_start_is_not_the_end(tmp_path: Path) -> None:
    starts: Counter[str] = Counter()

    def start(number: int) -> None:
        if number == 0:
            raise PeerFailed("stock ended before it was ready; it said:\n  no memory")

    one = comparison(
        tmp_path,
        contender("stock", "good", starts, start),
        contender("self", "good", starts),
        seconds=60.0,
        questions=10_000,
    )
    killed: list[int] = []

    def progress(what: str, share: float, questions: int) -> None:
        # As soon as it has answered: an hour of calls would tell no more.
        if what == "measuring" and questions and not killed:
            children = psutil.Process().children()
            agents = [c for c in children if "latency_bench.reference.agent" in c.cmdline()]
            assert len(agents) == 1, "only one agent runs at a time"
            killed.append(agents[0].pid)
            os.kill(agents[0].pid, signal.SIGKILL)

    one.progress = progress
    report = await ran(one)
    absent, died = report["rows"]
    assert killed and absent["peer"] == "stock" and died["peer"] == "self"
    assert "stock ended before it was ready" in absent["errors"][0] and not absent["questions"]
    assert died["errors"][0].startswith("round 1: self ended with exit status -9")
    assert died["questions"] >= 1 and died["cpu"] >= 0
    assert report["capacity"] == {"self": {"sip": 0}, "stock": {"sip": 0}}
    assert report["ratios"]["self"]["sip"]["1"]["v2v_p50"]["ratio"] is None


async def test_who_stops_it_gets_what_ran(tmp_path: Path) -> None:
    starts: Counter[str] = Counter()
    one = comparison(
        tmp_path, contender("self", "good", starts), contender("stock", "good", starts)
    )
    stop = asyncio.Event()
    one.told = lambda trial: stop.set()
    async with asyncio.timeout(LIMIT_S):
        await one.run(stop)
    report = one.report()
    assert report["interrupted"] and [row["peer"] for row in report["rows"]] == ["self"]
    assert report["ratios"] == {} and starts == {"self": 1}
    settings = {"limits": {"v2v_p95_ms": 1200.0, "lost_share": 0.01}}
    args = argparse.Namespace(json=tmp_path / "found.json", png=None)
    assert finish({**report, "settings": settings}, args) == 130
    assert json.loads(args.json.read_text())["rows"][0]["peer"] == "self"


async def test_a_stop_while_an_agent_starts_ends_that(tmp_path: Path) -> None:
    gone = asyncio.Event()
    stop = asyncio.Event()

    @contextlib.asynccontextmanager
    async def start(calls: int, folder: Path) -> AsyncIterator[Running]:
        stop.set()
        try:
            await asyncio.sleep(600)
            yield Running(lambda door: pytest.fail("never up"), 0, lambda: None)
        finally:
            gone.set()

    one = comparison(tmp_path, Contender("self", ("sip",), start))
    async with asyncio.timeout(LIMIT_S):
        await one.run(stop)
    assert gone.is_set() and one.report()["interrupted"] and one.report()["rows"] == []


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser()
    made.add_argument("--config", default=None)
    command.add_parser(made.add_subparsers())
    return made


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--calls", "0"), "numbers of 1 to 64"),
        (("--calls", "1,x"), "such as 1,2,4"),
        (("--rounds", "0"), "must be 1 to 20"),
        (("--peers", ","), "names nobody"),
        (("--seconds", "-1"), "must be seconds"),
        (("--door", "twilio"), "invalid choice"),
    ],
)
def test_a_mistaken_option_says_what_to_write(
    words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parser().parse_args(("compare", *words))
    assert ended.value.code == 2 and said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--peers", "nobody"), "no peer is called 'nobody'; there are: stock-pipecat"),
        (("--door", "sip"), "stock-pipecat is called by webrtc: add --door webrtc"),
        (("--speech", "/nowhere"), "no such file"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_runs(
    words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(parser().parse_args(("compare", "--no-words", *words))) == 2
    assert said in capsys.readouterr().err


def test_the_levels_are_taken_as_rising_numbers() -> None:
    args = parser().parse_args(("compare", "--calls", "8, 1,2,8"))
    assert args.calls == (1, 2, 8) and args.peers == ("stock-pipecat",) and args.rounds == 2
