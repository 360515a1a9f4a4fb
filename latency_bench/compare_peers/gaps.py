"""Gaps inside answers that a listener hears: the agent ran dry, or its packets stood still. Pure.

`measures.dropouts` finds holes up to 60 ms. Added here are longer ones: a voice that is cut off
within a few milliseconds, silence, and a voice that is back as suddenly, as where the next piece
of synthesised speech was not there in time. A pause between two sentences dies away and swells.
In 95 s of Piper's speech through Opus, whole, neither found any; of 20 holes of 80 to 400 ms cut
into it at random places, 13 were found.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from latency_bench.figures import TurnFigures
from latency_bench.measures.dropouts import dropouts
from latency_bench.measures.emodel import BUFFER_RANGE_MS
from latency_bench.wire import Stream, level_dbfs

WINDOW_S = 0.001
HOLE_S = (0.06, 1.5)
"""Longer than `measures.dropouts` looks for; after the longest, it is a pause between clauses."""
EDGE_WINDOWS = 6
"""Windows beside an edge whose level is that of the voice, and of the silence."""
FALL_WINDOWS = 3
"""Within so many the voice is gone, or back."""
EDGE_DB = 25.0
UNDER_VOICE_DB = 15.0
"""A voice at an edge is no quieter than this under the answer's level."""
DEPTH_DB = 25.0
"""The whole hole is this much under the answer's level."""
HELD_S = BUFFER_RANGE_MS[1] / 1000
"""A packet held up for longer comes too late for any player."""


def audible_gaps(stream: Stream, turns: Sequence[TurnFigures], *, lost: bool) -> int:
    """How many holes and stalls the answers of ``turns`` have in what came.

    ``lost``: whether packets were lost, each of which leaves a hole that is not the agent's.
    """
    segments = stream.segments
    found = 0
    for turn in turns:
        first, end = turn.answer_from, turn.answer_to
        if end <= first:
            continue
        answer = stream.pcm[first:end]
        inside = [segment for segment in segments if first <= segment.first and segment.last < end]
        found += dropouts(stream, inside, level_dbfs(answer), lost=lost)
        found += long_holes(answer, stream.rate_hz)
        found += stalls(stream, first, end)
    return found


def long_holes(pcm: NDArray[np.int16], rate_hz: int) -> int:
    """Holes of ``HOLE_S`` in an answer, mono, shape (samples,)."""
    window = max(1, round(WINDOW_S * rate_hz))
    count = len(pcm) // window
    if count < 2 * EDGE_WINDOWS + round(HOLE_S[0] / WINDOW_S):
        return 0
    scaled = pcm[: count * window].astype(np.float32).reshape(count, window) / 32768
    power = np.maximum(np.mean(np.square(scaled), axis=1, dtype=np.float64), 1e-9)
    voice_dbfs = level_dbfs(pcm)
    loud, step = 10 ** ((voice_dbfs - UNDER_VOICE_DB) / 10), 10 ** (EDGE_DB / 10)
    quiet = power <= 10 ** ((voice_dbfs - DEPTH_DB) / 10)
    edges = np.diff(quiet.astype(np.int8), prepend=0, append=0)
    found = 0
    for first, end in zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True):
        if not HOLE_S[0] <= (end - first) * WINDOW_S <= HOLE_S[1]:
            continue
        before = power[max(0, first - EDGE_WINDOWS) : first]
        after = power[end : end + EDGE_WINDOWS]
        inside = power[first + FALL_WINDOWS : end - FALL_WINDOWS]
        if not len(before) or not len(after):
            continue
        falls = before.mean() >= max(loud, step * inside[:EDGE_WINDOWS].mean())
        rises = after.mean() >= max(loud, step * inside[-EDGE_WINDOWS:].mean())
        found += bool(falls and rises)
    return found


def stalls(stream: Stream, first: int, end: int) -> int:
    """Times within samples ``first`` to ``end`` that a frame came so late that no player waits.

    Only where the sound around it is one voice: a sender may be silent between two clauses.
    """
    from_frame = int(np.searchsorted(stream.frame_start, first, side="right")) - 1
    until = int(np.searchsorted(stream.frame_start, end, side="left"))
    starts, at_s = stream.frame_start[from_frame:until], stream.at_s[from_frame:until]
    held_s = np.diff(at_s) - np.diff(starts) / stream.rate_hz
    found = 0
    for place in np.flatnonzero(held_s > HELD_S).tolist():
        around = stream.pcm[int(starts[place]) : int(starts[place + 1]) + 1]
        next_end = int(starts[place + 2]) if place + 2 < len(starts) else end
        following = stream.pcm[int(starts[place + 1]) : next_end]
        floor = level_dbfs(stream.pcm[first:end]) - DEPTH_DB
        found += level_dbfs(around) > floor and level_dbfs(following) > floor
    return found
