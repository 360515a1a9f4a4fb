"""The box's own ear on recorded audio, on simulated time: faster than real time, the same
every time."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from agent.ear import Ear
from agent.turn_taking import (
    BargedIn,
    Decision,
    PauseBegan,
    SpeechDropped,
    SpeechStarted,
    TurnEnded,
    TurnSettings,
)
from models.stt.base import SpeechRecognizer
from models.turn.base import TurnModel
from models.vad.base import VoiceDetector

FRAME_S = 0.02
VERDICT_S = 0.06
"""When the turn model's word comes after a pause began: what it takes on two busy cores. It
matters only where it is over `stop_s` less the 0.1 s of silence that make a pause."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A turn that the box took for finished, at ``at_s`` of the audio."""

    at_s: float
    pcm: NDArray[np.int16]
    """What the recogniser would be given, shape (samples,)."""
    judged: bool
    """By the turn model's word; False: by the length of the silence alone."""
    silenced: bool
    """The agent had been silenced by it before."""


@dataclass(frozen=True, slots=True)
class Followed:
    """What the ear made of one stretch of audio."""

    ended: tuple[Ended, ...]
    barged_in_s: tuple[float, ...]
    """When it would have silenced the agent for the sound of a voice alone."""
    dropped: int
    """Sounds that it took for too short to be speech."""
    open: bool
    """A turn was still under way at the end."""


@dataclass(slots=True)
class _Log:
    ended: list[Ended] = field(default_factory=list)
    barged_in_s: list[float] = field(default_factory=list)
    dropped: int = 0
    silenced: bool = False


@dataclass(frozen=True, slots=True)
class OfflineEar:
    """Loaded detectors and the box's settings."""

    vad: VoiceDetector
    turn: TurnModel
    settings: TurnSettings
    verdict_s: float = VERDICT_S

    def follow(self, pcm: NDArray[np.int16], rate_hz: int, *, agent_busy: bool = False) -> Followed:
        """Hears ``pcm``, int16 mono, shape (samples,), in frames of 20 ms.

        ``agent_busy``: the agent is speaking all the while, and begins again once a turn is over.
        Raises ValueError for a rate that the voice detector does not hear.
        """
        ear = Ear(self.vad.open(rate_hz), rate_hz, self.settings)
        log, words = _Log(), dict[int, NDArray[np.int16]]()
        due: tuple[float, int] | None = None
        size = round(FRAME_S * rate_hz)
        for number, first in enumerate(range(0, len(pcm) - size + 1, size)):
            at_s = (number + 1) * FRAME_S
            if due is not None and due[0] <= at_s:
                probability = self.turn.completion_probability(words[due[1]], rate_hz)
                self._note(ear, ear.judge(due[1], probability, due[0]), due[0], log, words)
                due = None
            ear.feed(pcm[first : first + size].tobytes())
            while (decisions := ear.step(at_s, agent_busy)) is not None:
                for decision in decisions:
                    if isinstance(decision, PauseBegan):
                        words[decision.pause] = ear.utterance
                        due = (at_s + self.verdict_s, decision.pause)
                    elif not isinstance(decision, BargedIn | SpeechStarted):
                        # Resumed, dropped or ended: nobody waits for the word any more.
                        due = None
                self._note(ear, decisions, at_s, log, words)
        return Followed(tuple(log.ended), tuple(log.barged_in_s), log.dropped, ear.speaking)

    @staticmethod
    def _note(
        ear: Ear,
        decisions: list[Decision],
        at_s: float,
        log: _Log,
        words: dict[int, NDArray[np.int16]],
    ) -> None:
        for decision in decisions:
            match decision:
                case SpeechStarted():
                    log.silenced = False
                case BargedIn():
                    log.silenced = True
                    log.barged_in_s.append(at_s)
                case SpeechDropped():
                    log.dropped += 1
                case TurnEnded(pause=pause, complete_probability=probability):
                    judged = probability is not None and (
                        probability >= ear.settings.complete_probability
                    )
                    log.ended.append(Ended(at_s, words[pause], judged, log.silenced))
                    ear.forget_utterance()
                    words.clear()
                case _:
                    pass


def stops(followed: Followed, recogniser: SpeechRecognizer, rate_hz: int) -> list[float]:
    """When a speaking agent would have fallen silent, in order, in seconds of the audio.

    Either for the sound of a voice, or because words were recognised in what was too short for
    that; then the recogniser's own time is added.
    """
    found = list(followed.barged_in_s)
    for ended in followed.ended:
        if not ended.silenced:
            transcript = recogniser.transcribe(ended.pcm, rate_hz)
            if transcript.text.strip():
                found.append(ended.at_s + transcript.busy_s)
    return sorted(found)
