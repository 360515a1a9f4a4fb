"""The box's own ear while its agent speaks, on recorded audio and simulated time: what holds the
agent back, for how long, and what silences it."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from agent.backchannel import is_backchannel
from agent.barge_in import BargedIn, OverlapBegan, OverlapEnded, Why, WordsWanted
from agent.ear import Ear
from agent.overlapped_turn import Heard
from agent.turn_taking import PauseBegan, SpeechDropped, SpeechResumed, TurnEnded, TurnSettings
from models.stt.base import SpeechRecognizer
from models.vad.base import VoiceDetector

FRAME_S = 0.02
WORDS_S = 0.12
"""When the words come after they were wanted: what that takes on two cores of which one call
uses its share."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """One time that the agent was held back."""

    held_at_s: float
    decided_s: float | None
    """None: not before the audio's end."""
    why: Why | None
    """None: it interrupted."""


@dataclass(frozen=True, slots=True)
class OverAgent:
    """What one stretch of audio did to a speaking agent."""

    overlaps: tuple[Overlap, ...]
    late_stops_s: tuple[float, ...]
    """Turns that nothing was held for, or that nobody could tell in time, and that had words."""

    @property
    def stops_s(self) -> list[float]:
        """When an answer was thrown away."""
        meant = [o.decided_s for o in self.overlaps if o.why is None and o.decided_s is not None]
        return sorted([*meant, *self.late_stops_s])

    @property
    def in_vain(self) -> list[Overlap]:
        """The holds after which the agent went on."""
        return [overlap for overlap in self.overlaps if overlap.why is not None]


@dataclass(slots=True)
class _Listening:
    ear: Ear
    recogniser: SpeechRecognizer
    rate_hz: int
    overlaps: list[Overlap] = field(default_factory=list)
    late_stops_s: list[float] = field(default_factory=list)
    due: list[tuple[float, bool, int, str]] = field(default_factory=list)
    """When words come, whether of an overlap, its name or the pause's, and the words."""
    pauses: dict[int, str] = field(default_factory=dict)
    silenced: bool = False

    def answer_until(self, at_s: float) -> None:
        while self.due and min(self.due)[0] <= at_s:
            one = min(self.due)
            self.due.remove(one)
            tell = self.ear.overlap_words if one[1] else self.ear.words
            self.take(tell(one[2], one[3], one[0]), one[0])

    def take(self, heard: list[Heard], at_s: float) -> None:
        for decision in heard:
            match decision:
                case OverlapBegan():
                    self.overlaps.append(Overlap(at_s, None, None))
                case WordsWanted(overlap=overlap):
                    text = self._words(self.ear.overlap_audio)
                    self.due.append((at_s + WORDS_S, True, overlap, text))
                case OverlapEnded(why=why):
                    self.overlaps[-1] = Overlap(self.overlaps[-1].held_at_s, at_s, why)
                case BargedIn():
                    self.overlaps[-1] = Overlap(self.overlaps[-1].held_at_s, at_s, None)
                    self.silenced = True
                case PauseBegan(pause=pause):
                    self.pauses[pause] = text = self._words(self.ear.utterance)
                    self.due.append((at_s + WORDS_S, False, pause, text))
                case SpeechResumed(pause=pause) | SpeechDropped(pause=pause):
                    self._over(isinstance(decision, SpeechDropped))
                case TurnEnded(pause=pause):
                    text = self.pauses.get(pause, "")
                    if not self.silenced and text and not is_backchannel(text):
                        self.late_stops_s.append(at_s)
                    self.ear.forget_utterance()
                    self._over(True)
                case _:
                    pass

    def _over(self, turn: bool) -> None:
        """The pause is; ``turn``: so is all that was said, and the agent speaks again."""
        self.due = [one for one in self.due if one[1]]
        if turn:
            self.pauses.clear()
            self.silenced = False

    def _words(self, pcm: NDArray[np.int16]) -> str:
        return self.recogniser.transcribe(pcm, self.rate_hz).text.strip()


def over_agent(
    pcm: NDArray[np.int16],
    rate_hz: int,
    vad: VoiceDetector,
    settings: TurnSettings,
    recogniser: SpeechRecognizer,
    played: NDArray[np.int16] | None = None,
) -> OverAgent:
    """Hears ``pcm``, int16 mono, shape (samples,), in frames of 20 ms; the agent speaks all the
    while, and begins again once a turn is over.

    ``played``: what the agent says, of which ``pcm`` may hold an echo, at ``rate_hz``.
    """
    listening = _Listening(Ear(vad.open(rate_hz), rate_hz, settings), recogniser, rate_hz)
    size = round(FRAME_S * rate_hz)
    for number, first in enumerate(range(0, len(pcm) - size + 1, size)):
        at_s = (number + 1) * FRAME_S
        if played is not None:
            listening.ear.played(played[first : first + size].tobytes(), at_s - FRAME_S)
        listening.answer_until(at_s)
        listening.ear.feed(pcm[first : first + size].tobytes())
        while (heard := listening.ear.step(at_s, not listening.silenced)) is not None:
            listening.take(heard, at_s)
    return OverAgent(tuple(listening.overlaps), tuple(listening.late_stops_s))
