"""One call from the caller's end, whatever the door: what it sends, hears and writes down."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latency_bench.conversation import Conversation
from latency_bench.recording import (
    CallEnd,
    CallRecording,
    Event,
    Frame,
    Packets,
    stream_of,
)
from latency_bench.wire import level_dbfs

NOTES_LIMIT = 20
EVENTS_LIMIT = 100_000
"""What an agent says of itself after so many messages is not kept."""


class Leg:
    """What a door drives: a frame to send every 20 ms, and everything that arrives.

    A door may do so from a thread of its own, one at a time. ``on_over`` is called once, from
    whichever thread noticed that the caller hangs up. Times are of the monotonic clock.
    """

    def __init__(self, conversation: Conversation, on_over: Callable[[], None]) -> None:
        self.conversation = conversation
        self.rate_hz = conversation.rate_hz
        self._on_over = on_over
        self._sent: list[Frame] = []
        self._received: list[Frame] = []
        self._packets: list[tuple[float, int, int]] = []
        self._events: list[Event] = []
        self._notes: list[str] = []
        self._answered_s: float | None = None
        self._dialled_s = time.monotonic()
        self._ended_s: float | None = None
        self._end: CallEnd = "completed"
        self._reason = ""
        self._transferred_to: str | None = None
        self._pts = 0

    @property
    def ended(self) -> bool:
        """Whether the call is over for the caller."""
        return self._ended_s is not None

    @property
    def has_audio(self) -> bool:
        """Whether any sound frame of the agent came."""
        return bool(self._received)

    def dialled(self, at_s: float) -> None:
        """The call was placed."""
        self._dialled_s = at_s

    def answered(self, at_s: float) -> None:
        """The agent took the call; the conversation begins with the next frame."""
        self._answered_s = at_s

    def next_frame(self, now_s: float) -> NDArray[np.int16]:
        """The 20 ms to hand to the wire now, shape (frame samples,)."""
        if self._answered_s is None or self.ended:
            pcm = np.zeros(self.conversation.frame_samples, np.int16)
        else:
            pcm = self.conversation.next_frame(now_s)
        if self._answered_s is not None:
            self._sent.append(Frame(pcm, now_s, self._pts))
            self._pts += len(pcm)
        if self.conversation.over and not self.ended:
            self.end("completed", now_s)
        return pcm

    def departed(self, pts: int, at_s: float) -> None:
        """The frame handed over as the sample ``pts`` of what is sent left the socket.

        A door that encodes in between says so; without it, the frame left as it was handed over.
        """
        index = pts // self.conversation.frame_samples
        if 0 <= index < len(self._sent):
            self._sent[index] = replace(self._sent[index], at_s=at_s)

    def keys_due(self) -> str:
        """Keys to press; ask right after `next_frame`."""
        return self.conversation.keys_due()

    def packet(self, at_s: float, sequence: int, timestamp: int) -> None:
        """An RTP packet came off the network; numbers as unwrapped by the door."""
        self._packets.append((at_s, sequence, timestamp))

    def heard(self, pcm: NDArray[np.int16], at_s: float, pts: int) -> None:
        """Sound of the agent: int16 mono at ``rate_hz``, ``pts`` in its samples."""
        self._received.append(Frame(pcm, at_s, pts))
        self.conversation.hear(level_dbfs(pcm), at_s)

    def told(self, at_s: float, body: dict[str, Any]) -> None:
        """The agent said something of itself, as JSON."""
        if len(self._events) < EVENTS_LIMIT:
            self._events.append(Event(at_s, body))
        match body:
            case {"type": "speaking", "who": "agent", "on": bool(on)}:
                self.conversation.told(on)
            case {"type": "joined"}:
                self.transferred("joined")

    def transferred(self, to: str) -> None:
        """The agent asked the caller to go elsewhere."""
        self._transferred_to = to

    def note(self, text: str) -> None:
        """Something unusual on the wire; each text is kept once."""
        if text not in self._notes and len(self._notes) < NOTES_LIMIT:
            self._notes.append(text)

    def end(self, end: CallEnd, at_s: float, reason: str = "") -> None:
        """The call is over; the first word on it holds."""
        if self._ended_s is None:
            self._end, self._ended_s, self._reason = end, at_s, reason
            self._on_over()

    def recording(self, door: str, codec: str, clock_hz: int) -> CallRecording:
        """What was recorded; ``clock_hz``: that of the packets' timestamps."""
        log = self._packets
        return CallRecording(
            door=door,
            codec=codec,
            sent=stream_of(self._sent, self.rate_hz, paused=False),
            received=stream_of(self._received, self.rate_hz),
            packets=Packets(
                np.array([at_s for at_s, _, _ in log], np.float64),
                np.array([sequence for _, sequence, _ in log], np.int64),
                np.array([timestamp for _, _, timestamp in log], np.int64),
                clock_hz,
            ),
            said=tuple(self.conversation.said),
            missed=tuple(self.conversation.missed),
            events=tuple(self._events),
            dialled_s=self._dialled_s,
            answered_s=self._dialled_s if self._answered_s is None else self._answered_s,
            ended_s=time.monotonic() if self._ended_s is None else self._ended_s,
            end=self._end,
            reason=self._reason,
            transferred_to=self._transferred_to,
            notes=tuple(self._notes),
        )
