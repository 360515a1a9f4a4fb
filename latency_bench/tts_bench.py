"""`offhook bench tts`: speech inside a sentence against Piper's whole sentences, in one run.

Both speak the same clauses in turn, so that whatever else the machine does hits both alike.
"""

import argparse
import itertools
import json
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from latency_bench.machine import machine_facts
from models.errors import ModelError
from models.tts.onset import HEARD_PEAK, without_leading_silence

if TYPE_CHECKING:
    from piper import PiperVoice

DEFAULT_VOICE = "piper-en_US-joe-medium"
CLAUSES = {
    1: "Certainly.",
    3: "Let me check,",
    5: "I can help with that.",
    8: "We are open until six in the evening.",
    12: "Your appointment is booked for Tuesday at ten in the morning, thank you.",
    25: "The office on the corner of Main Street is open from nine until five on weekdays, "
    "and on Saturdays it closes at one in the afternoon.",
}
"""By rough number of words."""
TARGET_WORDS = 12
FIRST_RATIO_MAX = 0.4
SNR_MIN_DB = 60.0
MAX_THREADS = 64
MAX_RUNS = 1000


@dataclass(frozen=True, slots=True)
class Spoken:
    """One clause as it was made."""

    chunks: tuple[NDArray[np.int16], ...]
    took_s: tuple[float, ...]
    """Wall-clock time of each chunk."""
    cpu_s: tuple[float, ...]
    """Processor time of the whole process for each chunk."""


