"""`offhook bench endpointing`: the wait after complete utterances against callers cut off.

The report (``--json``): ``rows``, one for each contender, setting of its knob, line and group of
speakers, as `curve.Point.as_json` has them; with ``speakers`` ``all``, and for the settings that
ship also ``tuned on`` and ``held out``, the two halves of the speakers.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from onnxruntime import set_seed
from rich.console import Console
from rich.progress import Progress

from agent.config import Config, load_config
from agent.engines import load_recogniser
from agent.turn_taking import TurnSettings
from latency_bench.endpointing.curve import Point, point
from latency_bench.endpointing.remembered import Remembered
from latency_bench.endpointing.replay import Delays, replay
from latency_bench.endpointing.rules import Contender, contenders
from latency_bench.endpointing.trace import Trace, half, traces
from latency_bench.endpointing.view import show
from latency_bench.figures import SCHEMA
from latency_bench.machine import machine_facts
from latency_bench.quality.clips import Clip, Material, gather, of_each
from latency_bench.quality.line_codecs import NONE, PCMU, LineCodec
from latency_bench.questions import read_manifest
from latency_bench.utterance import SpeechError
from models.loading import load_tts, load_turn, load_vad

SEED = 1
LINES = (NONE, PCMU)
GROUPS = {"tuned on": 0, "held out": 1}


def run(args: argparse.Namespace) -> int:
    """Runs the bench; returns the exit status."""
    config = load_config(args.config, dict(os.environ))
    console = Console(stderr=True)
    try:
        speakers = _speakers(args.speech)
        with ExitStack() as stack:
            engines, material = _loaded(args.speech, config, stack)
            if args.cache is not None:
                engines.read(args.cache)
            said = {line.title: _traces(material, line, args.utterances) for line in LINES}
            settings = TurnSettings(**config.turn.model_dump())
            try:
                rows = list(_rows(said, engines, settings, speakers, console))
            finally:
                if args.cache is not None:
                    engines.write(args.cache)
    except SpeechError as error:
        print(f"offhook: {error}", file=sys.stderr)
        return 2
    report = {
        "schema": SCHEMA,
        "kind": "endpointing",
        "machine": machine_facts(
            {"vad": config.models.vad, "turn": config.models.turn, "stt": config.models.stt}
        ),
        "began_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "speech": material.speech,
        "settings": {"turn": config.turn.model_dump(), "delays": asdict(Delays())},
        "rows": rows,
    }
    if args.json is not None:
        args.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    show(report, Console())
    return 0


def _speakers(folder: Path | None) -> dict[str, str]:
    """Who said which recording. Raises SpeechError."""
    if folder is None:
        return {}
    return {str(e["path"]): str(e.get("speaker")) for e in read_manifest(folder) if e.get("path")}


def _loaded(folder: Path | None, config: Config, stack: ExitStack) -> tuple[Remembered, Material]:
    models = config.models
    # The synthesiser draws at random: the same words sound the same on every run.
    set_seed(SEED)
    voice = stack.enter_context(
        closing(load_tts(models.tts, device=models.device_of("tts"), threads=models.threads.tts))
    )
    material = gather(folder, voice, "", barge_in=False)
    recogniser = stack.enter_context(closing(load_recogniser(config)))
    names = f"{models.vad} {models.turn} {models.stt}"
    return Remembered(load_vad(models.vad), load_turn(models.turn), recogniser, names), material


def _traces(material: Material, line: LineCodec, count: int | None) -> list[Trace]:
    def some(clips: Sequence[Clip]) -> Sequence[Clip]:
        return clips if count is None else of_each(clips, count)

    return list(traces(some(material.clips), some(material.incomplete), line))


def _rows(
    said: Mapping[str, Sequence[Trace]],
    engines: Remembered,
    settings: TurnSettings,
    speakers: Mapping[str, str],
    console: Console,
) -> Iterator[dict[str, Any]]:
    asked = contenders(settings)
    total = sum(len(one.values) for one in asked) * sum(len(some) for some in said.values())
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("endpointing", total=total)
        for contender in asked:
            for value in contender.values:
                for title, some in said.items():
                    outcomes = []
                    for trace in some:
                        outcomes.append(
                            replay(
                                trace,
                                engines,
                                contender.settings(settings, value),
                                contender.rule,
                                Delays(),
                                expecting=contender.expecting,
                                asks=contender.asks,
                            )
                        )
                        progress.advance(task)
                    yield _row(contender, value, title, "all", point(outcomes))
                    if value != contender.shipped or not speakers:
                        continue
                    for name, number in GROUPS.items():
                        of_group = [
                            one for one in outcomes if half(speakers[one.trace.name]) == number
                        ]
                        yield _row(contender, value, title, name, point(of_group))


def _row(
    contender: Contender, value: float, line: str, speakers: str, found: Point
) -> dict[str, Any]:
    return {
        "rule": contender.name,
        "knob": contender.knob,
        "value": value,
        "shipped": value == contender.shipped,
        "line": line,
        "speakers": speakers,
        **found.as_json(),
    }
