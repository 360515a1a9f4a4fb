"""`offhook bench run`: calls an agent as scenarios say, and reports what came of it."""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from agent.stop_signal import stop_signal
from latency_bench.box_process import BoxFailed
from latency_bench.crew import Crew, Job
from latency_bench.figures import SCHEMA, CallFigures
from latency_bench.finish import asserted, finish
from latency_bench.listening import Listener
from latency_bench.machine import machine_facts
from latency_bench.measures.judge import judge
from latency_bench.measures.measure import measure_call
from latency_bench.measures.summary import run_report
from latency_bench.peers import PEERS, PeerFailed
from latency_bench.questions import MANIFEST
from latency_bench.recording import CallFailed
from latency_bench.recording_file import load
from latency_bench.reports.assertion import AssertionMistake
from latency_bench.reports.report_file import ReportError
from latency_bench.run_store import RunStore, StoreError
from latency_bench.scenario import Scenario, ScenarioError
from latency_bench.session import Planned, Session, load_scenarios, open_session
from latency_bench.target import TargetError
from latency_bench.tracing.otlp_receiver import OtlpReceiver, ReceiverError
from latency_bench.tracing.span_calls import with_spans
from latency_bench.tracing.span_turns import Conversation, conversations_of
from latency_bench.tracing.spans import Span, SpansError, read_spans
from latency_bench.utterance import SpeechError
from models.errors import ModelError

FAILURES = (
    BoxFailed,
    CallFailed,
    ModelError,
    OSError,
    PeerFailed,
    ReceiverError,
    ScenarioError,
    SpansError,
    SpeechError,
    StoreError,
    TargetError,
)
"""What stands in a run's way and is told in one sentence."""
LARGEST_STAGGER_S = 3.0
"""Callers who begin together begin within this time of each other."""
SPANS_QUIET_S = 6.0
"""Exporters send batches, by default every 5 s."""
SPANS_LIMIT_S = 20.0
NOBODY_THERE = 3
"""So many calls in a row that found nobody: the rest would not either."""


def run(args: argparse.Namespace) -> int:
    """Runs the bench; returns the exit status."""
    console = Console(stderr=True)
    try:
        asserts = asserted(args.asserts, run_report([])["summary"])
        scenarios = load_scenarios(args.scenario or ["question"])
        with console.status("Preparing what to say"):
            session = open_session(args)
            planned = session.plan(scenarios, args.calls, args.repeat)
            session.prepare(planned)
        try:
            with ExitStack() as stack:
                folder = args.out or Path(
                    stack.enter_context(tempfile.TemporaryDirectory(prefix="offhook-bench-run-"))
                )
                store = RunStore(folder, _plan_facts(args, session, scenarios))
                work = Run(session, planned, store, args, console)
                report = asyncio.run(work.report())
                return finish(report, args, asserts, folder, kept=args.out is not None)
        finally:
            session.close()
    except (*FAILURES, AssertionMistake, ReportError) as error:
        print(f"offhook: {error}", file=sys.stderr)
        return 2