def add_parser(kinds: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `offhook bench tts`."""
    tts = kinds.add_parser(
        "tts",
        help="speech synthesis alone: first audio, work and likeness, against whole sentences",
        description="Speaks clauses of 1 to 25 words with the voice in windows and with Piper as "
        "it comes, in turn, and reports the time to first audio, the work, the likeness to the "
        "unsplit model, and whether a window would come late.",
    )
    tts.add_argument("--voice", default=DEFAULT_VOICE, help=f"default: {DEFAULT_VOICE}")
    tts.add_argument(
        "--threads",
        type=_numbers(MAX_THREADS),
        default=[1, 2],
        metavar="N,N,...",
        help="engine threads to try (default: 1,2)",
    )
    tts.add_argument(
        "--words",
        type=_clauses,
        default=list(CLAUSES),
        metavar="N,N,...",
        help=f"clauses to speak, of {', '.join(map(str, CLAUSES))} words (default: all)",
    )
    tts.add_argument(
        "--runs", type=_runs, default=7, metavar="N", help="of each clause (default: 7)"
    )
    tts.add_argument("--json", type=Path, metavar="FILE", help="write the report there")
    tts.set_defaults(func=run)


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
        "snr_db": {str(words): _finite(found) for words, found in likeness.items()},
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


def row(
    words: int, threads: int, rate_hz: int, ours: Sequence[Spoken], stock: Sequence[Spoken]
) -> dict[str, Any]:
    """One clause at one number of threads: medians over runs, times in milliseconds."""
    work, whole_work = (
        statistics.median(sum(one.cpu_s) / _length_s(one, rate_hz) for one in spoken)
        for spoken in (ours, stock)
    )
    first_ms, whole_ms = (1000 * statistics.median(s.took_s[0] for s in x) for x in (ours, stock))
    first_cpu_ms, whole_cpu_ms = (
        1000 * statistics.median(s.cpu_s[0] for s in x) for x in (ours, stock)
    )
    # By processor time, what the machine could do; by the clock, what it did beside other work.
    several = [one for one in ours if len(one.chunks) > 1]
    spare = [headroom(one.chunks, one.cpu_s, rate_hz) for one in several]
    late = [headroom(one.chunks, one.took_s, rate_hz) < 1 for one in several]
    edges = [silences_s(np.concatenate(one.chunks), rate_hz) for one in ours]
    return {
        "words": words,
        "threads": threads,
        "first_ms": round(first_ms, 1),
        "whole_ms": round(whole_ms, 1),
        "first_ratio": round(first_ms / whole_ms, 3),
        "first_cpu_ms": round(first_cpu_ms, 1),
        "whole_cpu_ms": round(whole_cpu_ms, 1),
        "first_cpu_ratio": round(first_cpu_ms / whole_cpu_ms, 3),
        "real_time_factor": round(work, 4),
        "work_ratio": round(work / whole_work, 3),
        "headroom": round(statistics.median(spare), 2) if spare else None,
        "runs_with_a_gap": sum(late),
        "leading_silence_ms": round(1000 * statistics.median(lead for lead, _ in edges)),
        "trailing_silence_ms": round(1000 * statistics.median(tail for _, tail in edges)),
    }


def headroom(chunks: Sequence[NDArray[np.int16]], took_s: Sequence[float], rate_hz: int) -> float:
    """How many times slower every chunk after the first could be before the caller hears a gap.

    Playing starts when the first is ready, without the silence it opens with; under 1 there was
    a gap. Infinite for a single chunk.
    """
    heard = without_leading_silence(chunks[0], rate_hz).size
    played_s = itertools.accumulate(
        (chunk.size / rate_hz for chunk in chunks[1:]), initial=heard / rate_hz
    )
    made_s = itertools.accumulate(took_s[1:])
    return min(
        (lasts / took for lasts, took in zip(played_s, made_s, strict=False)), default=float("inf")
    )


def silences_s(pcm: NDArray[np.int16], rate_hz: int) -> tuple[float, float]:
    """What a clause opens and closes with before and after it can be heard."""
    heard = np.flatnonzero(np.abs(pcm.astype(np.int32)) >= HEARD_PEAK)
    if not heard.size:
        return pcm.size / rate_hz, 0.0
    return int(heard[0]) / rate_hz, (pcm.size - 1 - int(heard[-1])) / rate_hz


def ratios(rows: Sequence[dict[str, Any]], likeness: dict[int, float]) -> dict[str, Any]:
    """The figures that have targets; None where the run did not hold them."""
    target = next((r for r in rows if (r["words"], r["threads"]) == (TARGET_WORDS, 1)), None)
    first = None if target is None else target["first_cpu_ratio"]
    snr_db = min(likeness.values(), default=None)
    return {
        # By processor time: at one thread that is what an idle machine's clock would show.
        "first_audio_12_words_1_thread": first,
        "first_audio_met": None if first is None else first <= FIRST_RATIO_MAX,
        "snr_db": None if snr_db is None else _finite(snr_db),
        "snr_met": None if snr_db is None else snr_db >= SNR_MIN_DB,
        "runs_with_a_gap": sum(r["runs_with_a_gap"] for r in rows),
    }


def _finite(decibels: float) -> float | None:
    """JSON has no infinity: None is a likeness without any difference."""
    return round(decibels, 1) if math.isfinite(decibels) else None


def _length_s(spoken: Spoken, rate_hz: int) -> float:
    return sum(chunk.size for chunk in spoken.chunks) / rate_hz


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


def _clauses(text: str) -> list[int]:
    counts = _numbers(max(CLAUSES))(text)
    if unknown := [count for count in counts if count not in CLAUSES]:
        raise argparse.ArgumentTypeError(
            f"must be of {', '.join(map(str, CLAUSES))}, not {unknown[0]}"
        )
    return counts


def _runs(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MAX_RUNS:
        raise argparse.ArgumentTypeError(f"must be 1 to {MAX_RUNS}, not {text!r}")
    return int(text)


def _numbers(most: int) -> Callable[[str], list[int]]:
    def numbers(text: str) -> list[int]:
        counts = [int(part) for part in text.split(",") if part.isdecimal()]
        if len(counts) != text.count(",") + 1 or not all(1 <= n <= most for n in counts):
            raise argparse.ArgumentTypeError(f"must be numbers of 1 to {most}, not {text!r}")
        return counts

    return numbers
