"""`offhook bench stt`: the final transcript, against faster-whisper as it comes, in one run.

All decode the same audio in turn with the same weights, clean and through G.711.
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latency_bench.options import number

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from rich.console import Console

    from agent.config import Config
    from latency_bench.quality.clips import Clip
    from latency_bench.stt_rounds import Decode

OURS = "offhook"
STOCK = "stock transcribe"
"""`WhisperModel.transcribe` with its defaults (beam of 5, timestamps, temperature fallback), as
Pipecat's `WhisperSTTService` calls it, which also drops segments of a no-speech probability of
0.4 and more."""
GREEDY = "transcribe, greedy"
STOCK_NO_SPEECH = 0.4
BATCH_SIZES = (1, 2, 4, 8)
BATCH_AUDIO_S = (1.0, 4.0)
LATENCY_RATIO_MAX = 0.35
WORSE_POINTS_MAX = 1.0
SEED = 1
VAD_STREAMS = 8
VAD_WINDOWS = 300


def add_parser(kinds: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `offhook bench stt`."""
    parser = kinds.add_parser(
        "stt",
        help="speech recognition alone: time, work and word errors, against faster-whisper's own",
        description="Decodes the same speech, clean and through G.711, with the box's recogniser, "
        "with faster-whisper's transcribe as Pipecat calls it, and with that greedy, in turn; "
        "reports the time to the final transcript and processor time by length of audio, word "
        "errors by set, what batches give, and what voice detection costs.",
    )
    parser.add_argument(
        "--speech",
        type=Path,
        metavar="DIR",
        help="recordings: a folder with a manifest.json; else sentences are synthesised",
    )
    parser.add_argument(
        "--utterances",
        type=number(1, 1000),
        default=12,
        metavar="N",
        help="at most so many of each set (default: 12)",
    )
    parser.add_argument(
        "--runs",
        type=number(1, 100),
        default=3,
        metavar="N",
        help="of each batch size (default: 3)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report there")
    parser.set_defaults(func=_run)


def _run(args: argparse.Namespace) -> int:
    return run(args)


def run(args: argparse.Namespace) -> int:
    """Runs the bench; returns the exit status: 1 where a target is missed."""
    # Imported when it runs: `offhook --help` stays quick.
    from rich.console import Console

    from agent.config import load_config
    from latency_bench.utterance import SpeechError
    from models.errors import ModelError

    console = Console(stderr=True)
    config = load_config(args.config, dict(os.environ))
    try:
        report = _bench(args, config, console)
    except (SpeechError, ModelError) as error:
        print(f"offhook: {error}", file=sys.stderr)
        return 2
    if args.json is not None:
        args.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    show(report, Console())
    return 0 if all(target["met"] for target in report["targets"]) else 1


def _bench(args: argparse.Namespace, config: "Config", console: "Console") -> dict[str, Any]:
    from rich.progress import track

    from agent.engines import load_recogniser
    from latency_bench import stt_rounds
    from latency_bench.machine import machine_facts
    from latency_bench.quality.clips import CLIP_HZ

    speech, clips = _clips(args, config)
    models = config.models
    with closing(load_recogniser(config)) as ours:
        engines = {OURS: lambda pcm, hz: ours.transcribe(pcm, hz).text, **_stock(config)}
        console.print(
            f"{len(clips)} utterances, 2 lines, {len(engines)} ways to decode", highlight=False
        )
        for decode in engines.values():  # what is loaded at first use is not to be timed
            decode(clips[0].pcm, CLIP_HZ)
        decodes = len(clips) * len(stt_rounds.LINES) * len(engines)
        found = list(
            track(
                stt_rounds.decode_all(clips, engines),
                "decoding",
                decodes,
                console=console,
                transient=True,
            )
        )
        low_s, high_s = BATCH_AUDIO_S
        alike = [clip for clip in clips if low_s <= len(clip.pcm) / CLIP_HZ <= high_s]
        sizes = [size for size in BATCH_SIZES if size <= len(alike)]
        batches = stt_rounds.batches(
            alike,
            sizes,
            args.runs,
            lambda spoken: [heard.text for heard in ours.transcribe_batch(spoken)],
        )
    rates = stt_rounds.word_rates(found)
    ratios: dict[str, Any] = {
        "final_transcript": stt_rounds.paired_ratio(found, OURS, STOCK),
        "final_transcript_greedy": stt_rounds.paired_ratio(found, OURS, GREEDY),
        "cpu": stt_rounds.paired_ratio(found, OURS, STOCK, cpu=True),
        "cpu_greedy": stt_rounds.paired_ratio(found, OURS, GREEDY, cpu=True),
    }
    ratios = {name: round(value, 3) for name, value in ratios.items()}
    ratios["worse_by_points"] = stt_rounds.worse_by_points(rates, OURS, STOCK)
    return {
        "machine": machine_facts({"stt": models.stt, "vad": models.vad}),
        "speech": speech,
        "threads": models.threads.stt,
        "utterances": len(clips),
        "rows": stt_rounds.rows(found),
        "word_errors": rates,
        "batches": batches,
        "vad": _voice_detection(config, clips),
        "ratios": ratios,
        "targets": targets(ratios),
    }


