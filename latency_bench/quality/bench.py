"""`offhook bench quality`: how well a box hears, takes turns, and answers."""

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnxruntime import set_seed
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from agent.config import Config, load_config
from agent.engines import load_language_model, load_recogniser
from agent.stop_signal import stop_signal
from agent.turn_taking import TurnSettings
from latency_bench.figures import SCHEMA
from latency_bench.machine import machine_facts
from latency_bench.quality.answer_rules import Checked
from latency_bench.quality.answers import ask_agent, ask_model, questions
from latency_bench.quality.clips import Clip, Material, gather, of_each, spread_over
from latency_bench.quality.endpointing import cases, judge_all
from latency_bench.quality.false_barge_in import alarms, backgrounds, barge_all, behind, coughs
from latency_bench.quality.line_codecs import PCMU
from latency_bench.quality.offline_ear import OfflineEar
from latency_bench.quality.options import PARTS
from latency_bench.quality.report import Results, structured, summary, tables
from latency_bench.quality.view import show
from latency_bench.quality.word_quality import Condition, conditions, listen
from latency_bench.questions import read_manifest
from latency_bench.recording import CallFailed
from latency_bench.target import Target, TargetError, parse_target
from latency_bench.utterance import SpeechError
from models.errors import EngineError
from models.llm.base import LanguageModel
from models.loading import load_tts, load_turn, load_vad
from models.stt.base import SpeechRecognizer
from models.tts.base import SpeechSynthesizer

SEED = 1


@dataclass(frozen=True, slots=True)
class Amounts:
    """How many utterances of each set are used where."""

    words: int = 12
    """With each codec."""
    degraded: int = 5
    """With each noise and each loss; some of the same."""
    turns: int = 8
    barge_ins: int = 40
    """Of all sets."""
    answers: int = 24
    """Questions."""


def amounts(utterances: int | None) -> Amounts:
    """What ``--utterances`` asks for; None: the default."""
    if utterances is None:
        return Amounts()
    return Amounts(utterances, utterances, utterances, utterances, utterances)


def run(args: argparse.Namespace) -> int:
    """Runs `offhook bench quality`; returns the exit status."""
    console = Console(stderr=True)
    config = load_config(args.config, dict(os.environ))
    try:
        target = parse_target(args.target) if args.target else None
        work = Quality(args, config, target, console)
        report = work.report()
    except (SpeechError, TargetError) as error:
        print(f"offhook: {error}", file=sys.stderr)
        return 2
    if args.json is not None:
        args.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    show(report, Console())
    if report["interrupted"]:
        return 130
    return 1 if report["errors"] else 0


