"""Holes in a voice: short silences with hard edges, which make it sound robotic. Pure.

A voice closes for 50 to 100 ms before a "p" or a "t", but it dies away over some 10 ms. A hole
falls and rises within a few milliseconds, even after a lossy codec has smeared it. The level is
followed in windows of 1 ms; the thresholds are those that told holes of 20 ms cut into people's
speech, after mu-law and after Opus, from the same speech whole (docs/measuring.md has the counts).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from latency_bench.measures.loudness import pieces_of
from latency_bench.wire import Segment, Stream

WINDOW_S = 0.001
HOLE_WINDOWS = (5, 60)
BEFORE = 6
"""Windows right before and after a hole whose level is that of the voice."""
EDGE = 2
"""Windows in which it falls."""
INSIDE = 3
"""Windows right inside an edge whose level is that of the hole."""
EDGE_DB = 20.0
"""The least step at both edges."""
DEPTH_DB = 12.0
"""The loudest window of a hole is this much under the voice."""
UNDER_VOICE_DB = 15.0
"""A voice at the edge is no quieter than this under the call's level."""


def dropouts(stream: Stream, segments: Sequence[Segment], level_dbfs: float, *, lost: bool) -> int:
    """How many holes the agent's voice has in ``segments``; ``level_dbfs``: that of the voice.

    ``lost``: whether packets were lost. A frame without any sound is then one of those, which are
    counted elsewhere.
    """
    found = 0
    window = max(1, round(WINDOW_S * stream.rate_hz))
    for piece in pieces_of(segments, stream.rate_hz):
        for first, end in _holes(_powers(stream.pcm[piece], window), level_dbfs):
            middle = piece.start + (first + end) * window // 2
            found += not (lost and _is_empty(stream, middle))
    return found


def _powers(pcm: NDArray[np.int16], window: int) -> NDArray[np.float64]:
    """Mean power in each window, full scale 1; never 0. Shape (windows,)."""
    count = len(pcm) // window
    sound = pcm[: count * window].astype(np.float32) / 32768
    powers = np.mean(np.square(sound).reshape(count, window), axis=1, dtype=np.float64)
    return np.maximum(powers, 1e-9)


def _holes(powers: NDArray[np.float64], level_dbfs: float) -> list[tuple[int, int]]:
    """First window and end of each hole."""
    count = len(powers)
    if count < BEFORE + HOLE_WINDOWS[0]:
        return []
    total = np.concatenate(([0.0], np.cumsum(powers)))

    def mean(first: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[np.float64]:
        first, end = np.clip(first, 0, count), np.clip(end, 0, count)
        means: NDArray[np.float64] = (total[end] - total[first]) / np.maximum(1, end - first)
        # The running total loses the last digits of what is nearly silent.
        return np.maximum(means, 1e-9)

    at = np.arange(count)
    least = 10 ** ((level_dbfs - UNDER_VOICE_DB) / 10)
    step, depth = 10 ** (EDGE_DB / 10), 10 ** (DEPTH_DB / 10)
    before, after = mean(at - BEFORE, at), mean(at, at + BEFORE)
    falls = np.flatnonzero(
        (before >= least) & (before >= step * mean(at + EDGE, at + EDGE + INSIDE))
    )
    rises = np.flatnonzero((after >= least) & (after >= step * mean(at - INSIDE, at)))
    shortest, longest = HOLE_WINDOWS
    found: list[tuple[int, int]] = []
    # One edge is seen from several windows, of which the last is where the voice is back.
    for end in rises[np.flatnonzero(np.diff(rises, append=count + 1) > 1)].tolist():
        quiet = powers[max(0, end - longest - 1) : end] * depth <= after[end]
        length = int(np.argmin(quiet[::-1])) if not quiet.all() else len(quiet)
        first = end - length
        edges = falls[np.searchsorted(falls, first - EDGE) :]
        if shortest <= length <= longest and len(edges) and edges[0] <= first:
            found.append((first, end))
    return found


def _is_empty(stream: Stream, sample: int) -> bool:
    """Whether the frame that holds ``sample`` is digital silence."""
    after = int(np.searchsorted(stream.frame_start, sample, side="right"))
    first = int(stream.frame_start[after - 1])
    end = int(stream.frame_start[after]) if after < len(stream.frame_start) else len(stream.pcm)
    return not stream.pcm[first:end].any()
