"""`offhook bench capacity`: how many calls at once an agent carries, and what runs out first."""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from agent.capacity import capacity_file, model_names, wanted_devices
from agent.stop_signal import stop_signal
from latency_bench.box_process import BoxFailed
from latency_bench.crew import Crew
from latency_bench.figures import SCHEMA
from latency_bench.finish import asserted
from latency_bench.load.callers import Habits
from latency_bench.load.finish import finish_load
from latency_bench.load.level import (
    Lasting,
    Levels,
    LevelStopped,
    medians,
    questions_of,
)
from latency_bench.load.objective import (
    Objective,
    ObjectiveError,
    capacity,
    lowest_bad,
    next_level,
)
from latency_bench.load.process_load import ProcessLoad
from latency_bench.load.saturation import Saturated, Usage, alone, saturated, verdict, warnings
from latency_bench.machine import machine_facts
from latency_bench.part import Part
from latency_bench.peers import PeerFailed
from latency_bench.recording import CallFailed
from latency_bench.reports.assertion import Assertion, AssertionMistake
from latency_bench.reports.report_file import ReportError
from latency_bench.reports.write import write_json
from latency_bench.run_store import RunStore, StoreError
from latency_bench.scenario import ScenarioError
from latency_bench.session import Session, open_session
from latency_bench.target import TargetError
from latency_bench.utterance import SpeechError
from models.errors import ModelError

SUMMARY = (
    *("capacity_calls", "carried_calls", "v2v_p50_ms", "v2v_p95_ms", "missed_rate"),
    *("box_cpu_cores", "box_rss_mb", "broken_at_calls"),
)
SPARE_CALLS = 2
"""Over the highest level: the box must not be what turns callers away."""