def _clips(args: argparse.Namespace, config: "Config") -> "tuple[str, list[Clip]]":
    from onnxruntime import set_seed

    from latency_bench.quality.clips import gather, of_each
    from latency_bench.questions import read_manifest
    from models.loading import load_tts

    if args.speech is not None:
        # A wrong folder is told of before the models are loaded.
        read_manifest(args.speech)
    # The synthesiser draws at random: the same words sound the same on every run.
    set_seed(SEED)
    with closing(load_tts(config.models.tts, device=config.models.device_of("tts"))) as voice:
        material = gather(args.speech, voice, "", sentences=args.utterances, barge_in=False)
    return material.speech, of_each(material.clips, args.utterances)


def _stock(config: "Config") -> "dict[str, Decode]":
    """faster-whisper as it comes, on as many threads as the box gives to recognition."""
    from faster_whisper import WhisperModel

    from models.audio import at_rate
    from models.device import choose_device
    from models.loading import locate

    device = choose_device("stt", config.models.device_of("stt")).device
    model = WhisperModel(
        str(locate(config.models.stt, "stt")),
        device=device,
        compute_type="int8" if device == "cpu" else "float16",
        cpu_threads=config.models.threads.stt,
    )
    language = config.agent.language

    def stock(pcm: "NDArray[np.int16]", rate_hz: int) -> str:
        segments, _ = model.transcribe(at_rate(pcm, rate_hz, 16000), language=language)
        kept = [one.text for one in segments if one.no_speech_prob < STOCK_NO_SPEECH]
        return " ".join(kept).strip()

    def greedy(pcm: "NDArray[np.int16]", rate_hz: int) -> str:
        segments, _ = model.transcribe(
            at_rate(pcm, rate_hz, 16000),
            language=language,
            beam_size=1,
            temperature=0.0,
            without_timestamps=True,
            condition_on_previous_text=False,
        )
        return " ".join(one.text for one in segments).strip()

    return {STOCK: stock, GREEDY: greedy}


def _voice_detection(config: "Config", clips: "Sequence[Clip]") -> dict[str, float]:
    """Processor time of a window of 32 ms: one stream, and several that take turns."""
    import statistics
    import time

    import numpy as np

    from latency_bench.quality.clips import CLIP_HZ
    from models.loading import load_vad

    vad = load_vad(config.models.vad)
    pcm = np.concatenate([clip.pcm for clip in clips])
    found: dict[str, float] = {}
    for streams in (1, VAD_STREAMS):
        opened = [vad.open(CLIP_HZ) for _ in range(streams)]
        size = opened[0].window_samples
        took: list[float] = []
        for turn in range(VAD_WINDOWS):
            first = turn * size % (len(pcm) - size)
            began_s = time.thread_time()
            for stream in opened:
                stream.speech_probability(pcm[first : first + size])
            took.append((time.thread_time() - began_s) / streams)
        found[f"window_us_{streams}_streams"] = round(1e6 * statistics.median(took), 1)
    return found


def targets(ratios: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What was to be reached, what was, and whether that will do."""
    wanted = [
        (
            "final transcript against stock transcribe",
            ratios["final_transcript"],
            LATENCY_RATIO_MAX,
        )
    ]
    for line, points in ratios["worse_by_points"].items():
        wanted.append(
            (f"points of word error rate worse than stock, {line}", points, WORSE_POINTS_MAX)
        )
    return [
        {"what": what, "found": found, "at_most": at_most, "met": found <= at_most}
        for what, found, at_most in wanted
    ]


def show(report: Mapping[str, Any], console: "Console") -> None:
    """All tables, for people."""
    from rich.table import Table

    machine = report["machine"]
    console.print(
        f"\n{machine['cpu']}, {machine['cores']} cores, {machine['models']['stt']} on "
        f"{report['threads']} thread; {report['speech']}",
        highlight=False,
    )
    console.print(_table(Table, "Final transcript, ms", report["rows"]))
    rates = [
        {
            "engine": row["engine"],
            "line": row["line"],
            "set": row["set"],
            "WER": f"{row['wer']:.1%}",
            "95% CI": "{:.1%} to {:.1%}".format(*row["ci95"]),
            "words": row["words"],
        }
        for row in report["word_errors"]
    ]
    console.print(_table(Table, "Word errors", rates))
    console.print(_table(Table, "Batches", report["batches"]))
    for name, value in report["vad"].items():
        console.print(f"voice detection, {name.replace('_', ' ')}: {value:.0f}", highlight=False)
    for name, value in report["ratios"].items():
        console.print(f"{OURS} against stock, {name.replace('_', ' ')}: {value}", highlight=False)
    for target in report["targets"]:
        word, colour = ("met", "green") if target["met"] else ("NOT MET", "red")
        console.print(
            f"[{colour}]{word}[/] {target['what']}: {target['found']} (at most "
            f"{target['at_most']})",
            highlight=False,
        )


def _table(kind: Any, title: str, rows: Sequence[Mapping[str, object]]) -> Any:
    table = kind(title=title, title_justify="left")
    for place, name in enumerate(rows[0] if rows else ()):
        table.add_column(name.replace("_", " "), justify="right" if place > 1 else "left")
    for row in rows:
        table.add_row(*(str(cell) for cell in row.values()))
    return table
