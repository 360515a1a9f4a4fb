"""One trial: one agent, started fresh, so many callers at once through one door, for a while."""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from latency_bench.box_process import BoxFailed
from latency_bench.compare_peers.contender import Contender, Running
from latency_bench.compare_peers.told import Told, told_by
from latency_bench.conversation import Pace
from latency_bench.crew import Crew, Job
from latency_bench.figures import CallFigures
from latency_bench.load.callers import FAILED, Callers, Habits, Window
from latency_bench.load.process_load import ProcessLoad
from latency_bench.load.saturation import Usage
from latency_bench.part import Part
from latency_bench.peers import PeerFailed
from latency_bench.target import Door, TargetError

SCENARIO = "compare"
CALL_LIMIT_S = 300.0
WARM_UP_LIMIT_S = 45.0
POLL_S = 0.25
LONGEST = 4.0
"""A trial that gets too few questions lasts so many times as long as asked."""
ANSWER_MARGIN_S = 1.0
SPARE_CALLS = 2
"""Over the callers: a call that is ending must not keep the next one out."""
HOPELESS = 3
"""So many calls, and one of each caller, all failed: the rest would, too."""

Died = (BoxFailed, PeerFailed, TargetError)
Progress = Callable[[str, float, int], None]
"""(what is done, the share of the trial that is over, questions so far)"""


class Stopped(Exception):
    """The user stopped the trial."""


@dataclass(frozen=True, slots=True)
class Lasting:
    """How long a trial lasts, and how callers behave."""

    seconds: float
    questions: int
    """At least so many are counted, if that can be had in `LONGEST` times ``seconds``."""
    habits: Habits
    seed: int = 1
    pace: Pace = field(default_factory=Pace)

    def ramp_s(self, calls: int) -> float:
        """Within which the first call of each line comes, before anything counts."""
        return min(2.0 + 1.5 * calls, self.seconds / 3)


@dataclass(frozen=True, slots=True)
class Trial:
    """What was measured; what could not be is empty, and ``error`` says why."""

    peer: str
    door: Door
    calls: int
    round: int
    made: tuple[CallFigures, ...] = ()
    """Every call that was placed, without the warm-up."""
    asked: Mapping[int, int] = field(default_factory=dict)
    """How many questions each call meant to ask."""
    window: Window | None = None
    """What counts; None where the agent never came up."""
    usage: Usage | None = None
    told: Told | None = None
    gaps: Mapping[int, int] = field(default_factory=dict)
    """Audible gaps in the answers that count, by call."""
    error: str = ""


