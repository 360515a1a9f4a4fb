"""What is heard of one caller, window by window: voice, turns, overlaps, and the words to decode.

Time is an argument, so that a call can be followed as it happens or a recording at any speed.
What becomes of a turn that began over the speaking agent: `agent.overlapped_turn`.
"""

import time

import numpy as np
from numpy.typing import NDArray

from agent.barge_in import BargeIn, BargeInSettings, OverlapBegan, OverlapDecision
from agent.echo import EchoDetector
from agent.expected_answer import ExpectedAnswer
from agent.overlapped_turn import Heard, OverlappedTurn
from agent.quiet_fall import QuietFall
from agent.turn_taking import TurnSettings, TurnTaker
from models.vad.base import VoiceStream

PRE_ROLL_S = 0.5
"""Audio kept from before speech was noticed, so that its onset is not lost."""
OVERLAP_PRE_ROLL_S = 0.3
LONGEST_OVERLAP_S = 4.0
SILENT_PEAK = 33
"""-60 dBFS: a window whose loudest sample is below this holds no speech."""


class Ear:
    """One caller's audio in, decisions out; keeps the utterance under way."""

    def __init__(
        self,
        voice: VoiceStream,
        rate_hz: int,
        settings: TurnSettings,
        barge_in: BargeInSettings | None = None,
    ) -> None:
        """``barge_in``: None takes the defaults, with the turns' ``vad_confidence``."""
        self.rate_hz = rate_hz
        self.vad_busy_s = 0.0
        """Voice detection so far, whether it led to a turn or not."""
        self._voice = voice
        self.settings = settings
        self.barge_in_settings = barge_in or BargeInSettings(vad_confidence=settings.vad_confidence)
        self._window_s = voice.window_samples / rate_hz
        self._window_bytes = voice.window_samples * 2
        self._pre_roll_bytes = int(PRE_ROLL_S * rate_hz) * 2
        self._unseen = bytearray()
        self._utterance = bytearray()
        self._recent = bytearray()
        self._overlap_bytes = 0
        self._agent_busy = False
        self._echo = EchoDetector(rate_hz)
        self._begin()

    @property
    def speaking(self) -> bool:
        """Whether the caller holds the floor, pauses included."""
        return self._taker.speaking

    @property
    def fall(self) -> int | None:
        """The fall of the caller's voice that has lasted until now, if one has."""
        return self._fall.under_way

    @property
    def utterance(self) -> NDArray[np.int16]:
        """What was said so far and ``PRE_ROLL_S`` before it, shape (samples,); a copy."""
        return np.frombuffer(bytes(self._utterance), np.int16)

    @property
    def overlap_audio(self) -> NDArray[np.int16]:
        """The latest overlap so far, from ``OVERLAP_PRE_ROLL_S`` before its onset on, at most
        ``LONGEST_OVERLAP_S``, shape (samples,); a copy. What ``WordsWanted`` wants decoded."""
        return np.frombuffer(bytes(self._recent[-self._overlap_bytes :]), np.int16)

    def feed(self, pcm: bytes) -> None:
        """Takes audio, PCM16 mono at ``rate_hz``, of any length; ``step`` looks at it."""
        self._unseen += pcm

    def played(self, pcm: bytes, at_s: float) -> None:
        """Takes what goes out to the caller, PCM16 mono at ``rate_hz``, when it goes: ``at_s``.

        What comes back of it is no caller.
        """
        self._echo.played(np.frombuffer(pcm, np.int16), at_s)

    def step(self, at_s: float, agent_busy: bool) -> list[Heard] | None:
        """What the next window of the audio leads to; None where no whole one is left.

        ``at_s``: when that audio came. ``agent_busy``: speech now is over the agent.
        """
        if len(self._unseen) < self._window_bytes:
            return None
        if not self._taker.speaking:
            del self._utterance[: -self._pre_roll_bytes]
        window = bytes(self._unseen[: self._window_bytes])
        del self._unseen[: self._window_bytes]
        self._utterance += window
        self._agent_busy = agent_busy
        samples = np.frombuffer(window, np.int16)
        probability = self._speech_probability(samples, at_s)
        overlaps = self._barge_in.hear(probability, at_s, agent_busy)
        self._keep(window, overlaps, at_s)
        decisions = self._taker.hear(probability, at_s, agent_busy)
        fell = self._fall.hear(samples, self._taker.speaking and not agent_busy)
        heard = self._turn.window(
            overlaps,
            decisions,
            voiced=probability >= self.settings.vad_confidence,
            agent_busy=agent_busy,
        )
        return heard if fell is None else [fell, *heard]

    def judge(self, pause: int, complete_probability: float, at_s: float) -> list[Heard]:
        """Takes the turn model's word on a pause; words on pauses that are over are ignored."""
        decisions = self._taker.judge(pause, complete_probability, at_s)
        return self._turn.sift([], decisions, self._agent_busy)

    def words(self, pause: int, text: str, at_s: float) -> list[Heard]:
        """Takes what was recognised up to a pause; words on pauses that are over are ignored."""
        decisions = self._taker.words(pause, text, at_s)
        return self._turn.sift([], decisions, self._agent_busy)

    def expect(self, answer: ExpectedAnswer) -> None:
        """Takes what kind of answer the agent asked for."""
        self._taker.expect(answer)

    def overlap_words(self, overlap: int, text: str, at_s: float) -> list[Heard]:
        """Takes the words that an overlap wanted; of one that is decided they are ignored."""
        return self._turn.sift(self._barge_in.words(overlap, text, at_s), [], self._agent_busy)

    def agent_stopped(self) -> None:
        """The agent's answer is gone; between two windows another may begin."""
        self._barge_in.agent_stopped()
        self._turn.agent_stopped()

    def forget_utterance(self) -> None:
        """After a turn's end: the next turn must not begin with this one's words."""
        self._utterance.clear()

    def restart(self) -> None:
        """Forgets whatever was half heard."""
        self._unseen.clear()
        self._utterance.clear()
        self._recent.clear()
        self._begin()

    def _begin(self) -> None:
        self._taker = TurnTaker(self.settings, self._window_s)
        self._barge_in = BargeIn(self.barge_in_settings, self._window_s)
        self._turn = OverlappedTurn(self._window_s)
        self._fall = QuietFall()

    def _keep(self, window: bytes, overlaps: list[OverlapDecision], at_s: float) -> None:
        self._recent += window
        longest = round(LONGEST_OVERLAP_S * self.rate_hz) * 2
        del self._recent[:-longest]
        self._overlap_bytes = min(longest, self._overlap_bytes + len(window))
        for decision in overlaps:
            if isinstance(decision, OverlapBegan):
                since_s = at_s - decision.onset_s + OVERLAP_PRE_ROLL_S
                self._overlap_bytes = min(longest, round(since_s * self.rate_hz) * 2)

    def _speech_probability(self, window: NDArray[np.int16], at_s: float) -> float:
        # A muted microphone sends zeros all day; the detector need not look at them.
        if np.abs(window.astype(np.int32)).max() < SILENT_PEAK:
            self._echo.heard(window, at_s)
            return 0.0
        began_s = time.perf_counter()
        probability = self._voice.speech_probability(window)
        self.vad_busy_s += time.perf_counter() - began_s
        return 0.0 if self._echo.heard(window, at_s) else probability
