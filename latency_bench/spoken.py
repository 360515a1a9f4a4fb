"""What was spoken, and its figures: first audio, work, likeness, whether a window comes late."""

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.tts.onset import HEARD_PEAK, without_leading_silence

TARGET_WORDS = 12
FIRST_RATIO_MAX = 0.4
SNR_MIN_DB = 60.0


@dataclass(frozen=True, slots=True)
class Spoken:
    """One clause as it was made."""

    chunks: tuple[NDArray[np.int16], ...]
    took_s: tuple[float, ...]
    """Wall-clock time of each chunk."""
    cpu_s: tuple[float, ...]
    """Processor time of the whole process for each chunk."""


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
        "snr_db": None if snr_db is None else finite(snr_db),
        "snr_met": None if snr_db is None else snr_db >= SNR_MIN_DB,
        "runs_with_a_gap": sum(r["runs_with_a_gap"] for r in rows),
    }


def finite(decibels: float) -> float | None:
    """JSON has no infinity: None is a likeness without any difference."""
    return round(decibels, 1) if math.isfinite(decibels) else None


def _length_s(spoken: Spoken, rate_hz: int) -> float:
    return sum(chunk.size for chunk in spoken.chunks) / rate_hz