class Run:
    """One run: the calls, then what was said in them, then the report."""

    def __init__(
        self,
        session: Session,
        planned: Sequence[Planned],
        store: RunStore,
        args: argparse.Namespace,
        console: Console,
    ) -> None:
        self._session = session
        self._planned = planned
        self._store = store
        self._args = args
        self._console = console
        self._done = store.done()
        self._errors: list[str] = []
        self._nobody = 0
        self._given_up = False
        self._spans: Sequence[Span] = read_spans(args.spans) if args.spans else ()
        now = datetime.now(UTC)
        self._began = store.began(now)
        # A run that is gone on with keeps its first sitting's clock.
        self._began_s = time.monotonic() - (now - self._began).total_seconds()
        self._interrupted = False

    async def report(self) -> dict[str, Any]:
        """Places every call that is not done yet; the report of those that ran."""
        if self._done:
            self._console.print(
                f"Going on: {len(self._done)} of {len(self._planned)} calls are done."
            )
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        async with AsyncExitStack() as stack:
            stop = await stack.enter_async_context(stop_signal())
            receiver = None
            if self._args.otlp_port is not None or self._session.text in PEERS:
                receiver = await stack.enter_async_context(OtlpReceiver(self._args.otlp_port or 0))
            with Progress(*columns, console=self._console, transient=True) as bar:
                task = bar.add_task("calling", total=len(self._planned), completed=len(self._done))
                work = asyncio.create_task(
                    self._call_all(stop, receiver, lambda: bar.advance(task))
                )
                try:
                    await self._until(work, stop)
                except FAILURES as error:
                    if not self._done:
                        raise
                    # What ran is worth a report.
                    self._errors.append(str(error))
            self._interrupted = stop.is_set()
            # From here on another Ctrl-C means: no more listening.
            stop.clear()
            calls = [call for _, call in sorted(self._done.items())]
            if receiver is not None and calls:
                with self._console.status("Waiting for the agent's spans"):
                    self._spans = [
                        *self._spans,
                        *await receiver.until_quiet(SPANS_QUIET_S, SPANS_LIMIT_S),
                    ]
            if self._spans:
                calls = await asyncio.to_thread(self._told, calls)
            if not self._args.no_words and calls:
                with self._console.status("Listening to the answers"):
                    calls = await asyncio.to_thread(self._listened, calls, stop)
        by_name = {call.scenario.name: call.scenario for call in self._planned}
        judged = [judge(call, by_name[call.scenario]) for call in calls]
        return {**self._facts(), **run_report(judged)}

    async def _until(self, work: "asyncio.Task[None]", stop: asyncio.Event) -> None:
        waiting = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({work, waiting}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                self._console.print("Stopping; the report of what ran follows.")
            await work
        finally:
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)

    async def _call_all(
        self, stop: asyncio.Event, receiver: OtlpReceiver | None, advance: Callable[[], None]
    ) -> None:
        left = [call for call in self._planned if call.call not in self._done]
        if not left:
            return
        async with Crew(min(self._args.concurrency, len(left))) as crew:
            hanging_up = asyncio.create_task(_hang_up(crew, stop))
            try:
                for (settings, person), group in _by_box(left, self._session.own):
                    if not stop.is_set() and not self._given_up:
                        await self._call_group(
                            crew, settings, person, group, receiver, advance, stop
                        )
            finally:
                hanging_up.cancel()
                await asyncio.gather(hanging_up, return_exceptions=True)

    async def _call_group(
        self,
        crew: Crew,
        settings: Mapping[str, Any],
        needs_person: bool,
        group: Sequence[Planned],
        receiver: OtlpReceiver | None,
        advance: Callable[[], None],
        stop: asyncio.Event,
    ) -> None:
        concurrency = self._args.concurrency
        async with self._session.agent(
            settings,
            max_calls=concurrency + 1,
            needs_person=needs_person,
            otlp_url=receiver.url if receiver else None,
        ) as agent:
            jobs = [
                self._session.job(call, agent, run_began_s=self._began_s, folder=self._store.calls)
                for call in group
            ]
            draw = random.Random(self._args.seed)
            first = {job.call: draw.uniform(0, LARGEST_STAGGER_S) for job in jobs[:concurrency]}

            def delay_s(job: Job) -> float:
                # Each caller's first call of the group; later ones begin as others end.
                return first.pop(job.call, 0.0) if concurrency > 1 else 0.0

            async def done(call: CallFigures) -> None:
                advance()
                await self._ended(call)

            def wanted() -> Iterator[Job]:
                for job in jobs:
                    if self._given_up:
                        return
                    yield job

            await crew.work(wanted(), done, delay_s)
            if agent.box is not None and not stop.is_set():
                agent.box.process.check()

    async def _ended(self, call: CallFigures) -> None:
        self._done[call.call] = call
        await asyncio.to_thread(self._store.keep, call)
        self._nobody = self._nobody + 1 if call.outcome == "unreachable" else 0
        if self._nobody == NOBODY_THERE:
            self._given_up = True
            self._errors.append(
                f"{NOBODY_THERE} calls in a row found nobody; the rest were not placed: "
                f"{call.reason}"
            )

    def _told(self, calls: Sequence[CallFigures]) -> list[CallFigures]:
        """The calls measured again, with what the agent's spans tell of them."""
        conversations: list[Conversation] = conversations_of(self._spans)
        # Both clocks are of this machine, or of machines whose clocks agree.
        offset_s = time.monotonic() - time.time()
        found = []
        for call in calls:
            sound = self._store.sound(call)
            if sound.exists():
                recording = with_spans(load(sound), conversations, offset_s)
                measured = measure_call(
                    recording,
                    call=call.call,
                    scenario=call.scenario,
                    began_s=call.began_s,
                    repeat=call.repeat,
                )
                call = replace(measured, audio=call.audio)
            found.append(call)
        return found

    def _listened(self, calls: Sequence[CallFigures], stop: asyncio.Event) -> list[CallFigures]:
        """The calls with the agent's words; another Ctrl-C leaves out those not yet heard."""
        models = self._session.config.models
        found = []
        name = self._args.recogniser or models.stt
        with Listener(name, models.device_of("stt")) as listener:
            for call in calls:
                sound = self._store.sound(call)
                listen = sound.exists() and not stop.is_set()
                found.append(listener.listen(call, load(sound)) if listen else call)
        return found

    def _facts(self) -> dict[str, Any]:
        session, args = self._session, self._args
        models = session.config.models
        named = {"stt": models.stt, "llm": models.llm, "tts": models.tts} if session.own else {}
        return {
            "schema": SCHEMA,
            "kind": "run",
            "target": {
                "text": session.text,
                "door": ", ".join(session.doors),
                "name": args.name or session.text,
            },
            "machine": machine_facts(named),
            "began_utc": self._began.isoformat(timespec="seconds"),
            "elapsed_s": round(time.monotonic() - self._began_s, 1),
            "speech": session.cast.speech,
            "settings": {
                "scenarios": sorted({call.scenario.name for call in self._planned}),
                "calls": args.calls,
                "concurrency": args.concurrency,
                "repeat": args.repeat,
                "seed": args.seed,
                "codec": args.codec,
            },
            "interrupted": self._interrupted,
            "errors": list(self._errors),
        }


