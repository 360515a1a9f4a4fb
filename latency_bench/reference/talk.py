"""What a reference agent says in one call, to the sample, and what really happened. Pure."""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from latency_bench.reference.behaviour import Behaviour
from latency_bench.reference.burst import found_at, sweep
from latency_bench.wire import Stream

FRAME_S = 0.02
LOUD = 1000
"""A sample over this is the caller's voice."""
END_SILENCE_S = 0.2
"""Silence that ends what the caller says, for an agent that has to hear it."""
BACKCHANNEL_S = 0.25
"""Shorter sounds over it are owed no answer."""
FILLER_LENGTH_S = 0.25
SEARCH_S = 0.03
"""A codec's look-ahead and its pre-echo are shorter."""
LONGEST_S = 600.0
"""What came and left after that is not kept."""

SoundKind = Literal["greeting", "answer", "filler"]


@dataclass(frozen=True, slots=True)
class Sound:
    """A stretch of sound; monotonic times of its first and last voiced samples on the wire."""

    kind: str
    first_s: float
    last_s: float


@dataclass(frozen=True, slots=True)
class Truth:
    """What one call was, from the agent's side of the wire. Monotonic seconds."""

    call: str
    door: str
    answered_s: float
    heard: tuple[Sound, ...]
    """The caller's utterances, as they arrived."""
    said: tuple[Sound, ...]
    """The agent's, as they left."""

    def to_json(self) -> dict[str, Any]:
        """As the agent prints it."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Truth":
        """Reads `to_json`'s output."""
        return cls(
            call=data["call"],
            door=data["door"],
            answered_s=data["answered_s"],
            heard=tuple(Sound(**sound) for sound in data["heard"]),
            said=tuple(Sound(**sound) for sound in data["said"]),
        )


@dataclass(slots=True)
class _Voice:
    """Something to say from ``start_s`` on; ``first`` and ``last``: samples of the sent stream."""

    kind: SoundKind
    pcm: NDArray[np.int16]
    start_s: float
    first: int | None = None
    last: int = -1


