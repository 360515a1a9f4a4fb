"""`offhook bench soak`: calls for hours, and whether anything grows meanwhile."""

import argparse
import asyncio
import contextlib
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from agent.capacity import model_names
from agent.stop_signal import stop_signal
from latency_bench.box_process import BoxFailed
from latency_bench.crew import Crew
from latency_bench.figures import SCHEMA, CallFigures, spread
from latency_bench.finish import asserted
from latency_bench.load.callers import FAILED, Callers, Habits
from latency_bench.load.finish import finish_load
from latency_bench.load.level import NOBODY_THERE, Caller, questions_of
from latency_bench.load.process_load import vitals
from latency_bench.load.soak_log import Sample, SoakLog, shown, totals, trends
from latency_bench.load.trend import WATCHED
from latency_bench.machine import machine_facts
from latency_bench.part import Part
from latency_bench.peers import PeerFailed
from latency_bench.recording import CallFailed
from latency_bench.reports.assertion import Assertion, AssertionMistake
from latency_bench.reports.report_file import ReportError
from latency_bench.run_store import RunStore, StoreError
from latency_bench.scenario import ScenarioError
from latency_bench.session import Agent, Session, open_session
from latency_bench.target import TargetError
from latency_bench.utterance import SpeechError
from models.errors import ModelError

SUMMARY = ("hours", "calls", "calls_failed", "turns", "turns_missed", "missed_rate", "v2v_p50_ms")
FAILURES_KEPT = 50
"""Different reasons; a bench that runs for days keeps no more."""
HOUR_S = 3600.0
SPARE_CALLS = 2
ARRIVE_S = 5.0
"""Within which the first calls come."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done."""

    hours: float
    concurrency: int
    every_s: float
    habits: Habits
    seed: int

    @property
    def planned_s(self) -> float:
        """Seconds of calls in all."""
        return self.hours * HOUR_S


def run(args: argparse.Namespace) -> int:
    """Runs the bench; 0 where it ran to its end and no call failed."""
    console = Console(stderr=True)
    habits = Habits(think_s=args.think, wait_s=args.wait)
    plan = Plan(args.hours, args.concurrency, args.every, habits, args.seed)
    try:
        asserts = asserted(args.asserts, (*SUMMARY, *(f"{name}_per_hour" for name in WATCHED)))
        with console.status("Preparing what to say"):
            session = open_session(args)
            questions = questions_of(session)
        try:
            with ExitStack() as stack:
                folder = args.out or Path(
                    stack.enter_context(tempfile.TemporaryDirectory(prefix="offhook-soak-"))
                )
                store = RunStore(folder, _settings(plan, session, args))
                soak = Soak(session, questions, SoakLog(store.folder), plan, console)
                found = asyncio.run(soak.report())
                report = {**found, "settings": _settings(plan, session, args)}
                if args.name:
                    report["target"]["name"] = args.name
                return _told(report, args, asserts)
        finally:
            session.close()
    except OSError as error:
        print(f"offhook: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    except (
        AssertionMistake,
        BoxFailed,
        CallFailed,
        ModelError,
        PeerFailed,
        ReportError,
        ScenarioError,
        SpeechError,
        StoreError,
        TargetError,
    ) as error:
        print(f"offhook: {error}", file=sys.stderr)
        return 2


@dataclass(slots=True)
class _Since:
    """What happened since the last sample."""

    v2v_ms: list[float] = field(default_factory=list)
    turns: int = 0
    missed: int = 0
    calls: int = 0
    failed: int = 0

    def take(self, call: CallFigures) -> None:
        """Adds a call that is over. A turn that the bench cut off was not missed."""
        owed = [turn for turn in call.turns if turn.owes_answer and not turn.continues]
        if call.outcome == "stopped" and owed and owed[-1].missed:
            owed.pop()
        self.v2v_ms += [turn.v2v_ms for turn in owed if turn.counts and turn.v2v_ms is not None]
        self.turns += len(owed)
        self.missed += sum(turn.missed for turn in owed)
        self.calls += 1
        self.failed += call.outcome in FAILED