class Trials:
    """Runs trials, one at a time, with one crew."""

    def __init__(
        self, crew: Crew, questions: Sequence[Part], lasting: Lasting, run_began_s: float
    ) -> None:
        self._crew = crew
        self._questions = questions
        self._lasting = lasting
        self._run_began_s = run_began_s

    async def run(
        self,
        contender: Contender,
        door: Door,
        calls: int,
        round_: int,
        folder: Path,
        stop: asyncio.Event,
        progress: Progress,
    ) -> Trial:
        """One trial; ``folder`` takes the calls' sound. An agent that fails is a trial, too.

        Raises Stopped.
        """
        trial = Trial(contender.name, door, calls, round_)
        progress("starting", 0.0, 0)
        try:
            async with contextlib.AsyncExitStack() as stack:
                starting = contender.start(calls + SPARE_CALLS, folder)
                agent = await self._unless(stop, stack, starting)
                await self._crew.muster(calls)
                return await _Run(self, agent, trial, folder, stop, progress).run()
        except Died as error:
            return replace(trial, error=str(error))

    async def _unless(
        self,
        stop: asyncio.Event,
        stack: contextlib.AsyncExitStack,
        starting: contextlib.AbstractAsyncContextManager[Running],
    ) -> Running:
        """Starts it, unless the user stops that."""
        work = asyncio.ensure_future(stack.enter_async_context(starting))
        waiting = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({work, waiting}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise Stopped
            return work.result()
        finally:
            work.cancel()
            waiting.cancel()
            await asyncio.gather(work, waiting, return_exceptions=True)


class _Run:
    """One trial under way."""

    def __init__(
        self,
        trials: Trials,
        agent: Running,
        trial: Trial,
        folder: Path,
        stop: asyncio.Event,
        progress: Progress,
    ) -> None:
        self._crew = trials._crew
        self._lasting = trials._lasting
        self._run_began_s = trials._run_began_s
        self._agent = agent
        self._trial = trial
        self._folder = folder
        self._stop = stop
        self._progress = progress
        # The same for every agent: each is asked the same, by callers as patient.
        seed = random.Random(f"{self._lasting.seed}/{trial.calls}/{trial.round}").getrandbits(32)
        self._callers = Callers(trials._questions, self._lasting.habits, seed)
        self._made: list[CallFigures] = []
        self._asked: dict[int, int] = {}

    async def run(self) -> Trial:
        trial, lines = self._trial, self._trial.calls
        await self._warm_up()
        load = ProcessLoad(self._agent.pid, lambda: self._crew.pids)
        ramp_s = self._lasting.ramp_s(lines)
        first = dict(enumerate(self._callers.arrivals_s(lines, ramp_s)))

        async def done(call: CallFigures) -> None:
            self._made.append(call)

        def delay_s(job: Job) -> float:
            wait_s = first.pop(job.call, None)
            return self._callers.gap_s() if wait_s is None else wait_s

        async with load.watching():
            work = asyncio.create_task(self._crew.work(self._jobs(), done, delay_s, lines))
            try:
                window, usage, error = await self._measured(work, load, ramp_s)
            finally:
                self._crew.hang_up()
                await asyncio.gather(work, return_exceptions=True)
        if not error:
            work.result()
        told = None
        if self._agent.box_url is not None and not error:
            zero_s = self._run_began_s
            told = await told_by(
                self._agent.box_url,
                self._agent.token,
                zero_s + window.from_s,
                zero_s + window.to_s,
            )
        return replace(
            trial,
            made=tuple(sorted(self._made, key=lambda call: call.call)),
            asked=self._asked,
            window=window,
            usage=usage,
            told=told,
            error=error,
        )

    async def _warm_up(self) -> None:
        """One question that does not count: nobody pays for an agent's first time."""
        self._progress("warming up", 0.0, 0)
        parts = self._callers.call()[:1]
        job = self._job(0, parts, limit_s=WARM_UP_LIMIT_S, kept=False)

        async def done(call: CallFigures) -> None:
            pass

        work = asyncio.create_task(self._crew.work([job], done, lines=1))
        try:
            while not work.done():
                await self._wait(POLL_S)
                self._agent.check()
        finally:
            if not work.done():
                self._crew.hang_up()
            await asyncio.gather(work, return_exceptions=True)
        work.result()

    def _jobs(self) -> Iterator[Job]:
        number = 0
        while True:
            parts = self._callers.call()
            self._asked[number] = len(parts)
            yield self._job(number, parts, limit_s=CALL_LIMIT_S, kept=True)
            number += 1

    def _job(self, number: int, parts: Sequence[Part], *, limit_s: float, kept: bool) -> Job:
        return Job(
            call=number,
            repeat=self._trial.round,
            scenario=SCENARIO,
            target=self._agent.target_of(self._trial.door),
            parts=parts,
            background=None,
            pace=self._lasting.pace,
            limit_s=limit_s,
            run_began_s=self._run_began_s,
            folder=self._folder if kept else None,
        )

    async def _measured(
        self, work: "asyncio.Task[None]", load: ProcessLoad, ramp_s: float
    ) -> tuple[Window, Usage, str]:
        """What counts, what was used meanwhile, and what ended it early."""
        lasting = self._lasting
        began_s, error = time.monotonic(), ""
        load.begin(began_s)
        try:
            await self._pass(ramp_s, work)
            began_s = time.monotonic()
            load.begin(began_s)
            while True:
                elapsed_s = time.monotonic() - began_s
                window = self._window(began_s, began_s + elapsed_s)
                questions = len(window.turns(self._made))
                share = min(1.0, elapsed_s / lasting.seconds)
                self._progress("measuring", share, questions)
                if elapsed_s >= lasting.seconds and questions >= lasting.questions:
                    break
                if elapsed_s >= LONGEST * lasting.seconds:
                    break
                await self._pass(POLL_S, work)
            ended_s = time.monotonic()
            usage = load.end(ended_s)
            # The load stays until the last question that counts is answered or missed: were the
            # calls cut off here, only quick answers would count.
            await self._pass(lasting.habits.wait_s + ANSWER_MARGIN_S, work)
            return self._window(began_s, ended_s), usage, ""
        except Died as failure:
            error = str(failure)
        ended_s = time.monotonic()
        return self._window(began_s, ended_s), load.end(ended_s), error

    async def _pass(self, seconds: float, work: "asyncio.Task[None]") -> None:
        """Waits. Raises Stopped, and what `Died` holds where going on is of no use."""
        until_s = time.monotonic() + seconds
        while (left_s := until_s - time.monotonic()) > 0:
            await self._wait(min(POLL_S, left_s))
            self._agent.check()
            if work.done():
                work.result()
            enough = max(HOPELESS, self._trial.calls)
            if len(self._made) >= enough and all(c.outcome in FAILED for c in self._made):
                last = self._made[-1]
                raise TargetError(f"every call failed: {last.outcome}: {last.reason}")

    async def _wait(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)
        if self._stop.is_set():
            raise Stopped

    def _window(self, from_s: float, to_s: float) -> Window:
        return Window(from_s - self._run_began_s, to_s - self._run_began_s)
