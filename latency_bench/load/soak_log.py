"""A soak's samples on disk, one JSON line each, so that nothing is lost however it ends."""

import json
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from latency_bench.load.trend import WATCHED, Trend, trend

FILE = "samples.jsonl"
SHOWN = 1500
"""Samples in a report; more are joined to as many, by their medians."""
WARM_UP_SHARE = 0.1
LONGEST_WARM_UP_S = 600.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One moment, and what happened since the one before."""

    at_s: float
    """Since the soak's start, pauses between runs left out."""
    run: int
    """A soak that was gone on with has a new box, and begins anew to warm up."""
    rss_mb: float | None
    descriptors: int | None
    threads: int | None
    processes: int | None
    v2v_p50_ms: float | None
    v2v_p95_ms: float | None
    turns: int
    missed: int
    calls: int
    failed: int
    bench_rss_mb: float
    """The bench itself, without its callers."""


class SoakLog:
    """The file; appends are whole lines, handed to the system at once."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        kept = deque(self.samples(), maxlen=1)
        last = kept[0] if kept else None
        self.run = last.run + 1 if last else 0
        self.elapsed_s = last.at_s if last else 0.0
        self._ends_open = self.path.exists() and self.path.read_bytes()[-1:] not in (b"\n", b"")

    def append(self, sample: Sample) -> None:
        """Keeps one more. Raises OSError."""
        with self.path.open("a", encoding="utf-8") as file:
            # The last line of a bench that was killed may have no end.
            file.write(("\n" if self._ends_open else "") + json.dumps(asdict(sample)) + "\n")
        self._ends_open = False

    def samples(self) -> Iterator[Sample]:
        """All of them; a line that was cut off is passed over."""
        if not self.path.exists():
            return
        with self.path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                try:
                    yield Sample(**json.loads(line))
                except (ValueError, TypeError):
                    continue


def trends(samples: Sequence[Sample], planned_s: float) -> dict[str, Trend]:
    """The drift of each figure over the longest run, its warm-up left out."""
    runs = [list(group) for _, group in groupby(samples, key=lambda sample: sample.run)]
    if not runs:
        return {}
    longest = max(runs, key=lambda run: run[-1].at_s - run[0].at_s)
    warm_s = min(LONGEST_WARM_UP_S, WARM_UP_SHARE * planned_s)
    warm = [sample for sample in longest if sample.at_s >= longest[0].at_s + warm_s]
    return {
        name: trend(name, [s.at_s for s in warm], [getattr(s, name) for s in warm])
        for name in WATCHED
        if any(getattr(sample, name) is not None for sample in warm)
    }


def shown(samples: Sequence[Sample]) -> list[dict[str, Any]]:
    """The samples of a report; counts are of the time since the one before."""
    if len(samples) <= SHOWN:
        return [asdict(sample) for sample in samples]
    found = []
    for part in np.array_split(np.arange(len(samples)), SHOWN):
        chosen = [samples[place] for place in part]
        found.append({name: _joined(name, chosen) for name in asdict(chosen[0])})
    return found


def totals(samples: Sequence[Sample]) -> Mapping[str, int]:
    """Calls and turns over all."""
    return {
        name: sum(getattr(sample, name) for sample in samples)
        for name in ("calls", "failed", "turns", "missed")
    }


def _joined(name: str, samples: Sequence[Sample]) -> float | int | None:
    known = [value for sample in samples if (value := getattr(sample, name)) is not None]
    if name in ("calls", "failed", "turns", "missed"):
        return int(sum(known))
    if name in ("at_s", "run"):
        return float(known[-1]) if name == "at_s" else int(known[-1])
    return float(np.median(known)) if known else None