class ReferenceTalk:
    """Hears frames as they arrive and gives one to send every 20 ms.

    ``lookahead``: samples by which an encoder delays the sound, either side's. A sample of the
    caller has arrived with the frame that the caller encoded it in, and one of the agent has left
    with the frame from which a decoder gives it out: V2V, which counts from what was sent to what
    is heard, holds each encoder's delay once.
    """

    def __init__(self, behaviour: Behaviour, rate_hz: int, lookahead: int = 0) -> None:
        self.rate_hz = rate_hz
        self.frame_samples = round(FRAME_S * rate_hz)
        self._behaviour = behaviour
        self._lookahead = lookahead
        self._answered_s: float | None = None
        self._voices: list[_Voice] = []
        self._in: list[tuple[float, NDArray[np.int16]]] = []
        self._out_s: list[float] = []
        self._sent = 0
        self._onset_s: float | None = None
        self._last_loud_s = 0.0
        self._over_agent = False
        self._stop_at_s: float | None = None
        self._onsets: list[int] = []
        self._ends: list[int] = []
        self._heard_samples = 0
        delay = round((behaviour.echo_s or 0.0) * rate_hz)
        self._echo: deque[NDArray[np.int16]] = deque([np.zeros(delay, np.int16)])

    @property
    def answered_s(self) -> float | None:
        """When the call was answered."""
        return self._answered_s

    def answered(self, at_s: float) -> None:
        """The call begins."""
        self._answered_s = at_s
        if self._behaviour.greeting_s is not None:
            self._say("greeting", at_s + self._behaviour.greeting_s)

    def hear(self, pcm: NDArray[np.int16], at_s: float) -> None:
        """Takes a frame of the caller at the arrival of its packet; in order, without gaps."""
        if self._heard_samples > LONGEST_S * self.rate_hz:
            return
        if self._behaviour.echo_s is not None:
            self._echo.append(pcm)
        self._in.append((at_s, pcm))
        loud = np.flatnonzero(np.abs(pcm.astype(np.int32)) > LOUD)
        if len(loud):
            first_s = at_s + (int(loud[0]) - self._lookahead) / self.rate_hz
            last = self._heard_samples + int(loud[-1])
            if self._onset_s is None:
                self._onsets.append(self._heard_samples + int(loud[0]))
                self._ends.append(last)
                self._begin(first_s)
            self._ends[-1] = last
            self._last_loud_s = at_s + (int(loud[-1]) - self._lookahead) / self.rate_hz
        self._heard_samples += len(pcm)
        # Silence that came, not time that went by: a packet that is late ends nothing.
        if self._onset_s is not None:
            silent = self._heard_samples - 1 - self._ends[-1]
            if silent >= END_SILENCE_S * self.rate_hz:
                self._end()

    def next_frame(self, at_s: float) -> NDArray[np.int16]:
        """The 20 ms that leave at ``at_s``, shape (frame_samples,)."""
        size, start = self.frame_samples, self._sent
        end_s, ahead_s = at_s + FRAME_S, self._lookahead / self.rate_hz
        pcm = np.zeros(size, np.int32)
        for voice in self._voices:
            if voice.first is None and voice.start_s - ahead_s < end_s:
                # What is handed over now is heard, and has left, so much later.
                place = round((voice.start_s - at_s) * self.rate_hz) - self._lookahead
                voice.first = start + max(0, place)
                voice.last = voice.first + len(voice.pcm) - 1
        if self._stop_at_s is not None and self._stop_at_s - ahead_s < end_s:
            place = round((self._stop_at_s - at_s) * self.rate_hz) - self._lookahead
            self._stop(start + max(0, place))
        for voice in self._voices:
            if voice.first is not None and voice.first < start + size and voice.last >= start:
                begin, end = max(voice.first, start), min(voice.last + 1, start + size)
                piece = voice.pcm[begin - voice.first : end - voice.first]
                pcm[begin - start : end - start] += piece
        pcm += self._echoed(size)
        self._sent += size
        return np.clip(pcm, -32768, 32767).astype(np.int16)

    def left(self, index: int, at_s: float) -> None:
        """Frame ``index``, from 0, left at ``at_s``: held up, it is later than `next_frame`."""
        while len(self._out_s) <= index:
            self._out_s.append(math.nan)
        self._out_s[index] = at_s

    def truth(self, call: str, door: str) -> Truth:
        """What came and what left; sounds whose packets never left are not there."""
        return Truth(
            call=call,
            door=door,
            answered_s=math.nan if self._answered_s is None else self._answered_s,
            heard=tuple(self._heard()),
            said=tuple(self._said()),
        )

    def _begin(self, first_s: float) -> None:
        behaviour = self._behaviour
        self._onset_s = first_s
        self._over_agent = any(
            voice.first is not None and voice.last >= self._sent for voice in self._voices
        )
        if self._over_agent and behaviour.stop_s is not None:
            self._stop_at_s = first_s + behaviour.stop_s
        if behaviour.cut_in_s is not None:
            self._say("answer", first_s + behaviour.cut_in_s)
        elif behaviour.speech_s is not None:
            self._reply(first_s + behaviour.speech_s)

    def _end(self) -> None:
        assert self._onset_s is not None
        heard_s = self._last_loud_s - self._onset_s
        self._onset_s = None
        behaviour = self._behaviour
        if behaviour.speech_s is not None or behaviour.cut_in_s is not None:
            return
        if not (self._over_agent and heard_s < BACKCHANNEL_S):
            self._reply(self._last_loud_s)

    def _reply(self, ended_s: float) -> None:
        behaviour = self._behaviour
        if behaviour.filler_s is not None:
            self._say("filler", ended_s + behaviour.filler_s)
        if behaviour.delay_s is not None:
            self._say("answer", ended_s + behaviour.delay_s)

    def _stop(self, at: int) -> None:
        """Falls silent before sample ``at``, if what is heard is long enough."""
        assert self._stop_at_s is not None and self._behaviour.stop_s is not None
        onset_s = self._stop_at_s - self._behaviour.stop_s
        self._stop_at_s = None
        if self._last_loud_s - onset_s < self._behaviour.stop_min_s:
            return
        for voice in self._voices:
            if voice.first is not None and voice.first < at <= voice.last:
                voice.last = at - 1

    def _say(self, kind: SoundKind, at_s: float) -> None:
        behaviour = self._behaviour
        length_s = {
            "greeting": behaviour.greeting_length_s,
            "filler": FILLER_LENGTH_S,
            "answer": behaviour.answer_s,
        }[kind]
        # The caller's sounds rise, these fall: neither is taken for an echo of the other.
        pcm = sweep(length_s, self.rate_hz)[::-1].astype(np.int32)
        pcm = np.clip(pcm * behaviour.gain, -32768, 32767).astype(np.int16)
        every, missing = round(0.1 * self.rate_hz), round(behaviour.dropout_s * self.rate_hz)
        # The ends stay: what is missing lies inside the voice.
        pcm[np.arange(len(pcm)) % every >= every - missing] = 0
        self._voices.append(_Voice(kind, pcm, at_s))

    def _echoed(self, size: int) -> NDArray[np.int32]:
        if self._behaviour.echo_s is None:
            return np.zeros(size, np.int32)
        held = np.concatenate(self._echo)
        self._echo = deque([held[size:]])
        back = np.zeros(size, np.float64)
        back[: min(size, len(held))] = held[:size]
        return np.rint(back * 10 ** (self._behaviour.echo_db / 20)).astype(np.int32)

    def _heard(self) -> list[Sound]:
        if not self._in:
            return []
        stream = _stream([pcm for _, pcm in self._in], [at_s for at_s, _ in self._in], self.rate_hz)
        known = self._behaviour.speech_s
        sounds = []
        for first, last in zip(self._onsets, self._ends, strict=True):
            if known is not None:
                expected = sweep(known, self.rate_hz)
                first = found_at(stream.pcm, expected, first, round(SEARCH_S * self.rate_hz))
                last = first + len(expected) - 1
            first, last = (
                min(max(0, sample - self._lookahead), len(stream.pcm) - 1)
                for sample in (first, last)
            )
            sounds.append(Sound("caller", stream.time_s(first), stream.time_s(last)))
        return sounds

    def _said(self) -> list[Sound]:
        sounds = []
        for voice in self._voices:
            if voice.first is None or voice.last < voice.first:
                continue
            first_s, last_s = self._time_s(voice.first), self._time_s(voice.last)
            if not math.isnan(first_s):
                sounds.append(Sound(voice.kind, first_s, last_s))
        return sounds

    def _time_s(self, sample: int) -> float:
        frame, inside = divmod(sample + self._lookahead, self.frame_samples)
        if frame >= len(self._out_s):
            return math.nan
        return self._out_s[frame] + inside / self.rate_hz


def _stream(pieces: Sequence[NDArray[np.int16]], at_s: Sequence[float], rate_hz: int) -> Stream:
    starts = np.cumsum([0, *(len(piece) for piece in pieces[:-1])])
    return Stream(
        np.concatenate(pieces), starts.astype(np.int64), np.array(at_s, np.float64), rate_hz
    )