def run(args: argparse.Namespace) -> int:
    """Runs the bench; 0 where at least one call kept to the objective."""
    console = Console(stderr=True)
    try:
        asserts = asserted(args.asserts, SUMMARY)
        if args.install and args.target != "self":
            raise TargetError("--install is for `self`: the box reads what was measured of itself")
        with console.status("Preparing what to say"):
            session = open_session(args)
            questions = questions_of(session)
        try:
            with ExitStack() as stack:
                folder = args.out or Path(
                    stack.enter_context(tempfile.TemporaryDirectory(prefix="offhook-capacity-"))
                )
                search = Search(
                    args.objective,
                    args.levels,
                    Habits(think_s=args.think, wait_s=args.wait),
                    Lasting(args.seconds, args.turns),
                    args.seed,
                )
                store = LevelStore(RunStore(folder, _settings(search, session, args)))
                bench = Capacity(session, questions, store, search, console)
                found = asyncio.run(bench.report())
                report = {**found, "settings": _settings(search, session, args)}
                if args.name:
                    report["target"]["name"] = args.name
                return _told(report, session, args, asserts, console)
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
        ObjectiveError,
        PeerFailed,
        ReportError,
        ScenarioError,
        SpeechError,
        StoreError,
        TargetError,
    ) as error:
        print(f"offhook: {error}", file=sys.stderr)
        return 2


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for, and how."""

    objective: Objective
    levels: tuple[int, ...]
    habits: Habits
    lasting: Lasting
    seed: int


class LevelStore:
    """Each level on disk as soon as it is over."""

    def __init__(self, store: RunStore) -> None:
        self._folder = store.folder

    def done(self) -> dict[int, dict[str, Any]]:
        """Levels that are over. Raises StoreError."""
        found = {}
        for path in sorted(self._folder.glob("level-*.json")):
            try:
                level = json.loads(path.read_bytes())
                found[int(level["calls"])] = {**level, "within": bool(level["within"])}
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise StoreError(
                    f"{path}: no level of this bench; remove it, or give another --out"
                ) from error
        return found

    def keep(self, level: Mapping[str, Any]) -> None:
        """Writes one level, whole or not at all."""
        write_json(self._folder / f"level-{level['calls']:04d}.json", level)


class Capacity:
    """One search: levels until the answer is known, then the report."""

    def __init__(
        self,
        session: Session,
        questions: Sequence[Part],
        store: LevelStore,
        search: Search,
        console: Console,
    ) -> None:
        self._session = session
        self._questions = questions
        self._store = store
        self._asked = search
        self._console = console
        self._levels: dict[int, dict[str, Any]] = store.done()
        self._usage: dict[int, Usage] = {}
        self._errors: list[str] = []
        self._interrupted = False
        self._began = datetime.now(UTC)
        self._began_s = time.monotonic()

    async def report(self) -> dict[str, Any]:
        """Runs every level that is not done yet; the report of those that ran."""
        if self._levels:
            done = ", ".join(map(str, sorted(self._levels)))
            self._console.print(f"Going on: levels {done} are done.")
        if self._next() is not None:
            async with stop_signal() as stop:
                await self._search(stop)
        return self._report()

    @property
    def _who(self) -> str:
        return "This box" if self._session.own else "The agent"

    def _next(self) -> int | None:
        kept = {calls: level["within"] for calls, level in self._levels.items()}
        return next_level(kept, self._asked.levels)

    async def _search(self, stop: asyncio.Event) -> None:
        highest = max(self._asked.levels)
        async with AsyncExitStack() as stack:
            with self._console.status("Starting the callers, and whom they call"):
                agent = await stack.enter_async_context(
                    self._session.agent({}, max_calls=highest + SPARE_CALLS)
                )
                crew = await stack.enter_async_context(Crew(1))
            box = agent.box.process.pid if agent.box else None
            load = await stack.enter_async_context(ProcessLoad(box, lambda: crew.pids).watching())
            levels = Levels(
                self._session,
                agent,
                crew,
                load,
                self._questions,
                self._asked.habits,
                self._asked.lasting,
                seed=self._asked.seed,
                run_began_s=self._began_s,
            )
            while not stop.is_set() and (calls := self._next()) is not None:
                try:
                    await self._level(levels, calls, stop)
                except (LevelStopped, BoxFailed) as fault:
                    if not stop.is_set():
                        self._errors.append(f"at {calls} calls: {fault}")
                    break
            self._interrupted = stop.is_set()

    async def _level(self, levels: Levels, calls: int, stop: asyncio.Event) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self._console, transient=True) as bar:
            name = f"{calls} call{'s' if calls > 1 else ''} at once"
            task = bar.add_task(f"{name}: callers arrive", total=1.0)

            def progress(share: float, turns: int) -> None:
                bar.update(task, completed=share, description=f"{name}: {turns} turns")

            level = await levels.run(calls, stop, progress)
        found = level.to_json(self._asked.objective)
        found["warnings"] = warnings(calls, level.usage)
        self._usage[calls] = level.usage
        self._levels[calls] = found
        self._store.keep(found)
        self._console.print(escape(_line(found)), highlight=False, soft_wrap=True)

    def _report(self) -> dict[str, Any]:
        levels = [level for _, level in sorted(self._levels.items())]
        kept = {level["calls"]: level["within"] for level in levels}
        carried, bad = capacity(kept), lowest_bad(kept)
        what = self._saturated(bad)
        best = self._levels.get(carried)
        p95 = best["v2v_ms"]["p95"] if best and best["v2v_ms"] else None
        why = None
        if what is not None and bad is not None:
            why = f"at {bad}, {' and '.join(self._levels[bad]['broken'])}; {what.why}"
        return {
            **self._facts(levels),
            "summary": {
                "capacity_calls": carried if levels else None,
                "carried_calls": best["carried"] if best else None,
                "v2v_p50_ms": best["v2v_ms"]["p50"] if best and best["v2v_ms"] else None,
                "v2v_p95_ms": p95,
                "missed_rate": best["missed_rate"] if best else None,
                "box_cpu_cores": best["cpu_cores"] if best else None,
                "box_rss_mb": best["rss_mb"] if best else None,
                "broken_at_calls": bad,
            },
            "levels": levels,
            "objective": self._asked.objective.to_json(),
            "capacity": {
                "calls": carried,
                "saturated": what.what if what else None,
                "why": why,
                "verdict": verdict(self._who, carried, p95, bad, what),
            },
        }

    def _saturated(self, bad: int | None) -> Saturated | None:
        """What ran out at the first load that broke the objective, against the lightest one."""
        if bad is None:
            return None
        first, last = self._levels[min(self._levels)], self._levels[bad]
        usage = self._usage.get(bad) or usage_of(last)
        found = saturated(usage, medians(first["stages_ms"]), medians(last["stages_ms"]))
        if first is last and not found.full:
            return alone(bad, {name: each["p95"] for name, each in last["stages_ms"].items()})
        return found

    def _facts(self, levels: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        session = self._session
        return {
            "schema": SCHEMA,
            "kind": "capacity",
            "target": {
                "text": session.text,
                "door": ", ".join(session.doors),
                "name": session.text,
            },
            "machine": machine_facts(model_names(session.config) if session.own else {}),
            "began_utc": self._began.isoformat(timespec="seconds"),
            "elapsed_s": round(time.monotonic() - self._began_s, 1),
            "speech": session.cast.speech,
            "interrupted": self._interrupted,
            "errors": list(self._errors),
            "warnings": [text for level in levels for text in level["warnings"]],
        }


def usage_of(level: Mapping[str, Any]) -> Usage:
    """What a level that was kept on disk says of its use."""
    busiest = level["busiest_thread"]
    return Usage(
        cores=len(level["core_busy"]),
        machine_cores=level["machine_cores"],
        callers_cores=level["callers_cores"],
        memory_total_mb=level["memory_total_mb"],
        memory_left_mb=level["memory_left_mb"],
        core_busy=tuple(level["core_busy"]),
        box_cores=level["cpu_cores"],
        rss_mb=level["rss_mb"],
        threads=level["threads"],
        busiest=(busiest["name"], busiest["share"]) if busiest else None,
    )


def _told(
    report: Mapping[str, Any],
    session: Session,
    args: argparse.Namespace,
    asserts: tuple[Assertion, ...],
    console: Console,
) -> int:
    """Says what was found, and puts it where it was asked for."""
    status = finish_load(report, args, asserts)
    if args.install:
        _install(report, session, console)
    return status or int(not report["capacity"]["calls"])


def _install(report: Mapping[str, Any], session: Session, console: Console) -> None:
    path = capacity_file(session.config)
    if report["interrupted"] or report["errors"]:
        console.print("Not installed: the search did not run to its end.")
        return
    write_json(path, report)
    console.print(f"Installed as {path}: the box takes so many from its next start.")
    asked = session.config.calls.max_calls
    if asked != "auto":
        console.print(f'`max_calls` in [calls] is {asked} and wins: set it to "auto".')


def _line(level: Mapping[str, Any]) -> str:
    v2v = level["v2v_ms"]
    latency = "no answers" if v2v is None else f"V2V P50 {v2v['p50']:.0f}, P95 {v2v['p95']:.0f} ms"
    missed = "" if level["missed_rate"] is None else f", missed {level['missed_rate']:.1%}"
    box = "" if level["cpu_cores"] is None else f"box {level['cpu_cores']:.2f} cores, "
    memory = "" if level["rss_mb"] is None else f", {level['rss_mb']:.0f} MB"
    return (
        f"{level['calls']:3d} offered, {level['carried']:.1f} carried: {latency}{missed} "
        f"({level['turns']} turns; {box}callers {level['callers_cores']:.2f}{memory}) "
        f"{'kept' if level['within'] else 'BROKEN: ' + '; '.join(level['broken'])}"
    )


def _settings(search: Search, session: Session, args: argparse.Namespace) -> dict[str, Any]:
    """What must be the same for a search to be gone on with."""
    own = session.own
    return {
        "target": args.target,
        "doors": list(session.doors),
        "models": model_names(session.config) if own else {},
        "devices": wanted_devices(session.config) if own else {},
        "objective": str(search.objective),
        "levels": list(search.levels),
        "seconds": search.lasting.seconds,
        "turns": search.lasting.turns,
        "think_s": search.habits.think_s,
        "turns_a_call": list(search.habits.turns),
        "gap_s": search.habits.gap_s,
        "wait_s": search.habits.wait_s,
        "speech": str(args.speech) if args.speech else None,
        "voice": args.voice,
        "codec": args.codec,
        "seed": search.seed,
    }
