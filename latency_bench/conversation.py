"""What the caller sends next, decided from what it hears. Pure: time is an argument."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto

import numpy as np
from numpy.typing import NDArray

from latency_bench.part import Part
from latency_bench.recording import Said

FRAME_S = 0.02
LIVE_THRESHOLD_DBFS = -50.0
"""A received frame over this is taken for speech, unless the line itself is that loud."""
OVER_FLOOR_DB = 12.0
FLOOR_RISE_DB_PER_S = 3.0
YIELDED_S = 0.3
"""An agent that is silent this long after an interruption has stopped."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How patient the caller is."""

    greeting_silence_s: float = 0.7
    """Silence after the agent's voice that ends the greeting."""
    greeting_limit_s: float = 6.0
    """An agent that says nothing by then has no greeting."""
    answer_silence_s: float = 1.0
    """Silence after the agent's voice that ends an answer: clauses may lie apart."""
    answer_limit_s: float | None = None
    """Over each part's own ``wait_s``."""
    held_silence_s: float = 5.0
    """The same where the agent says that it is still speaking: a busy one may stall."""
    listen_limit_s: float = 30.0
    """A greeting or an answer longer than this is talked over."""
    pause_s: float = 0.3
    """Between the end of an answer and the next part."""
    linger_s: float = 0.0
    """The caller stays this long after all is done: what comes then counts, too."""


class Phase(Enum):
    """Where the call is."""

    GREETING = auto()
    PAUSE = auto()
    SENDING = auto()
    BETWEEN = auto()
    """Between two parts of one turn."""
    YIELDING = auto()
    """Interrupted, the agent has not stopped yet."""
    WAITING = auto()
    LISTENING = auto()
    LINGERING = auto()
    DONE = auto()


class VoiceGate:
    """Is there a voice in this frame? The floor falls at once and rises slowly."""

    def __init__(self) -> None:
        self._floor_dbfs = -90.0
        self._heard_at_s: float | None = None

    def voiced(self, level_dbfs: float, now_s: float) -> bool:
        """Takes one frame's level and arrival time."""
        elapsed_s = 0.0 if self._heard_at_s is None else now_s - self._heard_at_s
        self._heard_at_s = now_s
        risen = self._floor_dbfs + FLOOR_RISE_DB_PER_S * elapsed_s
        self._floor_dbfs = min(level_dbfs, risen)
        return level_dbfs > max(LIVE_THRESHOLD_DBFS, self._floor_dbfs + OVER_FLOOR_DB)


