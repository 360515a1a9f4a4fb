"""Callers in processes of their own: done, killed, failing, told to hang up."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from latency_bench.conversation import Pace
from latency_bench.crew import Crew, Job
from latency_bench.figures import CallFigures
from latency_bench.part import Part
from latency_bench.reference.process import ReferenceProcess
from latency_bench.target import Target

RATE = 48_000
LIMIT_S = 60.0
QUICK = Pace(greeting_silence_s=0.2, greeting_limit_s=0.5, answer_silence_s=0.3, pause_s=0.1)


@asynccontextmanager
async def agent(behaviour: str = "good") -> AsyncIterator[Target]:
    """A reference agent on SIP that answers beeps."""
    async with ReferenceProcess("sip") as process:
        yield process.target(behaviour)


def job(number: int, target: Target, *, limit_s: float = 20.0, folder: Path | None = None) -> Job:
    at = np.arange(round(0.4 * RATE)) / RATE
    beep = (9000 * np.sin(2 * np.pi * 440 * at)).astype(np.int16)
    part = Part(0, "speech", beep, RATE, 0, len(beep) - 1, wait_s=5.0)
    return Job(
        call=number,
        repeat=0,
        scenario="beep",
        target=target,
        parts=[part],
        background=None,
        pace=QUICK,
        limit_s=limit_s,
        run_began_s=time.monotonic(),
        folder=folder,
    )


class Calls:
    """Those that are over."""

    def __init__(self) -> None:
        self.figures: list[CallFigures] = []

    async def done(self, call: CallFigures) -> None:
        self.figures.append(call)


async def test_calls_are_placed_measured_and_kept(tmp_path: Path) -> None:
    calls, folder = Calls(), tmp_path / "calls"
    folder.mkdir()
    async with asyncio.timeout(LIMIT_S), agent() as target, Crew(2) as crew:
        await crew.work([job(n, target, folder=folder) for n in range(3)], calls.done)
    assert sorted(call.call for call in calls.figures) == [0, 1, 2]
    assert {call.outcome for call in calls.figures} == {"completed"}
    assert all((tmp_path / str(call.audio)).is_file() for call in calls.figures)


async def test_a_caller_that_is_killed_costs_its_own_call_alone() -> None:
    calls = Calls()
    async with (
        asyncio.timeout(LIMIT_S),
        agent("ringing") as ringing,
        agent() as target,
        Crew(2) as crew,
    ):
        first, *others = crew.pids
        # The first caller's call is never answered, so it is under way when its process ends.
        working = asyncio.create_task(
            crew.work([job(0, ringing), *(job(n, target) for n in (1, 2))], calls.done)
        )
        while not calls.figures:
            await asyncio.sleep(0.05)
        os.kill(first, signal.SIGKILL)
        await working
        # What is left of the crew can still be told to hang up, and ends.
        crew.hang_up()
    outcomes = {call.call: call.outcome for call in calls.figures}
    assert outcomes == {0: "failed", 1: "completed", 2: "completed"}


async def test_hanging_up_ends_every_call_under_way(tmp_path: Path) -> None:
    calls = Calls()
    async with asyncio.timeout(LIMIT_S), agent() as target, Crew(2) as crew:
        jobs = [job(n, target) for n in range(50)]
        working = asyncio.create_task(crew.work(jobs, calls.done))
        while not calls.figures:
            await asyncio.sleep(0.05)
        crew.hang_up()
        await working
        assert len(calls.figures) < 50
        # The same callers can go on afterwards.
        await crew.muster(2)
        await crew.work([job(99, target)], calls.done)
    assert calls.figures[-1].call == 99 and calls.figures[-1].outcome == "completed"


async def test_what_a_caller_trips_over_is_told(tmp_path: Path) -> None:
    calls = Calls()
    async with asyncio.timeout(LIMIT_S), agent() as target, Crew(1) as crew:
        await crew.work([job(0, target, folder=tmp_path / "gone")], calls.done)
    (call,) = calls.figures
    assert call.outcome == "failed" and "FileNotFoundError" in call.reason


async def test_a_failure_to_keep_a_call_ends_the_work_plainly() -> None:
    async def full(call: CallFigures) -> None:
        raise OSError(28, "No space left on device")

    async with asyncio.timeout(LIMIT_S), agent() as target, Crew(2) as crew:
        with pytest.raises(OSError, match="No space left"):
            await crew.work([job(n, target) for n in range(20)], full)
