"""The box's own ear on recorded audio, on simulated time: faster than real time, the same
every time."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from agent.barge_in import BargedIn, WordsWanted
from agent.ear import Ear
from agent.expected_answer import ExpectedAnswer
from agent.overlapped_turn import Heard
from agent.turn_taking import (
    JudgeAgain,
    PauseBegan,
    SpeechDropped,
    SpeechResumed,
    TurnEnded,
    TurnSettings,
)
from models.stt.base import SpeechRecognizer
from models.turn.base import TurnModel
from models.vad.base import VoiceDetector

FRAME_S = 0.02
VERDICT_S = 0.06
WORDS_S = 0.12
"""When the turn model's word and the words come after they were asked for: what they take on two
cores of which one call uses its share."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A turn that the box took for finished, at ``at_s`` of the audio."""

    at_s: float
    pcm: NDArray[np.int16]
    """What the recogniser would be given, shape (samples,)."""
    judged: bool
    """On what was known of the words and their sound; False: by the length of the silence alone."""
    silenced: bool
    """The agent had been silenced by it before."""


@dataclass(frozen=True, slots=True)
class Followed:
    """What the ear made of one stretch of audio."""

    ended: tuple[Ended, ...]
    barged_in_s: tuple[float, ...]
    """When it would have silenced the agent for a voice over it."""
    dropped: int
    """Sounds that it took for too short to be speech."""
    open: bool
    """A turn was still under way at the end."""


Asked = Literal["judge", "words", "overlap words"]


@dataclass(frozen=True, slots=True)
class _Due:
    """What an engine will have said by ``at_s``."""

    at_s: float
    asked: Asked
    number: int
    pcm: NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class OfflineEar:
    """Loaded detectors and the box's settings. Without a recogniser turns end by sound alone, and
    what was said over the agent stays undecided."""

    vad: VoiceDetector
    turn: TurnModel
    settings: TurnSettings
    recogniser: SpeechRecognizer | None = None
    verdict_s: float = VERDICT_S
    words_s: float = WORDS_S

    def follow(
        self,
        pcm: NDArray[np.int16],
        rate_hz: int,
        *,
        agent_busy: bool = False,
        expected: ExpectedAnswer = ExpectedAnswer.OPEN,
    ) -> Followed:
        """Hears ``pcm``, int16 mono, shape (samples,), in frames of 20 ms.

        ``agent_busy``: the agent is speaking all the while, and begins again once a turn is over.
        ``expected``: what it had asked for. Raises ValueError for a rate that the voice detector
        does not hear.
        """
        return _Listening(self, rate_hz, agent_busy, expected).follow(pcm)


@dataclass(slots=True)
class _Log:
    ended: list[Ended] = field(default_factory=list)
    barged_in_s: list[float] = field(default_factory=list)
    dropped: int = 0
    silenced: bool = False


class _Listening:
    """One recording, heard once."""

    def __init__(
        self, engines: OfflineEar, rate_hz: int, agent_busy: bool, expected: ExpectedAnswer
    ) -> None:
        self._engines, self._rate_hz, self._agent_busy = engines, rate_hz, agent_busy
        self._ear = Ear(engines.vad.open(rate_hz), rate_hz, engines.settings)
        self._ear.expect(expected)
        self._log = _Log()
        self._utterance = np.zeros(0, np.int16)
        self._due: list[_Due] = []

    def follow(self, pcm: NDArray[np.int16]) -> Followed:
        """All of it."""
        size = round(FRAME_S * self._rate_hz)
        for number, first in enumerate(range(0, len(pcm) - size + 1, size)):
            at_s = (number + 1) * FRAME_S
            self._answer_until(at_s)
            self._ear.feed(pcm[first : first + size].tobytes())
            while (heard := self._ear.step(at_s, self._agent_speaks)) is not None:
                self._take(heard, at_s)
        log = self._log
        return Followed(tuple(log.ended), tuple(log.barged_in_s), log.dropped, self._ear.speaking)

    @property
    def _agent_speaks(self) -> bool:
        return self._agent_busy and not self._log.silenced

    def _answer_until(self, at_s: float) -> None:
        while any(due.at_s <= at_s for due in self._due):
            due = min(self._due, key=lambda one: one.at_s)
            self._due.remove(due)
            self._take(self._answer(due), due.at_s)

    def _answer(self, due: _Due) -> list[Heard]:
        if due.asked == "judge":
            probability = self._engines.turn.completion_probability(due.pcm, self._rate_hz)
            return self._ear.judge(due.number, probability, due.at_s)
        assert self._engines.recogniser is not None
        text = self._engines.recogniser.transcribe(due.pcm, self._rate_hz).text.strip()
        if due.asked == "words":
            return self._ear.words(due.number, text, due.at_s)
        return self._ear.overlap_words(due.number, text, due.at_s)

    def _ask(self, asked: Asked, number: int, pcm: NDArray[np.int16], at_s: float) -> None:
        if asked == "judge":
            self._due.append(_Due(at_s + self._engines.verdict_s, asked, number, pcm))
        elif self._engines.recogniser is not None:
            self._due.append(_Due(at_s + self._engines.words_s, asked, number, pcm))

    def _take(self, heard: list[Heard], at_s: float) -> None:
        for decision in heard:
            match decision:
                case PauseBegan(pause=pause):
                    self._utterance = self._ear.utterance
                    self._ask("judge", pause, self._utterance, at_s)
                    self._ask("words", pause, self._utterance, at_s)
                case JudgeAgain(pause=pause):
                    self._ask("judge", pause, self._ear.utterance, at_s)
                case SpeechResumed():
                    self._forget_pause()
                case SpeechDropped():
                    self._forget_pause()
                    self._log.dropped += 1
                    self._log.silenced = False
                case WordsWanted(overlap=overlap):
                    self._ask("overlap words", overlap, self._ear.overlap_audio, at_s)
                case BargedIn():
                    self._log.silenced = True
                    self._log.barged_in_s.append(at_s)
                case TurnEnded():
                    self._forget_pause()
                    # By the clock where the longest silence was waited for.
                    waited_s = at_s - decision.speech_end_s
                    judged = waited_s < self._engines.settings.max_wait_s - FRAME_S
                    silenced, self._log.silenced = self._log.silenced, False
                    self._log.ended.append(Ended(at_s, self._utterance, judged, silenced))
                    self._ear.forget_utterance()
                case _:
                    pass

    def _forget_pause(self) -> None:
        """Nobody waits for these words any more."""
        self._due = [due for due in self._due if due.asked == "overlap words"]
