"""One call from the caller's end, whatever the door: what it sends, hears and writes down."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latency_bench.conversation import Conversation
from latency_bench.foreign_json import ForeignJsonError, plain_body, plain_text
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
EVENTS_LIMIT_BYTES = 64 << 20
"""What an agent says of itself after so much is not kept."""
WORDS_LIMIT = 500
"""Characters of a note, a reason or an address, which may be the agent's."""
SOUND_PACE, SOUND_START_S = 2.0, 30.0
PACKETS_PER_S, PACKETS_START = 400.0, 60_000
"""No clock runs faster, and no codec has shorter packets (RFC 7587: 2.5 ms). What an agent sends
in a burst, as over Twilio, may be 15 minutes long. More is a flood, and is not kept."""


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
        self._received_samples = 0
        self._events: list[Event] = []
        self._events_bytes = 0
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
        if len(self._packets) >= self._packets_allowed(at_s):
            self.note("the agent floods the caller with packets: some were not kept")
            return
        self._packets.append((at_s, sequence, timestamp))

    def heard(self, pcm: NDArray[np.int16], at_s: float, pts: int) -> None:
        """Sound of the agent: int16 mono at ``rate_hz``, ``pts`` in its samples."""
        sound_s = (self._received_samples + len(pcm)) / self.rate_hz
        if sound_s > SOUND_START_S + SOUND_PACE * self._elapsed_s(at_s) or len(
            self._received
        ) >= self._packets_allowed(at_s):
            self.note("the agent floods the caller with sound: some was not kept")
            return
        self._received_samples += len(pcm)
        self._received.append(Frame(pcm, at_s, pts))
        self.conversation.hear(level_dbfs(pcm), at_s)

    def told(self, at_s: float, body: dict[str, Any]) -> None:
        """The agent said something of itself, as JSON; what no report can hold is replaced."""
        try:
            body, size_bytes = plain_body(body)
        except ForeignJsonError as error:
            self.note(f"the agent sent a message {error}")
            return
        if (
            len(self._events) < EVENTS_LIMIT
            and self._events_bytes + size_bytes <= EVENTS_LIMIT_BYTES
        ):
            self._events.append(Event(at_s, body))
            self._events_bytes += size_bytes
        else:
            self.note("the agent sent more messages than are kept")
        match body:
            case {"type": "speaking", "who": "agent", "on": bool(on)}:
                self.conversation.told(on)
            case {"type": "joined"}:
                self.transferred("joined")

    def transferred(self, to: str) -> None:
        """The agent asked the caller to go elsewhere."""
        self._transferred_to = _words(to)

    def note(self, text: str) -> None:
        """Something unusual on the wire; each text is kept once."""
        text = _words(text)
        if text not in self._notes and len(self._notes) < NOTES_LIMIT:
            self._notes.append(text)

    def end(self, end: CallEnd, at_s: float, reason: str = "") -> None:
        """The call is over; the first word on it holds."""
        if self._ended_s is None:
            self._end, self._ended_s, self._reason = end, at_s, _words(reason)
            self._on_over()

    def broke(self, error: Exception) -> None:
        """A part of the caller's own raised: the call is over, and says why."""
        self.end("failed", time.monotonic(), f"the caller broke: {error!r}")

    def _elapsed_s(self, at_s: float) -> float:
        began_s = self._dialled_s if self._answered_s is None else self._answered_s
        return max(0.0, at_s - began_s)

    def _packets_allowed(self, at_s: float) -> float:
        return PACKETS_START + PACKETS_PER_S * self._elapsed_s(at_s)

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


def _words(text: str) -> str:
    return plain_text(text[:WORDS_LIMIT])
