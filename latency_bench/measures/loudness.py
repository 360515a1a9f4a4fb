"""How loud the agent's voice is: its level, its peak, and what is clipped. Pure.

Sound is taken in pieces of some seconds, so that long calls need no more memory than short ones.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from latency_bench.wire import Segment, Stream

PIECE_S = 10.0
FULL_SCALE = 31_700
"""From here on a sample is at full scale: the loudest of A-law is 32256, of mu-law 32124, and a
lossy codec leaves ripples on a clipped top."""
CLIPPED_RUN = 3
FLAT_RUN = 4
FLAT_TOP = 0.9
"""A flat top lies within this of the call's peak."""
FLAT_MIN = 3_000
"""Under this (-21 dBFS) a flat top is a matter of few bits, not of clipping."""


@dataclass(frozen=True, slots=True)
class Loudness:
    """As `figures.WireFigures` says."""

    level_dbfs: float | None = None
    peak_dbfs: float | None = None
    clipped: float = 0.0


def loudness(stream: Stream, segments: Sequence[Segment]) -> Loudness:
    """Of the agent's voice in ``segments``."""
    pcm, rate_hz = stream.pcm, stream.rate_hz
    voiced = sum(segment.last - segment.first + 1 for segment in segments)
    if not voiced:
        return Loudness()
    energy, peak = 0.0, 0
    for piece in pieces_of(segments, rate_hz):
        sound = pcm[piece].astype(np.float32)
        energy += float(np.dot(sound, sound))
        peak = max(peak, int(np.abs(sound).max()))
    level = math.sqrt(energy / voiced)
    clipped = sum(_clipped(pcm[piece], peak) for piece in pieces_of(segments, rate_hz))
    return Loudness(_dbfs(level), _dbfs(peak), clipped / voiced)


def pieces_of(segments: Sequence[Segment], rate_hz: int) -> Iterator[slice]:
    """All samples of ``segments``, in pieces of at most ``PIECE_S``."""
    size = round(PIECE_S * rate_hz)
    for segment in segments:
        for first in range(segment.first, segment.last + 1, size):
            yield slice(first, min(first + size, segment.last + 1))


def _clipped(pcm: NDArray[np.int16], peak: int) -> int:
    """Samples at full scale for some samples on end, or that stay at one value near the peak."""
    top = np.abs(pcm.astype(np.int32))
    found = 0
    if peak >= FULL_SCALE:
        found += sum(
            end - first for first, end in _runs(top >= FULL_SCALE) if end - first >= CLIPPED_RUN
        )
    if peak >= FLAT_MIN:
        # A sample with the same one before it; full scale is counted already.
        flat = np.zeros(len(pcm), bool)
        flat[1:] = (pcm[1:] == pcm[:-1]) & (top[1:] >= FLAT_TOP * peak) & (top[1:] < FULL_SCALE)
        found += sum(end - first + 1 for first, end in _runs(flat) if end - first + 1 >= FLAT_RUN)
    return found


def _runs(marked: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and end of each stretch of True."""
    edges = np.diff(marked.astype(np.int8), prepend=0, append=0)
    starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    return list(zip(starts.tolist(), ends.tolist(), strict=True))


def _dbfs(amplitude: float) -> float:
    return 20 * math.log10(max(amplitude, 1e-3) / 32768)
