"""So many calls at once for a while, and what came of it."""

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from latency_bench.conversation import Pace
from latency_bench.crew import Crew, Job
from latency_bench.figures import CallFigures, Spread, spread
from latency_bench.load.box_stages import box_stages
from latency_bench.load.callers import Callers, Habits, Window, figures_of
from latency_bench.load.objective import Objective
from latency_bench.load.process_load import ProcessLoad
from latency_bench.load.saturation import Usage
from latency_bench.part import Part
from latency_bench.scenario import load_scenario
from latency_bench.session import Agent, Session

QUESTIONS = "question"
"""The scenario whose steps callers ask."""
ROUNDS = 4
"""With recordings: so many for each step."""
CALL_LIMIT_S = 300.0
NOBODY_THERE = 3
"""So many calls in a row that found nobody: the rest would not either."""
POLL_S = 0.25
LONGEST = 4.0
"""A level that gets too few turns lasts so many times as long as asked."""
ANSWER_MARGIN_S = 1.0


class LevelStopped(Exception):
    """The level did not run to its end; the message says why."""


@dataclass(frozen=True, slots=True)
class Lasting:
    """How long a level lasts."""

    seconds: float
    turns: int
    """At least so many have to be counted, if that can be had in `LONGEST` times ``seconds``."""

    def ramp_s(self, lines: int) -> float:
        """Within which the first calls of so many lines come, before anything counts."""
        return min(2.0 + 1.5 * lines, self.seconds / 3)


@dataclass(frozen=True, slots=True)
class Level:
    """What was measured of one load."""

    calls: int
    figures: Mapping[str, float | None]
    """As an objective names them."""
    turns: int
    v2v_ms: Spread | None
    usage: Usage
    stages_ms: Mapping[str, Spread]
    carried: float
    """Calls under way, the mean."""
    peak: int
    window_s: float
    outcomes: Mapping[str, int]

    def to_json(self, objective: Objective) -> dict[str, Any]:
        """As the report holds it."""
        broken = objective.broken(self.figures)
        return {
            "calls": self.calls,
            "within": not broken,
            "broken": broken,
            "turns": self.turns,
            "v2v_ms": asdict(self.v2v_ms) if self.v2v_ms else None,
            **{name: self.figures[name] for name in ("missed_rate", "cut_in_rate", "failed_rate")},
            "offered": self.calls,
            "carried": round(self.carried, 3),
            "peak": self.peak,
            "window_s": round(self.window_s, 1),
            "outcomes": dict(self.outcomes),
            **self.usage.to_json(),
            "stages_ms": {name: asdict(found) for name, found in self.stages_ms.items()},
        }


def questions_of(session: Session) -> list[Part]:
    """Everything that callers ask. Raises SpeechError and ScenarioError."""
    scenario, file = load_scenario(QUESTIONS)
    rounds = ROUNDS if session.cast.folder is not None else 1
    return [
        part
        for turn in range(rounds)
        for part in session.cast.parts(scenario, file, turn, keys=False)
    ]


class Caller:
    """Makes the jobs of one stretch of calls, one after the other, without end."""

    def __init__(
        self,
        session: Session,
        agent: Agent,
        callers: Callers,
        *,
        run_began_s: float,
        first: int = 0,
        told: bool = False,
    ) -> None:
        self._session = session
        self._agent = agent
        self._callers = callers
        self._run_began_s = run_began_s
        self._call = first
        self._told = told

    def jobs(self) -> Iterator[Job]:
        """Calls through each door in turn."""
        while True:
            door = self._session.doors[self._call % len(self._session.doors)]
            box = self._agent.box
            yield Job(
                call=self._call,
                repeat=0,
                scenario=QUESTIONS,
                target=self._agent.target_of(door),
                parts=self._callers.call(),
                background=None,
                pace=Pace(),
                limit_s=CALL_LIMIT_S,
                run_began_s=self._run_began_s,
                # A caller that asks the box after each call would be a load, and off the line.
                status_url=box.process.url if box and self._told else None,
                answer_limit_s=self._session.answer_limit_s,
            )
            self._call += 1