def _by_box(
    planned: Sequence[Planned], own: bool
) -> list[tuple[tuple[Mapping[str, Any], bool], list[Planned]]]:
    """Calls that one box can take, with its settings; an agent of others' takes all."""
    if not own:
        return [(({}, False), list(planned))]

    def key(call: Planned) -> str:
        return repr((call.scenario.box, call.scenario.needs_person))

    groups = [list(group) for _, group in groupby(sorted(planned, key=key), key)]
    return [((group[0].scenario.box, group[0].scenario.needs_person), group) for group in groups]


async def _hang_up(crew: Crew, stop: asyncio.Event) -> None:
    await stop.wait()
    crew.hang_up()


def _plan_facts(
    args: argparse.Namespace, session: Session, scenarios: Sequence[tuple[Scenario, Path]]
) -> dict[str, Any]:
    """What must be the same for a run to be gone on with."""
    config = session.config.model_dump_json(exclude={"server", "records", "carriers"})
    return {
        "target": args.target,
        "doors": list(session.doors),
        "scenarios": [scenario.model_dump(mode="json") for scenario, _ in scenarios],
        "recordings": sorted(_digests(args.speech, scenarios)),
        "calls": args.calls,
        "concurrency": args.concurrency,
        "repeat": args.repeat,
        "voice": args.voice,
        "codec": args.codec,
        "caller": args.caller,
        "username": args.username,
        "ring_s": args.ring,
        "seed": args.seed,
        "box": sha256(config.encode()).hexdigest() if session.own else None,
    }


def _digests(
    folder: Path | None, scenarios: Sequence[tuple[Scenario, Path]]
) -> Iterator[tuple[str, str]]:
    """The recordings that may be said, by name, and what is in them."""
    files = [folder / MANIFEST] if folder else []
    for scenario, place in scenarios:
        files += [place.parent / step.wav for step in scenario.steps if step.wav is not None]
    for file in files:
        yield str(file), sha256(file.read_bytes()).hexdigest()