class Quality:
    """One run: each part in turn, what it found kept as it comes."""

    def __init__(
        self, args: argparse.Namespace, config: Config, target: Target | None, console: Console
    ) -> None:
        self._args = args
        self._config = config
        self._target = target
        self._console = console
        self._only: Sequence[str] = args.only or PARTS
        self._amounts = amounts(args.utterances)
        self._results = Results()
        self._errors: list[str] = []
        self._speech = ""

    def report(self) -> dict[str, Any]:
        """Runs all parts that were asked for; what ran until Ctrl-C where that comes.

        Raises SpeechError and ModelError.
        """
        models = self._config.models
        named = {"stt": models.stt, "vad": models.vad, "turn": models.turn, "tts": models.tts}
        if "answers" in self._only and self._target is None:
            named["llm"] = self._config.llm.model or models.llm
        machine = machine_facts(named)
        began, began_s, interrupted = datetime.now(UTC), time.monotonic(), False
        try:
            self._run_parts()
        except KeyboardInterrupt:
            interrupted = True
            self._console.print("Stopping; the report of what ran follows.")
        return {
            "schema": SCHEMA,
            "kind": "quality",
            "target": self._target_facts(),
            "machine": machine,
            "began_utc": began.isoformat(timespec="seconds"),
            "elapsed_s": round(time.monotonic() - began_s, 1),
            "speech": self._speech,
            "settings": {
                "only": list(self._only),
                "utterances": asdict(self._amounts),
                "full": self._args.full,
                "turn": self._config.turn.model_dump(),
                "language": self._config.agent.language,
            },
            "interrupted": interrupted,
            "errors": self._errors,
            "summary": summary(self._results),
            "tables": tables(self._results),
            **structured(self._results),
        }

    def _target_facts(self) -> dict[str, str]:
        if self._target is None:
            return {"text": "self", "door": "", "name": "this box's engines, without a call"}
        return {"text": self._args.target, "door": self._target.door, "name": self._args.target}

    def _run_parts(self) -> None:
        # The synthesiser draws at random: the same words sound the same on every run.
        set_seed(SEED)
        config, only = self._config, self._only
        if self._args.speech is not None:
            # A wrong folder is told of before the models are loaded.
            read_manifest(self._args.speech)
        with ExitStack() as stack:
            progress = stack.enter_context(_progress(self._console))
            loading = progress.add_task("loading", total=None)
            voice = load_tts(config.models.tts, device=config.models.device_of("tts"))
            stack.enter_context(closing(voice))
            material = gather(
                self._args.speech,
                voice,
                config.agent.greeting,
                sentences=self._amounts.words,
                barge_in="barge-in" in only,
            )
            self._speech = material.speech
            recogniser = None
            by_call = "answers" in only and self._target is not None
            if by_call or {"hearing", "end-of-turn", "barge-in"} & set(only):
                recogniser = stack.enter_context(closing(load_recogniser(config)))
            ear = OfflineEar(
                load_vad(config.models.vad),
                load_turn(config.models.turn),
                TurnSettings(**config.turn.model_dump()),
                recogniser,
            )
            progress.remove_task(loading)
            bar = Bar(progress, self._results.took_s)
            if "hearing" in only and recogniser is not None:
                self._hear(bar, material, recogniser, ear)
            if "end-of-turn" in only:
                self._end(bar, material, ear)
            if "barge-in" in only and recogniser is not None:
                self._barge(bar, material, recogniser, ear)
            if "answers" not in only:
                return
            if self._target is not None and recogniser is not None:
                self._ask_target(bar, self._target, voice, recogniser)
                return
            model = load_language_model(config, dict(os.environ))
            stack.enter_context(closing(model))
            self._ask_model(bar, model)

    def _hear(
        self, bar: "Bar", material: Material, recogniser: SpeechRecognizer, ear: OfflineEar
    ) -> None:
        many = of_each(material.clips, self._amounts.words)
        few = of_each(many, self._amounts.degraded)

        def clips_of(condition: Condition) -> list[Clip]:
            return many if condition.dimension in ("base", "codec", "ear") else few

        asked = conditions(self._args.full)
        with bar.part("hearing", sum(len(clips_of(condition)) for condition in asked)) as done:
            for heard in listen(material, asked, clips_of, recogniser, ear):
                if heard is not None:
                    self._results.hearings.append(heard)
                done()

    def _end(self, bar: "Bar", material: Material, ear: OfflineEar) -> None:
        count = self._amounts.turns
        asked = cases(of_each(material.clips, count), of_each(material.incomplete, count))
        with bar.part("end-of-turn", len(asked)) as done:
            for endpoint in judge_all(asked, ear):
                self._results.endpoints.append(endpoint)
                done()

    def _barge(
        self, bar: "Bar", material: Material, recogniser: SpeechRecognizer, ear: OfflineEar
    ) -> None:
        sounds, layers = backgrounds(material), behind(material)
        words = spread_over(material.barge_ins, self._amounts.barge_ins)
        sounds_made = [*material.backchannels, *coughs(material)]
        total = len(sounds) + len(words) * len(layers) + len(sounds_made)
        with bar.part("barge-in", total) as done:
            for sound in sounds:
                self._results.alarms.append(alarms(sound, ear, recogniser, PCMU.line_hz))
                done()
            for barged in barge_all(words, layers, ear, recogniser):
                self._results.barged.append(barged)
                done()
            quiet = {"quiet": layers["quiet"]}
            for barged in barge_all(sounds_made, quiet, ear, recogniser):
                self._results.backchannels.append(barged)
                done()

    def _ask_model(self, bar: "Bar", model: LanguageModel) -> None:
        asked = questions(self._amounts.answers)
        with bar.part("answers", len(asked)) as done:
            try:
                for checked in ask_model(asked, model, self._config):
                    self._results.answers.append(checked)
                    done()
            except EngineError as error:
                self._errors.append(f"the language model failed: {error}")

    def _ask_target(
        self, bar: "Bar", target: Target, voice: SpeechSynthesizer, recogniser: SpeechRecognizer
    ) -> None:
        asked = questions(self._amounts.answers)

        def recognise(pcm: NDArray[np.int16], rate_hz: int) -> str:
            return recogniser.transcribe(pcm, rate_hz).text.strip()

        async def ask(done: Callable[[], None]) -> bool:
            def took(checked: Checked) -> None:
                self._results.answers.append(checked)
                done()

            async with stop_signal() as stop:
                await ask_agent(asked, target, voice, recognise, took, stop)
                return stop.is_set()

        with bar.part("answers", len(asked)) as done:
            try:
                stopped = asyncio.run(ask(done))
            except CallFailed as error:
                self._errors.append(str(error))
                return
        if stopped:
            raise KeyboardInterrupt


@dataclass(frozen=True, slots=True)
class Bar:
    """Where each part shows how far it is, and writes down how long it took."""

    progress: Progress
    took_s: dict[str, float]

    @contextmanager
    def part(self, name: str, total: int) -> Iterator[Callable[[], None]]:
        """One part of ``total`` steps; call what it gives after each."""
        task, began_s = self.progress.add_task(name, total=total), time.monotonic()
        try:
            yield partial(self.progress.advance, task)
        finally:
            self.took_s[name] = time.monotonic() - began_s


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )
