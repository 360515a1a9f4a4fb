"""`offhook bench tts`: speech inside a sentence against Piper's whole sentences, in one run.

Both speak the same clauses in turn, so that whatever else the machine does hits both alike.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from latency_bench.machine import machine_facts
from latency_bench.spoken import (
    FIRST_RATIO_MAX,
    SNR_MIN_DB,
    TARGET_WORDS,
    Spoken,
    finite,
    ratios,
    row,
)
from latency_bench.tts_options import CLAUSES
from models.errors import ModelError

if TYPE_CHECKING:
    from piper import PiperVoice


def run(args: argparse.Namespace) -> int:
    """Runs the bench; returns the exit status."""
    console = Console(stderr=True)
    try:
        report = _bench(args, console)
    except ModelError as error:
        console.print(f"offhook: {error}", highlight=False)
        return 1
    _show(report)
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + "\n")
    return 0


def _bench(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    from models.loading import load_tts, locate

    path = locate(args.voice, "tts")
    rows = []
    for threads in args.threads:
        console.print(f"{threads} engine thread{'s' * (threads > 1)}", highlight=False)
        ours = load_tts(args.voice, device="cpu", threads=threads)
        stock = _stock_voice(path, threads)
        speakers = (
            lambda text, voice=ours: _streamed(voice.synthesize(text)),
            lambda text, voice=stock: _streamed(voice.synthesize(text)),
        )
        rows += [
            row(
                words,
                threads,
                ours.sample_rate_hz,
                *_alternate(CLAUSES[words], speakers, args.runs),
            )
            for words in args.words
        ]
        ours.close()
    console.print("likeness to the unsplit model", highlight=False)
    likeness = _likeness(path, args.words)
    return {
        "machine": machine_facts({"tts": args.voice}),
        "rows": rows,
        "snr_db": {str(words): finite(found) for words, found in likeness.items()},
        "ratios": ratios(rows, likeness),
    }


def _alternate(
    text: str, speakers: Sequence[Callable[[str], Spoken]], runs: int
) -> list[list[Spoken]]:
    """Each speaker's runs, after one that does not count."""
    spoken: list[list[Spoken]] = [[] for _ in speakers]
    for turn in range(runs + 1):
        for speaker, heard in zip(speakers, spoken, strict=True):
            one = speaker(text)
            if turn:
                heard.append(one)
    return spoken


def _streamed(chunks: Iterator[Any]) -> Spoken:
    pcm: list[NDArray[np.int16]] = []
    took_s: list[float] = []
    cpu_s: list[float] = []
    while True:
        wall_s, busy_s = time.perf_counter(), time.process_time()
        chunk = next(iter(chunks), None)
        if chunk is None:
            return Spoken(tuple(pcm), tuple(took_s), tuple(cpu_s))
        took_s.append(time.perf_counter() - wall_s)
        cpu_s.append(time.process_time() - busy_s)
        pcm.append(chunk.pcm if hasattr(chunk, "pcm") else chunk.audio_int16_array)


def _stock_voice(path: Path, threads: int) -> "PiperVoice":
    """Piper as ``PiperVoice.load`` makes it, but for its number of threads."""
    import onnxruntime
    from piper import PiperVoice
    from piper.config import PiperConfig

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        str(path), sess_options=options, providers=["CPUExecutionProvider"]
    )
    config = json.loads(Path(f"{path}.json").read_text(encoding="utf-8"))
    return PiperVoice(session=session, config=PiperConfig.from_dict(config))


def _likeness(path: Path, words: Sequence[int]) -> dict[int, float]:
    """Signal to noise of the windows against the unsplit model, dB, both without their noise."""
    from piper import SynthesisConfig

    from models.tts.piper_split import open_split, snr_db
    from models.tts.windows import windows

    stock = _stock_voice(path, 1)
    split = open_split(path, device="cpu", threads=1)
    plain = SynthesisConfig(noise_scale=0.0, noise_w_scale=0.0)
    found = {}
    for count in words:
        ids = stock.phonemes_to_ids(stock.phonemize(CLAUSES[count])[0])
        whole = np.ravel(np.asarray(stock.phoneme_ids_to_audio(ids, plain)))
        sentence = split.begin(ids, 0.0, stock.config.length_scale, 0.0)
        pieces = [sentence.decode(start, end) for start, end in windows(sentence.frames)]
        found[count] = snr_db(whole, np.concatenate(pieces))
    return found


def _show(report: dict[str, Any]) -> None:
    table = Table(title="Speech in windows against whole-sentence Piper", title_justify="left")
    for heading in (
        "words",
        "threads",
        "first ms",
        "whole ms",
        "ratio",
        "CPU ms",
        "whole CPU ms",
        "ratio",
        "work ratio",
        "RTF",
        "SNR dB",
        "headroom",
        "silence ms",
    ):
        table.add_column(heading, justify="right")
    for one in report["rows"]:
        snr_db = report["snr_db"].get(str(one["words"]))
        table.add_row(
            str(one["words"]),
            str(one["threads"]),
            *(f"{one[key]:.0f}" for key in ("first_ms", "whole_ms")),
            f"{one['first_ratio']:.2f}",
            *(f"{one[key]:.0f}" for key in ("first_cpu_ms", "whole_cpu_ms")),
            *(f"{one[key]:.2f}" for key in ("first_cpu_ratio", "work_ratio")),
            f"{one['real_time_factor']:.3f}",
            "" if snr_db is None else f"{snr_db:.0f}",
            "" if one["headroom"] is None else f"{one['headroom']:.1f}x",
            f"{one['leading_silence_ms']} / {one['trailing_silence_ms']}",
        )
    console = Console()
    console.print(table)
    found = report["ratios"]
    first, snr_db = found["first_audio_12_words_1_thread"], found["snr_db"]
    if first is not None:
        _verdict(
            console,
            found["first_audio_met"],
            f"first audio of {TARGET_WORDS} words at 1 thread {first:.2f} of whole-sentence "
            f"Piper's, at most {FIRST_RATIO_MAX} (processor time)",
        )
    if found["snr_met"] is not None:
        text = "no difference" if snr_db is None else f"{snr_db:.0f} dB"
        text += f" against the unsplit model, at least {SNR_MIN_DB:.0f} dB"
        _verdict(console, found["snr_met"], text)
    gaps = found["runs_with_a_gap"]
    _verdict(console, not gaps, f"{gaps} runs in which a window came late, other load included")


def _verdict(console: Console, met: bool, text: str) -> None:
    word, colour = ("met", "green") if met else ("NOT MET", "red")
    console.print(f"[{colour}]{word}[/] {text}", highlight=False)
