"""Who has the floor: speech probabilities in, decisions out. Pure; time is an argument.

One ``TurnTaker`` follows one caller. Silence and speech are counted in windows of audio, so
decisions depend on what was said and not on when the machine got round to it; the clock only
labels them.

    QUIET --(voiced for start_s)--> SPEAKING --(silent for decode_s)--> PAUSED
    PAUSED --(voiced again)--> SPEAKING
    PAUSED --(silent for stop_s, judged complete | silent for max_wait_s)--> QUIET
"""

from dataclasses import dataclass
from enum import Enum, auto

DECODE_AFTER_S = 0.096
"""Silence after which the words so far are worth decoding (three 32 ms windows)."""
HYSTERESIS = 0.2
"""Speech under way goes on at a probability this much lower than the one that started it."""


@dataclass(frozen=True, slots=True)
class TurnSettings:
    """Thresholds; see ``[turn]`` in the configuration."""

    vad_confidence: float = 0.6
    start_s: float = 0.1
    stop_s: float = 0.2
    complete_probability: float = 0.5
    max_wait_s: float = 1.5
    min_speech_s: float = 0.25
    barge_in_s: float = 0.25
    max_turn_s: float = 30.0


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
class TurnEnded:
    """The caller has finished."""

    pause: int
    speech_end_s: float
    at_s: float
    complete_probability: float | None
    """The turn model's word, or None where the silence alone decided."""


@dataclass(frozen=True, slots=True)
class SpeechDropped:
    """Too short to be speech: a click, a cough."""

    pause: int


@dataclass(frozen=True, slots=True)
class BargedIn:
    """The caller talks over the agent and means it."""


Decision = SpeechStarted | PauseBegan | SpeechResumed | TurnEnded | SpeechDropped | BargedIn


class _State(Enum):
    QUIET = auto()
    SPEAKING = auto()
    PAUSED = auto()


class TurnTaker:
    """Follows one caller; feed it every window in order."""

    def __init__(self, settings: TurnSettings, window_s: float) -> None:
        self._settings = settings
        self._window_s = window_s
        self._state = _State.QUIET
        self._voiced_run_s = 0.0
        self._voiced_s = 0.0
        self._silence_s = 0.0
        self._turn_s = 0.0
        self._speech_end_s = 0.0
        self._pause = 0
        self._judged: float | None = None
        self._barged_in = False

    @property
    def speaking(self) -> bool:
        """Whether the caller holds the floor, pauses included."""
        return self._state is not _State.QUIET

    def hear(self, probability: float, at_s: float, agent_busy: bool) -> list[Decision]:
        """Takes the next window's speech probability; ``at_s`` is when its audio ended.

        ``agent_busy``: the agent is answering, so that speech now is a barge-in.
        """
        threshold = self._settings.vad_confidence
        if self._state is not _State.QUIET:
            threshold -= HYSTERESIS
        if probability >= threshold:
            return self._voiced(at_s, agent_busy)
        return self._silent(at_s)

    def judge(self, pause: int, complete_probability: float, at_s: float) -> list[Decision]:
        """Takes the turn model's word on a pause; words on pauses that are over are ignored."""
        if self._state is not _State.PAUSED or pause != self._pause:
            return []
        self._judged = complete_probability
        return self._maybe_end(at_s)

    def _voiced(self, at_s: float, agent_busy: bool) -> list[Decision]:
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
            self._barged_in = False
        if self._state is _State.SPEAKING:
            self._voiced_s += self._window_s
            self._turn_s += self._window_s
            self._speech_end_s = at_s
            if (
                agent_busy
                and not self._barged_in
                and self._voiced_run_s >= self._settings.barge_in_s
            ):
                self._barged_in = True
                decisions.append(BargedIn())
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
        if self._state is _State.SPEAKING and self._silence_s >= DECODE_AFTER_S:
            self._state = _State.PAUSED
            self._voiced_run_s = 0.0
            self._pause += 1
            self._judged = None
            decisions.append(PauseBegan(self._pause, self._speech_end_s))
        if self._state is _State.PAUSED:
            decisions += self._maybe_end(at_s)
        return decisions

    def _maybe_end(self, at_s: float) -> list[Decision]:
        waited = self._silence_s >= self._settings.max_wait_s
        complete = (
            self._judged is not None
            and self._judged >= self._settings.complete_probability
            and self._silence_s >= self._settings.stop_s
        )
        if not (waited or complete):
            return []
        self._state = _State.QUIET
        self._voiced_run_s = 0.0
        if self._voiced_s < self._settings.min_speech_s:
            return [SpeechDropped(self._pause)]
        return [TurnEnded(self._pause, self._speech_end_s, at_s, self._judged)]

    def _cut(self, at_s: float) -> list[Decision]:
        """Ends a turn that never pauses, so that its audio stays bounded."""
        self._pause += 1
        self._state = _State.QUIET
        self._voiced_run_s = 0.0
        return [
            PauseBegan(self._pause, at_s),
            TurnEnded(self._pause, at_s, at_s, None),
        ]