class Conversation:
    """Greeting, then each part when its time has come.

    Without parts the caller stays silent until the shell's limit. ``background``: int16 mono at
    ``rate_hz``, shape (samples,), mixed under everything, over and over; ``background_from_s``
    after the answer.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        rate_hz: int,
        pace: Pace | None = None,
        background: NDArray[np.int16] | None = None,
    ) -> None:
        self.rate_hz = rate_hz
        self.phase = Phase.GREETING
        self.said: list[Said] = []
        """Parts whose last voiced sample was sent."""
        self.missed: list[int] = []
        """Parts that got no voice back in time."""
        self._parts = [part.at_rate(rate_hz) for part in parts]
        self._pace = pace or Pace()
        self._background = background if background is not None and len(background) else None
        self._gate = VoiceGate()
        self._next = 0
        self._sample = 0
        self._since_s: float | None = None
        self._voice_began_s: float | None = None
        self._began_s = 0.0
        """When the part was begun that is being sent, or was last."""
        self._last_voice_s: float | None = None
        self._agent_speaking = False
        self._pending: NDArray[np.int16] = np.zeros(0, np.int16)
        self._sending: Said | None = None
        self._keys = ""

    @property
    def frame_samples(self) -> int:
        """Samples of a frame of 20 ms."""
        return round(FRAME_S * self.rate_hz)

    @property
    def over(self) -> bool:
        """The caller has nothing left to do and hangs up."""
        return self.phase is Phase.DONE

    def told(self, agent_speaking: bool) -> None:
        """Takes the agent's own word, where it gives one, on whether it is speaking.

        It only keeps the caller from talking into a stalled answer; nothing is measured by it.
        """
        self._agent_speaking = agent_speaking

    def hear(self, level_dbfs: float, now_s: float) -> None:
        """Takes the level of one received frame at its arrival time."""
        if not self._gate.voiced(level_dbfs, now_s):
            return
        if self._last_voice_s is None or now_s - self._last_voice_s > YIELDED_S:
            self._voice_began_s = now_s
        self._last_voice_s = now_s
        if self.phase is Phase.WAITING:
            self._enter(Phase.LISTENING, now_s)

    def keys_due(self) -> str:
        """Keys to press now, once; empty mostly. Ask before each frame's `next_frame`."""
        keys, self._keys = self._keys, ""
        return keys

    def next_frame(self, now_s: float) -> NDArray[np.int16]:
        """The next 20 ms to send, shape (frame_samples,), handed over at ``now_s``."""
        self._step(now_s)
        size = self.frame_samples
        pcm = np.zeros(size, np.int16)
        head, self._pending = self._pending[:size], self._pending[size:]
        pcm[: len(head)] = head
        end = self._sample + size
        sending = self._sending
        if sending is not None and sending.last < end:
            self.said.append(sending)
            self._sending = None
            self._pending = self._pending if sending.kind == "speech" else self._pending[:0]
            self._sent(sending, now_s)
        if self._background is not None:
            at = np.arange(self._sample, end) % len(self._background)
            mixed = pcm.astype(np.int32) + self._background[at]
            pcm = np.clip(mixed, -32768, 32767).astype(np.int16)
        self._sample = end
        return pcm

    def _step(self, now_s: float) -> None:
        if self._since_s is None:
            self._since_s = now_s
        pace, waited_s = self._pace, now_s - self._since_s
        part = self._parts[self._next] if self._next < len(self._parts) else None
        if part is not None and part.when == "over" and self._may_interrupt(part, now_s):
            self._begin(part, now_s, over_agent=True)
            return
        match self.phase:
            case Phase.GREETING if part is not None:
                # An agent that is still to begin gets its own limit, which may be the longer one.
                limit_s = pace.greeting_limit_s
                if self._last_voice_s is not None:
                    limit_s = max(limit_s, pace.listen_limit_s)
                if waited_s >= limit_s or self._silent_for(pace.greeting_silence_s, now_s):
                    self._enter(Phase.PAUSE, now_s)
            case Phase.PAUSE if part is not None and waited_s >= _pause_s(part, pace):
                self._begin(part, now_s, over_agent=self._voiced_lately(now_s))
            case Phase.BETWEEN if part is not None and waited_s >= part.at_s:
                self._begin(part, now_s, over_agent=self._voiced_lately(now_s))
            case Phase.YIELDING:
                if self._voice_began_s is not None and self._voice_began_s > self._began_s:
                    # It had stopped, and began anew before the caller was done.
                    self._enter(Phase.LISTENING, now_s)
                elif not self._voiced_lately(now_s):
                    self._enter(Phase.WAITING, now_s)
                elif waited_s >= pace.listen_limit_s:
                    self._missed(now_s)
            case Phase.WAITING:
                limit_s = pace.answer_limit_s or self._parts[self._next - 1].wait_s
                if waited_s >= limit_s:
                    self._missed(now_s)
            case Phase.LISTENING:
                ended = self._silent_for(pace.answer_silence_s, now_s)
                if ended or waited_s >= pace.listen_limit_s:
                    self._go_on(now_s)
            case Phase.LINGERING if waited_s >= pace.linger_s:
                self._enter(Phase.DONE, now_s)
            case _:
                pass

    def _may_interrupt(self, part: Part, now_s: float) -> bool:
        if self.phase not in (Phase.GREETING, Phase.LISTENING):
            return False
        began_s = self._voice_began_s
        return (
            began_s is not None
            and now_s - began_s >= part.at_s
            and now_s - (self._last_voice_s or 0.0) < YIELDED_S
        )

    def _begin(self, part: Part, now_s: float, *, over_agent: bool) -> None:
        following = self._parts[self._next + 1] if self._next + 1 < len(self._parts) else None
        self._sending = Said(
            part=self._next,
            step=part.step,
            kind=part.kind,
            over_agent=over_agent,
            continues=following is not None and following.when == "continues",
            owes_answer=part.owes_answer,
            first=self._sample + part.first,
            last=self._sample + max(part.first, part.last),
            text=part.keys or part.text,
            source=part.source,
        )
        self._pending, self._keys, self._began_s = part.pcm, part.keys, now_s
        self._next += 1
        self._enter(Phase.SENDING, now_s)

    def _sent(self, said: Said, now_s: float) -> None:
        if said.continues:
            self._enter(Phase.BETWEEN, now_s)
        elif not said.owes_answer:
            # Nothing is owed; what the agent says by itself is still heard out.
            quiet = self._last_voice_s is None or not self._voiced_lately(now_s)
            if quiet and not said.over_agent:
                self._go_on(now_s)
            else:
                self._enter(Phase.LISTENING, now_s)
        elif said.over_agent:
            self._enter(Phase.YIELDING, now_s)
        else:
            self._enter(Phase.WAITING, now_s)

    def _missed(self, now_s: float) -> None:
        self.missed.append(self._next - 1)
        self._go_on(now_s)

    def _go_on(self, now_s: float) -> None:
        if self._next < len(self._parts):
            self._enter(Phase.PAUSE, now_s)
        elif self._pace.linger_s:
            self._enter(Phase.LINGERING, now_s)
        else:
            self._enter(Phase.DONE, now_s)

    def _voiced_lately(self, now_s: float) -> bool:
        return self._last_voice_s is not None and now_s - self._last_voice_s < YIELDED_S

    def _silent_for(self, silence_s: float, now_s: float) -> bool:
        if self._last_voice_s is None:
            return False
        if self._agent_speaking:
            silence_s = max(silence_s, self._pace.held_silence_s)
        return now_s - self._last_voice_s >= silence_s

    def _enter(self, phase: Phase, now_s: float) -> None:
        self.phase = phase
        self._since_s = now_s


def _pause_s(part: Part, pace: Pace) -> float:
    return max(pace.pause_s, part.at_s) if part.when == "after" else pace.pause_s


def with_wait(parts: Sequence[Part], wait_s: float) -> list[Part]:
    """The same parts with another limit for each answer."""
    return [replace(part, wait_s=wait_s) for part in parts]
