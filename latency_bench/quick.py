"""`offhook bench quick`: a box in a process of its own, asked question after question."""

import argparse
import asyncio
import contextlib
import json
import os
import sys
import tempfile
import urllib.request
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from agent.config import Config, load_config
from agent.stop_signal import stop_signal
from latency_bench.box_process import BoxFailed, BoxProcess, free_port
from latency_bench.caller_webrtc import place_call
from latency_bench.conversation import Conversation, Pace
from latency_bench.findings import Findings
from latency_bench.interrupt import unless
from latency_bench.machine import machine_facts
from latency_bench.measures.measure import turns_of
from latency_bench.part import spoken_part
from latency_bench.questions import QUESTIONS, from_folder, synthesised
from latency_bench.recording import CallFailed, CallRecording
from latency_bench.report import show_bench
from latency_bench.target import Target
from latency_bench.utterance import SpeechError, Utterance
from models.loading import load_tts

TURNS_A_CALL = 5
READY_LIMIT_S = 120.0
IDLE_S = 10.0
SETTLE_S = 6.0
"""A fresh box finishes its start, and a silent call its greeting, before its time is taken."""
TURN_LIMIT_S = 60.0
STATUS_LIMIT_S = 5.0
STOP_LIMIT_S = 12.0
FAILED_CALLS_LIMIT = 3
PACE = Pace()


@dataclass(frozen=True, slots=True)
class MeasuredBox:
    """The box to call."""

    url: str
    token: str | None
    process: BoxProcess | None
    """None: it runs already, elsewhere."""

    @property
    def target(self) -> Target:
        """Its WebRTC door."""
        return Target("webrtc", f"{self.url}/api/offer", token=self.token)


def run(args: argparse.Namespace) -> int:
    """Runs `offhook bench quick`; returns the exit status."""
    console = Console(stderr=True)
    config = load_config(args.config, dict(os.environ))
    try:
        with console.status("Preparing the questions"):
            questions = _questions(args.speech, args.questions, config)
        return asyncio.run(_bench(args, config, questions, console))
    except (SpeechError, BoxFailed) as error:
        print(f"offhook: {error}", file=sys.stderr)
        return 2


async def ask_all(
    box: MeasuredBox,
    questions: Sequence[Utterance],
    findings: Findings,
    stop: asyncio.Event,
    progress: "Asked",
) -> None:
    """Asks everything, ``TURNS_A_CALL`` questions a call, until done or stopped."""
    failed = 0
    for first in range(0, len(questions), TURNS_A_CALL):
        batch = questions[first : first + TURNS_A_CALL]
        if box.process is not None:
            box.process.check()
        try:
            recording = await _ask(box.target, batch, TURN_LIMIT_S * len(batch), stop)
        except CallFailed as error:
            findings.errors.append(str(error))
            failed += 1
            if failed == FAILED_CALLS_LIMIT:
                return
            continue
        finally:
            progress.add(len(batch))
        findings.calls += 1
        turns = turns_of(recording)
        # A turn that the user cut short tells nothing of the box.
        findings.turns += turns[:-1] if stop.is_set() else turns
        if recording.end in ("remote", "failed", "limit"):
            findings.errors.append(
                f"call {findings.calls} ended early ({recording.end}) after "
                f"{len(recording.said)} of {len(batch)} questions"
            )
        if stop.is_set():
            return


async def _ask(
    target: Target,
    questions: Sequence[Utterance],
    limit_s: float,
    stop: asyncio.Event | None = None,
) -> CallRecording:
    """One call in which these are asked. Raises CallFailed."""
    parts = [spoken_part(question, number) for number, question in enumerate(questions)]
    return await place_call(
        target, lambda rate_hz: Conversation(parts, rate_hz, PACE), limit_s=limit_s, stop=stop
    )


class Asked:
    """The progress bar's place for questions."""

    def __init__(self, bar: Progress, total: int) -> None:
        self._bar = bar
        self._task = bar.add_task("starting the box", total=total)

    def say(self, what: str) -> None:
        """What happens now."""
        self._bar.update(self._task, description=what)

    def add(self, count: int) -> None:
        """``count`` more questions are done."""
        self._bar.advance(self._task, count)


async def _bench(
    args: argparse.Namespace, config: Config, questions: Sequence[Utterance], console: Console
) -> int:
    findings = Findings(speech=_speech_of(questions, args.speech))
    machine = machine_facts(_named_models(config))
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    async with stop_signal() as stop, _box(args.url, args.config, config) as box:
        with Progress(*columns, console=console, transient=True) as bar:
            asked = Asked(bar, len(questions))
            work = asyncio.create_task(_measure(box, questions, findings, stop, asked))
            await _finish(work, stop, console)
            findings.interrupted = stop.is_set()
        try:
            work.result()
            if box.process is None:
                machine["models"] = await asyncio.to_thread(_models_at, box) or {}
        except asyncio.CancelledError:
            findings.interrupted = True
        except BoxFailed as error:
            findings.errors.append(str(error))
    return _report(findings, machine, args.json)


