"""Who has the floor: speech probabilities in, decisions out. Pure; time is an argument.

One ``TurnTaker`` follows one caller. Silence and speech are counted in windows of audio, so
decisions depend on what was said and not on when the machine got round to it; the clock only
labels them.

    QUIET --(voiced for start_s)--> SPEAKING --(silent for decode_after_s)--> PAUSED
    PAUSED --(voiced again)--> SPEAKING
    PAUSED --(silent for as long as the evidence asks, `agent.patience`)--> QUIET
"""

from dataclasses import dataclass
from enum import Enum, auto

from agent.ending import Ending, EndingKind, ending
from agent.expected_answer import ExpectedAnswer
from agent.patience import Evidence, Rule, pooled, wait_s
from agent.turn_settings import TurnSettings as TurnSettings

HYSTERESIS = 0.2
"""Speech under way goes on at a probability this much lower than the one that started it."""
JUDGE_AGAIN_S = 0.32
"""Silence after which the turn model is asked once more: what it says then and what it said at
the pause's beginning, taken together, tell more than either."""
ROUNDING_S = 1e-6
"""Sums of windows are compared with settings to this."""


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The caller has begun to speak."""


@dataclass(frozen=True, slots=True)
class PauseBegan:
    """The caller fell silent for a moment: decode what was said so far."""

    pause: int
    """Names this pause, for ``judge`` and for the decision that follows."""
    speech_end_s: float
    """When the last voiced window ended."""


@dataclass(frozen=True, slots=True)
class SpeechResumed:
    """It was a pause only: what was decoded for it is void."""

    pause: int


@dataclass(frozen=True, slots=True)
class JudgeAgain:
    """The pause goes on: the turn model may say more on all that was heard up to now."""

    pause: int


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """The caller has finished."""

    pause: int
    speech_end_s: float
    at_s: float
    complete_probability: float | None
    """The turn model's word, of two their mean; None where it gave none."""


@dataclass(frozen=True, slots=True)
class SpeechDropped:
    """Too short to be speech, and no words in it: a click, a cough."""

    pause: int


Decision = SpeechStarted | PauseBegan | SpeechResumed | JudgeAgain | TurnEnded | SpeechDropped


class _State(Enum):
    QUIET = auto()
    SPEAKING = auto()
    PAUSED = auto()


class TurnTaker:
    """Follows one caller; feed it every window in order.

    ``rule``: how long the silence must be on what evidence. ``language``: what the transcripts
    are in, a BCP 47 tag.
    """

    def __init__(
        self,
        settings: TurnSettings,
        window_s: float,
        rule: Rule = wait_s,
        language: str = "en",
    ) -> None:
        self._settings = settings
        self._window_s = window_s
        self._rule = rule
        self._language = language
        self._expected = ExpectedAnswer.OPEN
        self._state = _State.QUIET
        self._voiced_run_s = 0.0
        self._voiced_s = 0.0
        self._silence_s = 0.0
        self._turn_s = 0.0
        self._speech_end_s = 0.0
        self._pause = 0
        self._judged: list[float] = []
        self._asked_again = False
        self._ending: Ending | None = None

    @property
    def speaking(self) -> bool:
        """Whether the caller holds the floor, pauses included."""
        return self._state is not _State.QUIET

    def expect(self, kind: ExpectedAnswer) -> None:
        """What the agent asked for last; holds until it is told otherwise."""
        self._expected = kind

    def hear(self, probability: float, at_s: float, agent_busy: bool) -> list[Decision]:
        """Takes the next window's speech probability; ``at_s`` is when its audio ended.

        ``agent_busy`` changes nothing here: `agent.barge_in` judges speech over the agent.
        """
        threshold = self._settings.vad_confidence
        if self._state is not _State.QUIET:
            threshold -= HYSTERESIS
        if probability >= threshold:
            return self._voiced(at_s)
        return self._silent(at_s)

    def judge(self, pause: int, complete_probability: float, at_s: float) -> list[Decision]:
        """Takes the turn model's word on a pause, the first or another after ``JudgeAgain``.

        Words on pauses that are over are ignored.
        """
        if self._state is not _State.PAUSED or pause != self._pause:
            return []
        self._judged.append(complete_probability)
        return self._maybe_end(at_s)

    def words(self, pause: int, text: str, at_s: float) -> list[Decision]:
        """Takes the transcript of a pause; one of a pause that is over is ignored."""
        if self._state is not _State.PAUSED or pause != self._pause:
            return []
        self._ending = ending(text, self._language)
        return self._maybe_end(at_s)

    def _voiced(self, at_s: float) -> list[Decision]:
        decisions: list[Decision] = []
        self._silence_s = 0.0
        self._voiced_run_s += self._window_s
        if self._state is _State.PAUSED:
            decisions.append(SpeechResumed(self._pause))
            self._state = _State.SPEAKING
        elif self._state is _State.QUIET and self._voiced_run_s >= self._settings.start_s:
            decisions.append(SpeechStarted())
            self._state = _State.SPEAKING
            self._voiced_s = self._voiced_run_s - self._window_s
            self._turn_s = self._voiced_s
        if self._state is _State.SPEAKING:
            self._voiced_s += self._window_s
            self._turn_s += self._window_s
            self._speech_end_s = at_s
            if self._turn_s >= self._settings.max_turn_s:
                decisions += self._cut(at_s)
        return decisions

    def _silent(self, at_s: float) -> list[Decision]:
        self._silence_s += self._window_s
        if self._state is _State.QUIET:
            self._voiced_run_s = 0.0
            return []
        self._turn_s += self._window_s
        decisions: list[Decision] = []
        if self._state is _State.SPEAKING and self._silent_for(self._settings.decode_after_s):
            self._state = _State.PAUSED
            self._voiced_run_s = 0.0
            self._pause += 1
            self._judged, self._ending, self._asked_again = [], None, False
            decisions.append(PauseBegan(self._pause, self._speech_end_s))
        if self._state is _State.PAUSED:
            decisions += self._maybe_end(at_s)
        if self._state is _State.PAUSED and self._judged and not self._asked_again:
            if self._silent_for(JUDGE_AGAIN_S):
                self._asked_again = True
                decisions.append(JudgeAgain(self._pause))
        return decisions

    def _silent_for(self, seconds: float) -> bool:
        return self._silence_s >= seconds - ROUNDING_S

    def _maybe_end(self, at_s: float) -> list[Decision]:
        judged = pooled(self._judged)
        evidence = Evidence(judged, self._ending, self._expected)
        over = self._silent_for(self._settings.max_wait_s)
        if not over and not self._silent_for(self._rule(evidence, self._settings)):
            return []
        if self._voiced_s < self._settings.min_speech_s:
            if self._ending is None and not over:
                # So short a sound may be "four", or a cough: its words tell.
                return []
            if self._ending is None or self._ending.kind is EndingKind.NOTHING:
                return self._leave([SpeechDropped(self._pause)])
        return self._leave([TurnEnded(self._pause, self._speech_end_s, at_s, judged)])

    def _cut(self, at_s: float) -> list[Decision]:
        """Ends a turn that never pauses, so that its audio stays bounded."""
        self._pause += 1
        return self._leave(
            [PauseBegan(self._pause, at_s), TurnEnded(self._pause, at_s, at_s, None)]
        )

    def _leave(self, decisions: list[Decision]) -> list[Decision]:
        self._state = _State.QUIET
        self._voiced_run_s = 0.0
        return decisions
