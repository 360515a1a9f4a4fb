"""What one call left behind: both directions on one clock, and what the box said of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from latency_bench.utterance import Utterance
from latency_bench.wire import Stream

CallEnd = Literal["completed", "limit", "remote", "failed", "stopped"]
"""``remote``: the agent hung up; ``failed``: the connection broke; ``stopped``: the user did."""


@dataclass(frozen=True, slots=True)
class Frame:
    """20 ms or so of one direction; ``pcm`` is int16 mono, shape (samples,)."""

    pcm: NDArray[np.int16]
    at_s: float
    """Monotonic time at which it was handed over (sent) or arrived (received)."""
    pts: int
    """Its RTP timestamp, counted from the first frame's."""


@dataclass(frozen=True, slots=True)
class Event:
    """One JSON message of the box, with its arrival on the caller's monotonic clock."""

    at_s: float
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Spoken:
    """An utterance as it was sent: samples of the sent stream."""

    turn: int
    """Its place in the script, from 0."""
    utterance: Utterance
    first_sample: int
    """Where the utterance's own sample 0 went."""

    @property
    def last_voiced(self) -> int:
        """Its last voiced sample in the sent stream."""
        return self.first_sample + self.utterance.last_voiced


@dataclass(frozen=True, slots=True)
class CallRecording:
    """One call from outside."""

    sent: Stream
    received: Stream
    spoken: tuple[Spoken, ...]
    """Only those whose last voiced sample was sent."""
    missed: tuple[int, ...]
    """Turns that got no voice back in time."""
    events: tuple[Event, ...]
    connected_s: float
    """Monotonic; so is the next."""
    ended_s: float
    end: CallEnd
    lost_frames: int
    """Frames that never arrived, by the gaps in their RTP timestamps."""


def stream_of(frames: Sequence[Frame], rate_hz: int) -> Stream:
    """Frames end to end, in the order of their timestamps; lost ones are not filled in."""
    ordered = sorted(frames, key=lambda frame: frame.pts)
    lengths = np.array([len(frame.pcm) for frame in ordered], np.int64)
    starts = np.concatenate((np.zeros(1, np.int64), np.cumsum(lengths)))[: len(ordered)]
    pcm = np.concatenate([f.pcm for f in ordered]) if ordered else np.zeros(0, np.int16)
    return Stream(pcm, starts, np.array([f.at_s for f in ordered], np.float64), rate_hz)


def lost_frames(frames: Sequence[Frame]) -> int:
    """How many frames are missing between the first and the last."""
    ordered = sorted(frames, key=lambda frame: frame.pts)
    gaps = (
        (after.pts - before.pts) / max(1, len(before.pcm)) - 1
        for before, after in zip(ordered, ordered[1:], strict=False)
    )
    return round(sum(max(0.0, gap) for gap in gaps))