def _report(findings: Findings, machine: Mapping[str, object], path: Path | None) -> int:
    console = Console()
    report = findings.report(machine)
    show_bench(console, report)
    if path is not None:
        path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    for error in findings.errors:
        console.print(f"[red]{escape(error)}[/red]", highlight=False)
    if findings.interrupted:
        console.print("Stopped before the end: this is what ran.")
        return 130
    return 0 if findings.answered and not findings.errors else 1


async def _measure(
    box: MeasuredBox,
    questions: Sequence[Utterance],
    findings: Findings,
    stop: asyncio.Event,
    asked: Asked,
) -> None:
    process = box.process
    if process is not None:
        asked.say("starting the box")
        findings.ready_s = await unless(stop, process.until_ready(READY_LIMIT_S))
        asked.say("idle")
        findings.idle_cpu = await unless(stop, _idle_cpu(process))
        asked.say("one silent call")
        findings.silent_call_cpu = await unless(stop, _silent_call_cpu(box.target, process))
    if stop.is_set():
        return
    asked.say("asking")
    await ask_all(box, questions, findings, stop, asked)
    if process is not None:
        process.check()
        findings.rss_mb = process.rss_mb()


async def _idle_cpu(box: BoxProcess) -> float:
    await asyncio.sleep(SETTLE_S)
    return await box.cpu(IDLE_S)


async def _silent_call_cpu(target: Target, box: BoxProcess) -> float | None:
    """The box's share of a core while a caller says nothing; None where the call failed."""
    limit_s = SETTLE_S + IDLE_S + 2
    call = asyncio.create_task(_ask(target, [], limit_s))
    try:
        await asyncio.sleep(SETTLE_S)
        share = await box.cpu(IDLE_S)
        await call
        return share
    except CallFailed:
        # The questions that follow tell of it.
        return None
    finally:
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)


async def _finish(work: asyncio.Task[None], stop: asyncio.Event, console: Console) -> None:
    """Waits for the work; after a stop, for the call under way to end, and no longer."""
    waiting = asyncio.create_task(stop.wait())
    await asyncio.wait({work, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if not work.done():
        console.print("Stopping; the report of what ran follows.")
        await asyncio.wait({work}, timeout=STOP_LIMIT_S)
        work.cancel()
    await asyncio.gather(work, waiting, return_exceptions=True)


@contextlib.asynccontextmanager
async def _box(
    url: str | None, config_path: Path | None, config: Config
) -> AsyncIterator[MeasuredBox]:
    token = config.server.token.get_secret_value() if config.server.token else None
    if url is not None:
        yield MeasuredBox(url.rstrip("/"), token, None)
        return
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="offhook-bench-") as folder:
        environ = {
            "OFFHOOK_SERVER__HOST": "127.0.0.1",
            "OFFHOOK_SERVER__PORT": str(port),
            "OFFHOOK_SIP__PORT": "0",
            "OFFHOOK_RECORDS__PATH": str(Path(folder, "calls.sqlite3")),
        }
        process = BoxProcess(
            f"http://127.0.0.1:{port}",
            Path(folder, "box.log"),
            arguments=("--config", str(config_path)) if config_path else (),
            environ=environ,
        )
        async with process:
            yield MeasuredBox(process.url, token, process)


def _questions(folder: Path | None, count: int, config: Config) -> list[Utterance]:
    if folder is not None:
        found = from_folder(folder, count)
    else:
        voice = load_tts(config.models.tts, device=config.models.device_of("tts"))
        try:
            found = synthesised(QUESTIONS[:count], voice)
        finally:
            voice.close()
    # Fewer than asked for: begin again from the first.
    return [found[i % len(found)] for i in range(count)]


def _speech_of(questions: Sequence[Utterance], folder: Path | None) -> str:
    if folder is not None:
        return f"{len({q.source for q in questions})} recordings of {folder}"
    return f"questions {questions[0].source}"


def _named_models(config: Config) -> dict[str, str]:
    models = config.models
    llm = config.llm.endpoint or models.llm
    return {
        "stt": models.stt,
        "llm": llm,
        "tts": models.tts,
        "vad": models.vad,
        "turn": models.turn,
    }


def _models_at(box: MeasuredBox) -> dict[str, str] | None:
    """What the box itself says it runs; None where it does not say."""
    headers = {"Authorization": f"Bearer {box.token}"} if box.token else {}
    request = urllib.request.Request(f"{box.url}/api/status", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=STATUS_LIMIT_S) as response:
            models = json.load(response).get("models")
    except (OSError, ValueError, AttributeError):
        return None
    return dict(models) if isinstance(models, dict) else None
