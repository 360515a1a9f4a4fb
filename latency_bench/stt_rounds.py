"""What `offhook bench stt` measures: three ways to decode, each clip by all of them in turn."""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from latency_bench.quality.clips import CLIP_HZ, Clip
from latency_bench.quality.line_codecs import NONE, PCMU, LineCodec, through
from latency_bench.quality.word_errors import WordErrors, word_error_rate, word_errors

Decode = Callable[[NDArray[np.int16], int], str]
"""Mono PCM16 and its rate in Hz -> the words."""

LINES: Mapping[str, LineCodec] = {"clean": NONE, "g711": PCMU}
LENGTHS = (("under 2 s", 2.0), ("2 to 4 s", 4.0), ("4 to 8 s", 8.0), ("8 s and more", 1e9))
"""Duration buckets: name, and the seconds that the audio stays under."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """One clip by one engine over one line."""

    engine: str
    line: str
    group: str
    clip: str
    audio_s: float
    took_s: float
    cpu_s: float
    """Processor time of the whole process."""
    heard: str
    errors: WordErrors | None


def decode_all(clips: Sequence[Clip], engines: Mapping[str, Decode]) -> Iterator[Decoded]:
    """Every clip over every line by every engine, turn by turn, so that whatever else the
    machine does hits all alike. The order of engines changes from clip to clip."""
    names = list(engines)
    for number, clip in enumerate(clips):
        for line, codec in LINES.items():
            pcm = through(clip.pcm, CLIP_HZ, codec)
            first = number % len(names)
            for engine in names[first:] + names[:first]:
                began_s, busy_s = time.perf_counter(), time.process_time()
                heard = engines[engine](pcm, codec.line_hz)
                cpu_s, took_s = time.process_time() - busy_s, time.perf_counter() - began_s
                yield Decoded(
                    engine,
                    line,
                    clip.group,
                    clip.name,
                    len(clip.pcm) / CLIP_HZ,
                    took_s,
                    cpu_s,
                    heard,
                    word_errors(clip.text, heard),
                )


def length_of(audio_s: float) -> str:
    """The duration bucket's name."""
    return next(name for name, under_s in LENGTHS if audio_s < under_s)


def rows(found: Sequence[Decoded]) -> list[dict[str, object]]:
    """A row an engine and duration bucket (``all`` too): medians and 95th percentiles in ms."""
    made: list[dict[str, object]] = []
    for engine in dict.fromkeys(one.engine for one in found):
        for name in ("all", *(name for name, _ in LENGTHS)):
            chosen = [
                one
                for one in found
                if one.engine == engine and name in ("all", length_of(one.audio_s))
            ]
            if not chosen:
                continue
            took = [1000 * one.took_s for one in chosen]
            made.append(
                {
                    "engine": engine,
                    "audio": name,
                    "decodes": len(chosen),
                    "p50_ms": round(statistics.median(took), 1),
                    "p95_ms": round(float(np.percentile(took, 95)), 1),
                    "cpu_p50_ms": round(statistics.median(1000 * one.cpu_s for one in chosen), 1),
                }
            )
    return made


def word_rates(found: Sequence[Decoded]) -> list[dict[str, object]]:
    """A row an engine, line and set (``all`` too): the word error rate with its interval."""
    made: list[dict[str, object]] = []
    groups = ("all", *dict.fromkeys(one.group for one in found))
    for engine in dict.fromkeys(one.engine for one in found):
        for line in LINES:
            for group in groups:
                counts = [
                    one.errors
                    for one in found
                    if (one.engine, one.line) == (engine, line)
                    and group in ("all", one.group)
                    and one.errors is not None
                ]
                rate = word_error_rate(counts)
                if rate is None:
                    continue
                made.append(
                    {
                        "engine": engine,
                        "line": line,
                        "set": group,
                        "wer": round(rate.value, 4),
                        "ci95": [round(rate.low, 4), round(rate.high, 4)],
                        "words": rate.of,
                    }
                )
    return made


def paired_ratio(
    found: Sequence[Decoded], engine: str, against: str, *, cpu: bool = False
) -> float:
    """Median over clips of ``engine``'s time over ``against``'s, each over the same line.

    A ratio of neighbours in time: a machine that is slow for a while slows both.
    """

    def times(name: str) -> dict[tuple[str, str], float]:
        return {
            (one.clip, one.line): one.cpu_s if cpu else one.took_s
            for one in found
            if one.engine == name
        }

    ours, theirs = times(engine), times(against)
    return statistics.median(ours[key] / theirs[key] for key in ours)


def worse_by_points(
    rates: Sequence[Mapping[str, object]], engine: str, against: str
) -> dict[str, float]:
    """By line: by how many points of word error rate ``engine`` is worse; negative is better."""

    def rate(name: str, line: str) -> float:
        wanted = (name, line, "all")
        return next(
            float(str(row["wer"]))
            for row in rates
            if (row["engine"], row["line"], row["set"]) == wanted
        )

    return {line: round(100 * (rate(engine, line) - rate(against, line)), 2) for line in LINES}


def batches(
    clips: Sequence[Clip],
    sizes: Sequence[int],
    runs: int,
    together: Callable[[Sequence[tuple[NDArray[np.int16], int]]], Sequence[str]],
) -> list[dict[str, object]]:
    """One row a batch size: time and processor time of the batch and of each one in it, and
    whether the words are those of batches of one. ``clips``: of one window; the first of
    ``sizes`` is 1."""
    spoken = [(clip.pcm, CLIP_HZ) for clip in clips[: max(sizes)]]
    alone = [together([one])[0] for one in spoken]
    took: dict[int, list[tuple[float, float]]] = {size: [] for size in sizes}
    same = dict.fromkeys(sizes, True)
    for _ in range(runs):
        for size in sizes:
            # All sizes decode the same clips: those of the largest, in as many goes as it takes.
            for first in range(0, len(spoken) - size + 1, size):
                began_s, busy_s = time.perf_counter(), time.process_time()
                heard = list(together(spoken[first : first + size]))
                times = (time.perf_counter() - began_s, time.process_time() - busy_s)
                took[size].append(times)
                same[size] &= heard == alone[first : first + size]
    made: list[dict[str, object]] = []
    for size in sizes:
        wall_ms = 1000 * statistics.median(wall for wall, _ in took[size])
        cpu_ms = 1000 * statistics.median(cpu for _, cpu in took[size])
        made.append(
            {
                "batch": size,
                "ms": round(wall_ms, 1),
                "each_ms": round(wall_ms / size, 1),
                "each_cpu_ms": round(cpu_ms / size, 1),
                "same_words_as_alone": same[size],
            }
        )
    return made
