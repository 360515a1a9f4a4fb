"""What is heard of one caller, window by window: voice, turns, and the words to decode.

Time is an argument, so that a call can be followed as it happens or a recording at any speed.
"""

import time

import numpy as np
from numpy.typing import NDArray

from agent.turn_taking import Decision, TurnSettings, TurnTaker
from models.vad.base import VoiceStream

PRE_ROLL_S = 0.5
"""Audio kept from before speech was noticed, so that its onset is not lost."""
SILENT_PEAK = 33
"""-60 dBFS: a window whose loudest sample is below this holds no speech."""


class Ear:
    """One caller's audio in, decisions out; keeps the utterance under way."""

    def __init__(self, voice: VoiceStream, rate_hz: int, settings: TurnSettings) -> None:
        self.rate_hz = rate_hz
        self.vad_busy_s = 0.0
        """Voice detection so far, whether it led to a turn or not."""
        self._voice = voice
        self.settings = settings
        self._window_bytes = voice.window_samples * 2
        self._pre_roll_bytes = int(PRE_ROLL_S * rate_hz) * 2
        self._unseen = bytearray()
        self._utterance = bytearray()
        self._taker = self._new_taker()

    @property
    def speaking(self) -> bool:
        """Whether the caller holds the floor, pauses included."""
        return self._taker.speaking

    @property
    def utterance(self) -> NDArray[np.int16]:
        """What was said so far and ``PRE_ROLL_S`` before it, shape (samples,); a copy."""
        return np.frombuffer(bytes(self._utterance), np.int16)

    def feed(self, pcm: bytes) -> None:
        """Takes audio, PCM16 mono at ``rate_hz``, of any length; ``step`` looks at it."""
        self._unseen += pcm

    def step(self, at_s: float, agent_busy: bool) -> list[Decision] | None:
        """What the next window of the audio leads to; None where no whole one is left.

        ``at_s``: when that audio came. ``agent_busy``: speech now is a barge-in.
        """
        if len(self._unseen) < self._window_bytes:
            return None
        if not self._taker.speaking:
            del self._utterance[: -self._pre_roll_bytes]
        window = bytes(self._unseen[: self._window_bytes])
        del self._unseen[: self._window_bytes]
        self._utterance += window
        probability = self._speech_probability(np.frombuffer(window, np.int16))
        return self._taker.hear(probability, at_s, agent_busy)

    def judge(self, pause: int, complete_probability: float, at_s: float) -> list[Decision]:
        """Takes the turn model's word on a pause; words on pauses that are over are ignored."""
        return self._taker.judge(pause, complete_probability, at_s)

    def forget_utterance(self) -> None:
        """After a turn's end: the next turn must not begin with this one's words."""
        self._utterance.clear()

    def restart(self) -> None:
        """Forgets whatever was half heard."""
        self._unseen.clear()
        self._utterance.clear()
        self._taker = self._new_taker()

    def _new_taker(self) -> TurnTaker:
        return TurnTaker(self.settings, self._voice.window_samples / self.rate_hz)

    def _speech_probability(self, window: NDArray[np.int16]) -> float:
        # A muted microphone sends zeros all day; the detector need not look at them.
        if np.abs(window.astype(np.int32)).max() < SILENT_PEAK:
            return 0.0
        began_s = time.perf_counter()
        probability = self._voice.speech_probability(window)
        self.vad_busy_s += time.perf_counter() - began_s
        return probability
