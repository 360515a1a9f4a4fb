"""What one call left behind: both directions on one clock, and what the agent said of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from latency_bench.part import PartKind
from latency_bench.wire import Stream

CallEnd = Literal["completed", "limit", "remote", "failed", "stopped"]
"""``remote``: the agent hung up; ``failed``: the connection broke; ``stopped``: the user did."""
Refusal = Literal["refused", "unanswered", "unreachable", "no_audio", "bad_codec"]
"""Why there was no call to record."""

SILENT_PATH_S = 0.1
"""Without timestamps to tell, frames this much later than due had silence before them."""


class CallFailed(Exception):
    """The call could not be placed; the message says where and why, ``outcome`` in a word."""

    def __init__(self, message: str, outcome: Refusal = "unreachable") -> None:
        super().__init__(message)
        self.outcome = outcome


@dataclass(frozen=True, slots=True)
class Frame:
    """20 ms or so of one direction; ``pcm`` is int16 mono, shape (samples,)."""

    pcm: NDArray[np.int16]
    at_s: float
    """Monotonic time at which it was handed over (sent) or arrived (received)."""
    pts: int
    """Its RTP timestamp in samples of ``pcm``'s rate, counted from the first frame's."""


@dataclass(frozen=True, slots=True)
class Packets:
    """What came off the network, in the order of arrival; each array has shape (packets,)."""

    at_s: NDArray[np.float64]
    """Monotonic, as near the socket as the library allows."""
    sequence: NDArray[np.int64]
    """RTP sequence number, unwrapped; of a WebSocket, a count."""
    timestamp: NDArray[np.int64]
    """RTP timestamp, unwrapped, in units of ``clock_hz``."""
    clock_hz: int


@dataclass(frozen=True, slots=True)
class Event:
    """One JSON message of the agent, with its arrival on the caller's monotonic clock."""

    at_s: float
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Said:
    """A part of the scenario as it was sent: samples of the sent stream."""

    part: int
    """Its place among the call's parts, from 0."""
    step: int
    """The scenario's step that it belongs to, from 0."""
    kind: PartKind
    over_agent: bool
    """Begun while the agent was speaking, as far as the caller could tell at once."""
    continues: bool
    """The next part goes on with the same turn, so that no answer is owed to this one."""
    owes_answer: bool
    first: int
    """First voiced sample in the sent stream; of keys, where they were pressed."""
    last: int
    """Last voiced sample; of keys, where the last one was let go."""
    text: str | None = None
    """The words, where they are known; the keys."""
    source: str = ""
    """Where the sound comes from, for people."""


@dataclass(frozen=True, slots=True)
class CallRecording:
    """One call from outside. Times are of the caller's monotonic clock."""

    door: str
    """``webrtc``, ``sip`` or ``twilio``."""
    codec: str
    """As negotiated, such as ``PCMU/8000`` or ``opus/48000``."""
    sent: Stream
    received: Stream
    packets: Packets
    said: tuple[Said, ...]
    """Only parts that were sent to their last voiced sample, in order."""
    missed: tuple[int, ...]
    """Parts that got no voice back in time."""
    events: tuple[Event, ...]
    dialled_s: float
    """The INVITE, or the offer, left."""
    answered_s: float
    """The 200 came; over WebRTC, media flows."""
    ended_s: float
    end: CallEnd
    reason: str = ""
    """What the far end gave as its reason, or what broke."""
    transferred_to: str | None = None
    """Where the agent asked the caller to go (SIP REFER), or ``"joined"``."""
    notes: tuple[str, ...] = field(default=())
    """What was unusual on the wire, such as packets of an unknown payload type."""


def stream_of(frames: Sequence[Frame], rate_hz: int, *, paused: bool = True) -> Stream:
    """Frames on one line of time, in the order of their timestamps.

    What was never sent or never came is silence: its length is told by the timestamps, and
    where these go on without a gap though the frame came late (an agent that sends nothing
    while it is silent), by the arrival. Not so with ``paused`` False: of what the caller itself
    sent, each frame is there, in its place, however late it was handed over.
    """
    ordered = sorted(frames, key=lambda frame: frame.pts)
    pieces: list[NDArray[np.int16]] = []
    starts: list[int] = []
    times: list[float] = []
    length = 0
    before: Frame | None = None
    latest_s = 0.0
    for frame in ordered:
        if before is not None:
            ended_s = before.at_s + len(before.pcm) / rate_hz
            latest_s = max(latest_s, ended_s)
            missing = frame.pts - before.pts - len(before.pcm)
            # A wait counts once: frames that come by turns early and late add up to no more.
            late_s = frame.at_s - latest_s
            if paused and missing <= 0 and late_s > SILENT_PATH_S:
                missing = round(late_s * rate_hz)
            if missing > 0:
                pieces.append(np.zeros(missing, np.int16))
                starts.append(length)
                times.append(ended_s)
                length += missing
        pieces.append(frame.pcm)
        starts.append(length)
        times.append(frame.at_s)
        length += len(frame.pcm)
        before = frame
    pcm = np.concatenate(pieces) if pieces else np.zeros(0, np.int16)
    return Stream(pcm, np.array(starts, np.int64), np.array(times, np.float64), rate_hz)