class Soak:
    """Calls without end, a sample every few seconds."""

    def __init__(
        self,
        session: Session,
        questions: Sequence[Part],
        log: SoakLog,
        plan: Plan,
        console: Console,
    ) -> None:
        self._session = session
        self._callers = Callers(questions, plan.habits, plan.seed + log.run)
        self._log = log
        self._plan = plan
        self._console = console
        self._before_s = log.elapsed_s
        self._since = _Since()
        self._failures: Counter[str] = Counter()
        self._nobody = 0
        self._errors: list[str] = []
        self._interrupted = False
        self._began = datetime.now(UTC)
        self._began_s = time.monotonic()

    async def report(self) -> dict[str, Any]:
        """Calls for as long as is left; the report of all samples."""
        if self._before_s:
            self._console.print(f"Going on: {self._before_s / HOUR_S:.2f} hours are done.")
        if self._before_s < self._plan.planned_s:
            async with stop_signal() as stop:
                try:
                    await self._soak(stop)
                except BoxFailed as error:
                    self._errors.append(str(error))
                self._interrupted = stop.is_set()
        return await asyncio.to_thread(self._report)

    async def _soak(self, stop: asyncio.Event) -> None:
        lines = self._plan.concurrency
        async with AsyncExitStack() as stack:
            with self._console.status("Starting the callers, and whom they call"):
                agent = await stack.enter_async_context(
                    self._session.agent({}, max_calls=lines + SPARE_CALLS)
                )
                crew = await stack.enter_async_context(Crew(lines))
            self._began_s = time.monotonic()
            jobs = Caller(self._session, agent, self._callers, run_began_s=self._began_s).jobs()
            first = dict(
                enumerate(self._callers.arrivals_s(lines, min(ARRIVE_S, self._plan.every_s)))
            )

            async def done(call: CallFigures) -> None:
                self._ended(call)

            work = asyncio.create_task(
                crew.work(
                    jobs,
                    done,
                    lambda job: first.pop(job.call, None) or self._callers.gap_s(),
                ),
                name="soak",
            )
            try:
                await self._sampled(agent, work, stop)
            finally:
                crew.hang_up()
                await asyncio.gather(work, return_exceptions=True)
                await self._sample(agent)

    async def _sampled(self, agent: Agent, work: "asyncio.Task[None]", stop: asyncio.Event) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
        with Progress(*columns, console=self._console, transient=True) as bar:
            task = bar.add_task(
                "calling", total=self._plan.planned_s, completed=round(self._before_s)
            )
            while (left_s := self._plan.planned_s - self._elapsed_s()) > 0:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), min(self._plan.every_s, left_s))
                if stop.is_set():
                    return
                if agent.box is not None:
                    agent.box.process.check()
                if work.done():
                    work.result()
                    return
                if self._nobody >= NOBODY_THERE:
                    self._errors.append(f"{NOBODY_THERE} calls in a row found nobody")
                    return
                if left_s > self._plan.every_s:
                    # The last one is taken when the calls have ended.
                    sample = await self._sample(agent)
                    bar.update(task, completed=sample.at_s, description=_line(sample))

    def _ended(self, call: CallFigures) -> None:
        self._since.take(call)
        self._nobody = self._nobody + 1 if call.outcome == "unreachable" else 0
        if call.outcome in FAILED:
            reason = f"{call.outcome}: {call.reason}" if call.reason else call.outcome
            known = reason in self._failures or len(self._failures) < FAILURES_KEPT
            self._failures[reason if known else "other reasons"] += 1

    async def _sample(self, agent: Agent) -> Sample:
        since, self._since = self._since, _Since()
        held = await asyncio.to_thread(vitals, agent.box.process.pid) if agent.box else None
        v2v = spread(since.v2v_ms)
        sample = Sample(
            at_s=round(self._elapsed_s(), 3),
            run=self._log.run,
            rss_mb=round(held.rss_mb, 2) if held else None,
            descriptors=held.descriptors if held else None,
            threads=held.threads if held else None,
            processes=held.processes if held else None,
            v2v_p50_ms=round(v2v.p50, 2) if v2v else None,
            v2v_p95_ms=round(v2v.p95, 2) if v2v else None,
            turns=since.turns,
            missed=since.missed,
            calls=since.calls,
            failed=since.failed,
            bench_rss_mb=round(psutil.Process().memory_info().rss / 2**20, 2),
        )
        await asyncio.to_thread(self._log.append, sample)
        return sample

    def _elapsed_s(self) -> float:
        return self._before_s + time.monotonic() - self._began_s

    def _report(self) -> dict[str, Any]:
        samples = list(self._log.samples())
        found = trends(samples, self._plan.planned_s)
        count = totals(samples)
        medians = spread([s.v2v_p50_ms for s in samples if s.v2v_p50_ms is not None])
        session = self._session
        return {
            "schema": SCHEMA,
            "kind": "soak",
            "target": {
                "text": session.text,
                "door": ", ".join(session.doors),
                "name": session.text,
            },
            "machine": machine_facts(model_names(session.config) if session.own else {}),
            "began_utc": self._began.isoformat(timespec="seconds"),
            "elapsed_s": samples[-1].at_s if samples else 0.0,
            "speech": session.cast.speech,
            "interrupted": self._interrupted,
            "errors": [
                *self._errors,
                *(f"{times} calls {reason}" for reason, times in self._failures.most_common()),
            ],
            "summary": {
                "hours": samples[-1].at_s / HOUR_S if samples else 0.0,
                "calls": count["calls"],
                "calls_failed": count["failed"],
                "turns": count["turns"],
                "turns_missed": count["missed"],
                "missed_rate": count["missed"] / count["turns"] if count["turns"] else None,
                "v2v_p50_ms": medians.p50 if medians else None,
                **{f"{name}_per_hour": each.per_hour for name, each in found.items()},
            },
            "samples": shown(samples),
            "trends": {name: each.to_json() for name, each in found.items()},
        }


def _told(
    report: Mapping[str, Any], args: argparse.Namespace, asserts: tuple[Assertion, ...]
) -> int:
    summary = report["summary"]
    print(
        f"{summary['calls']} calls in {summary['hours']:.2f} hours, {summary['calls_failed']} "
        f"failed; {summary['turns']} turns, {summary['turns_missed']} missed."
    )
    return finish_load(report, args, asserts) or int(not report["samples"])


def _line(sample: Sample) -> str:
    memory = "" if sample.rss_mb is None else f", {sample.rss_mb:.0f} MB"
    latency = "" if sample.v2v_p50_ms is None else f", P50 {sample.v2v_p50_ms:.0f} ms"
    return f"{sample.calls} calls{latency}{memory}"


def _settings(plan: Plan, session: Session, args: argparse.Namespace) -> dict[str, Any]:
    """What must be the same for a soak to be gone on with."""
    return {
        "target": args.target,
        "doors": list(session.doors),
        "models": model_names(session.config) if session.own else {},
        "hours": plan.hours,
        "concurrency": plan.concurrency,
        "every_s": plan.every_s,
        "think_s": plan.habits.think_s,
        "wait_s": plan.habits.wait_s,
        "speech": str(args.speech) if args.speech else None,
        "voice": args.voice,
        "codec": args.codec,
        "seed": plan.seed,
    }
