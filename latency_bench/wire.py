"""Speech found in recorded audio, and when each sample crossed the wire. Pure.

A stretch counts as voiced where its level in 5 ms windows stays over the threshold for at
least 25 ms. The threshold is the stream's noise floor plus 12 dB, and never under -55 dBFS: comfort
noise, codec residue and line hiss stay below it, quiet speech does not. The floor is the 10th
percentile of all windows, held between -90 and -55 dBFS; where a steady sound lies under all else
that came (room noise, also of a sender that sends nothing between its sentences), it is that
sound's, up to -30 dBFS.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WINDOW_S = 0.005
MIN_RUN_S = 0.025
"""Shorter bursts are clicks, not speech."""
MERGE_GAP_S = 0.2
"""Pauses up to this length lie inside one stretch of speech."""
BLOCK_WINDOWS = 20_000
"""So many windows are taken at once: a call of hours needs little memory beside its samples."""
FLOOR_RANGE_DBFS = (-90.0, -55.0)
OVER_FLOOR_DB = 12.0
THRESHOLD_MIN_DBFS = -55.0
NOISE_FLOOR_MAX_DBFS = -30.0
SOUNDING_DBFS = -100.0
"""Windows under this are digital silence, or never came: they say nothing of the line's noise."""
BLOCK_S = 0.1
STEADY_DB = 8.0
"""The 10th and 90th percentile of a steady sound's windows within ``BLOCK_S`` are so near."""
NOISE_BAND_DB = 6.0
"""Noise keeps its level to this; next to nothing that came is quieter than it by so much."""
NOISE_BLOCKS = 4
NOISE_SHARE = 0.05
"""It fills at least so many blocks, and this share of all blocks that are full of sound."""
QUIETER_SHARE = 0.04
"""Speech without noise dies away: far more of its windows are quieter than its steady sounds."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of speech: samples ``first`` to ``last``, both voiced."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Stream:
    """One direction of a call as it crossed the wire.

    ``pcm``: int16 mono, shape (samples,), the frames end to end.
    ``frame_start``: int64, shape (frames,): each frame's first sample in ``pcm``.
    ``at_s``: float64, shape (frames,): the monotonic time at which each frame was handed
    over (sent) or arrived (received).
    """

    pcm: NDArray[np.int16]
    frame_start: NDArray[np.int64]
    at_s: NDArray[np.float64]
    rate_hz: int

    def time_s(self, sample: int) -> float:
        """When ``sample`` crossed the wire: its frame's time plus its place in the frame.

        Raises IndexError for a sample outside the stream.
        """
        if not 0 <= sample < len(self.pcm):
            raise IndexError(f"sample {sample} of a stream of {len(self.pcm)}")
        frame = int(np.searchsorted(self.frame_start, sample, side="right")) - 1
        inside = sample - int(self.frame_start[frame])
        return float(self.at_s[frame] + inside / self.rate_hz)

    @property
    def segments(self) -> list[Segment]:
        """The stretches of speech."""
        return voiced_segments(self.pcm, self.rate_hz)


def level_dbfs(pcm: NDArray[np.int16]) -> float:
    """Root-mean-square level; -120 for digital silence or nothing at all."""
    if not len(pcm):
        return -120.0
    power = float(np.mean(np.square(pcm.astype(np.float64) / 32768)))
    return 10 * math.log10(max(power, 1e-12))


def voiced_segments(
    pcm: NDArray[np.int16], rate_hz: int, merge_gap_s: float = MERGE_GAP_S
) -> list[Segment]:
    """Stretches of speech in mono ``pcm``, shape (samples,), in order; empty for silence."""
    window = max(1, round(WINDOW_S * rate_hz))
    count = len(pcm) // window
    if not count:
        return []
    levels = _window_levels_dbfs(pcm[: count * window].reshape(count, window))
    threshold = _threshold_dbfs(levels)
    runs = [
        (first, last)
        for first, last in _runs(levels > threshold)
        if (last - first + 1) * window >= round(MIN_RUN_S * rate_hz)
    ]
    amplitude = 32768 * 10 ** (threshold / 20)
    found: list[Segment] = []
    for first, last in runs:
        piece = np.flatnonzero(
            np.abs(pcm[first * window : (last + 1) * window].astype(np.int32)) >= amplitude
        )
        start, end = first * window + int(piece[0]), first * window + int(piece[-1])
        if found and start - found[-1].last <= merge_gap_s * rate_hz:
            found[-1] = Segment(found[-1].first, end)
        else:
            found.append(Segment(start, end))
    return found


def first_voiced(pcm: NDArray[np.int16], rate_hz: int) -> int | None:
    """The first voiced sample, or None in silence."""
    segments = voiced_segments(pcm, rate_hz)
    return segments[0].first if segments else None


def last_voiced(pcm: NDArray[np.int16], rate_hz: int) -> int | None:
    """The last voiced sample, or None in silence."""
    segments = voiced_segments(pcm, rate_hz)
    return segments[-1].last if segments else None


def _window_levels_dbfs(windows: NDArray[np.int16]) -> NDArray[np.float64]:
    levels = np.empty(len(windows), np.float64)
    for first in range(0, len(windows), BLOCK_WINDOWS):
        scaled = windows[first : first + BLOCK_WINDOWS].astype(np.float32) / 32768
        # A constant offset is no sound, and some sound cards have one.
        power = np.var(scaled, axis=1).astype(np.float64)
        levels[first : first + BLOCK_WINDOWS] = 10 * np.log10(np.maximum(power, 1e-12))
    return levels


def _threshold_dbfs(levels: NDArray[np.float64]) -> float:
    floor = float(np.clip(np.percentile(levels, 10), *FLOOR_RANGE_DBFS))
    noise = _noise_dbfs(levels)
    if noise is not None:
        floor = max(floor, min(noise, NOISE_FLOOR_MAX_DBFS))
    return max(floor + OVER_FLOOR_DB, THRESHOLD_MIN_DBFS)


def _noise_dbfs(levels: NDArray[np.float64]) -> float | None:
    """The level (10th percentile) of the steady sound under all else; None where there is none.

    A steady sound that nothing rises over is not told from a voice: a tone alone is no noise.
    """
    size = round(BLOCK_S / WINDOW_S)
    starts = np.arange(0, len(levels) - size + 1, size // 2)
    blocks = levels[starts[:, None] + np.arange(size)]
    blocks = blocks[blocks.min(axis=1) > SOUNDING_DBFS] if len(blocks) else blocks
    if len(blocks) < NOISE_BLOCKS:
        return None
    low, high = np.percentile(blocks, [10, 90], axis=1)
    steady = blocks[high - low <= STEADY_DB]
    if len(steady) < NOISE_BLOCKS:
        return None
    middles = np.median(steady, axis=1)
    lowest = float(np.sort(middles)[NOISE_BLOCKS // 2])
    noise = steady[np.abs(middles - lowest) <= NOISE_BAND_DB]
    if len(noise) < max(NOISE_BLOCKS, NOISE_SHARE * len(blocks)):
        return None
    level = float(np.percentile(noise, 10))
    sounding = levels[levels > SOUNDING_DBFS]
    if np.mean(sounding < level - NOISE_BAND_DB) > QUIETER_SHARE:
        return None
    least = round(MIN_RUN_S / WINDOW_S)
    louder = _runs(levels > level + OVER_FLOOR_DB)
    return level if any(last - first + 1 >= least for first, last in louder) else None


def _runs(voiced: NDArray[np.bool_]) -> list[tuple[int, int]]:
    edges = np.diff(np.concatenate(([0], voiced.astype(np.int8), [0])))
    starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1
    return list(zip(starts.tolist(), ends.tolist(), strict=True))