class Levels:
    """Runs levels, one at a time, with one crew against one agent."""

    def __init__(
        self,
        session: Session,
        agent: Agent,
        crew: Crew,
        load: ProcessLoad,
        questions: Sequence[Part],
        habits: Habits,
        lasting: Lasting,
        *,
        seed: int,
        run_began_s: float,
    ) -> None:
        self._session = session
        self._agent = agent
        self._crew = crew
        self._load = load
        self._questions = questions
        self._habits = habits
        self._lasting = lasting
        self._seed = seed
        self._run_began_s = run_began_s
        self._placed = 0

    async def run(
        self, lines: int, stop: asyncio.Event, progress: Callable[[float, int], None]
    ) -> Level:
        """One level. ``progress``: the share that is over, and turns so far.

        Raises LevelStopped, and BoxFailed where a box of the bench's own died.
        """
        await self._crew.muster(lines)
        seed = random.Random(f"{self._seed}/{lines}").getrandbits(32)
        callers = Callers(self._questions, self._habits, seed)
        ramp_s = self._lasting.ramp_s(lines)
        first = {
            self._placed + place: wait_s
            for place, wait_s in enumerate(callers.arrivals_s(lines, ramp_s))
        }
        calls: list[CallFigures] = []

        async def done(call: CallFigures) -> None:
            calls.append(call)

        def delay_s(job: Job) -> float:
            wait_s = first.pop(job.call, None)
            return callers.gap_s() if wait_s is None else wait_s

        maker = Caller(
            self._session,
            self._agent,
            callers,
            run_began_s=self._run_began_s,
            first=self._placed,
        )
        work = asyncio.create_task(
            self._crew.work(maker.jobs(), done, delay_s, lines), name=f"{lines} lines"
        )
        try:
            window, usage = await self._measured(work, calls, ramp_s, stop, progress)
        finally:
            self._crew.hang_up()
            await asyncio.gather(work, return_exceptions=True)
            self._placed += len(calls) + lines
        work.result()
        return await self._level(lines, calls, window, usage)

    async def _measured(
        self,
        work: "asyncio.Task[None]",
        calls: list[CallFigures],
        ramp_s: float,
        stop: asyncio.Event,
        progress: Callable[[float, int], None],
    ) -> tuple[Window, Usage]:
        lasting = self._lasting
        await self._pass(ramp_s, work, calls, stop)
        began_s = time.monotonic()
        self._load.begin(began_s)
        while True:
            elapsed_s = time.monotonic() - began_s
            window = self._window(began_s, began_s + elapsed_s)
            turns = len(window.turns(calls))
            progress(min(1.0, elapsed_s / lasting.seconds), turns)
            enough = elapsed_s >= lasting.seconds and turns >= lasting.turns
            if enough or elapsed_s >= LONGEST * lasting.seconds:
                break
            await self._pass(POLL_S, work, calls, stop)
        usage = self._load.end(time.monotonic())
        # The load stays until the last question of the window is answered or missed: were the
        # calls cut off here, only the quick answers of the end would count.
        await self._pass(self._habits.wait_s + ANSWER_MARGIN_S, work, calls, stop)
        return window, usage

    async def _pass(
        self,
        seconds: float,
        work: "asyncio.Task[None]",
        calls: Sequence[CallFigures],
        stop: asyncio.Event,
    ) -> None:
        until_s = time.monotonic() + seconds
        while (left_s := until_s - time.monotonic()) > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), min(POLL_S, left_s))
            if stop.is_set():
                raise LevelStopped("stopped")
            if self._agent.box is not None:
                self._agent.box.process.check()
            if work.done():
                work.result()
                raise LevelStopped("the callers ended")
            recent = calls[-NOBODY_THERE:]
            if len(recent) == NOBODY_THERE and all(c.outcome == "unreachable" for c in recent):
                raise LevelStopped(f"nobody was there: {recent[-1].reason}")

    def _window(self, from_s: float, to_s: float) -> Window:
        return Window(from_s - self._run_began_s, to_s - self._run_began_s)

    async def _level(
        self, lines: int, calls: Sequence[CallFigures], window: Window, usage: Usage
    ) -> Level:
        turns = window.turns(calls)
        told = [turn.stages_ms for turn in turns if turn.counts and turn.stages_ms]
        box = self._agent.box
        if not told and box is not None:
            from_s, to_s = window.from_s + self._run_began_s, window.to_s + self._run_began_s
            told = await box_stages(box.process.url, box.token, from_s, to_s)
        return Level(
            calls=lines,
            figures={**figures_of(turns), "failed_rate": window.failed_rate(calls)},
            turns=len(turns),
            v2v_ms=spread([t.v2v_ms for t in turns if t.counts and t.v2v_ms is not None]),
            usage=usage,
            stages_ms=stage_spreads(told),
            carried=window.carried(calls),
            peak=window.peak(calls),
            window_s=window.length_s,
            outcomes=Counter(call.outcome for call in calls),
        )


def stage_spreads(turns: Sequence[Mapping[str, float]]) -> dict[str, Spread]:
    """Each stage over all turns that have it, in the order of the first."""
    names = list(dict.fromkeys(name for turn in turns for name in turn))
    found = {name: spread([turn[name] for turn in turns if name in turn]) for name in names}
    return {name: value for name, value in found.items() if value is not None}


def medians(stages_ms: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """P50 of each stage of a level as the report holds it."""
    return {name: float(found["p50"]) for name, found in stages_ms.items()}
