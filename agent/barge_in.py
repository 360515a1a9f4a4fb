"""Does a voice over the agent mean to interrupt it? Pure; time is an argument.

Silence and voice are counted in windows of audio, as `agent.turn_taking` does. The agent's audio
is held back as soon as a voice is noticed, and what the voice says decides: a held agent goes on
after a cough, a backchannel or noise, and falls silent for words.

    NONE --(voiced for start_s, or surely voiced for sure_s)--> HELD      OverlapBegan
    HELD --(silent for pause_s, voiced under short_s)--> NONE             OverlapEnded SHORT
    HELD --(voiced for ask_s | silent for pause_s)--> HELD                WordsWanted
    HELD --(words, none of them a sign of listening)--> MEANT             BargedIn
    HELD --(silent, no words or signs of listening)--> NONE               OverlapEnded
    HELD --(voiced for meant_s, nothing recognised yet)--> MEANT          BargedIn
    HELD --(held for hold_s)--> NONE                                      OverlapEnded UNDECIDED

Each hold that came to nothing makes the next ones harder for a while, and after `NOISY` of them in
a row only words interrupt: a noisy room must not make the agent stutter.
"""

from dataclasses import dataclass
from enum import Enum, auto

from agent.backchannel import is_backchannel


@dataclass(frozen=True, slots=True)
class BargeInSettings:
    """Thresholds; times are of audio."""

    vad_confidence: float = 0.6
    start_s: float = 0.128
    """Voiced time that holds the agent's audio back..."""
    sure_confidence: float = 0.8
    sure_s: float = 0.064
    """...and so much where each window is voiced beyond this doubt."""
    pause_s: float = 0.128
    """Silence after which the words are over for now."""
    short_s: float = 0.16
    """Less voiced time than this is a click or a cough: nobody is asked."""
    ask_s: float = 0.35
    """Voiced time after which the words so far are worth decoding."""
    meant_s: float = 0.7
    """Voiced time that interrupts where the recogniser has not said anything yet."""
    hold_s: float = 0.9
    """The agent is never held longer without a decision."""
    wary_s: float = 0.1
    """By so much more voice the next hold needs, for each that came to nothing."""
    most_wary: int = 3
    forget_s: float = 8.0
    """After so long without a hold one of those that came to nothing is forgotten."""


NOISY = 2
"""After so many holds in vain only words interrupt."""


class Why(Enum):
    """What an overlap was that did not interrupt."""

    SHORT = auto()
    """A click, a cough."""
    BACKCHANNEL = auto()
    NO_WORDS = auto()
    UNDECIDED = auto()
    """The recogniser did not answer in time."""


@dataclass(frozen=True, slots=True)
class OverlapBegan:
    """There is a voice over the agent: hold its audio back."""

    overlap: int
    """Names this overlap, for ``words`` and for the decisions that follow."""
    onset_s: float
    """When its first voiced window began."""


@dataclass(frozen=True, slots=True)
class WordsWanted:
    """Decode what was said in the overlap, and tell ``words``."""

    overlap: int


@dataclass(frozen=True, slots=True)
class OverlapEnded:
    """It did not mean to interrupt: the agent goes on where it stopped."""

    overlap: int
    why: Why


@dataclass(frozen=True, slots=True)
class BargedIn:
    """The caller talks over the agent and means it: the answer is over."""

    overlap: int
    onset_s: float


OverlapDecision = OverlapBegan | WordsWanted | OverlapEnded | BargedIn


class BargeIn:
    """Follows one caller; feed it every window in order."""

    def __init__(self, settings: BargeInSettings, window_s: float) -> None:
        self._settings = settings
        self._window_s = window_s
        self._overlap = 0
        self._held = False
        self._meant = False
        self._run_s = 0.0
        self._sure_run_s = 0.0
        self._silence_s = 0.0
        self._voiced_s = 0.0
        self._held_s = 0.0
        self._onset_s = 0.0
        self._asked_at_s = 0.0
        """Voiced time when words were last wanted; 0: not yet."""
        self._unanswered = 0
        self._so_far: Why | None = None
        """What the words so far make of it."""
        self._in_vain = 0
        self._calm_s = 0.0

    @property
    def undecided(self) -> int | None:
        """The overlap for which the agent is held; None where it is not."""
        return self._overlap if self._held else None

    def hear(self, probability: float, at_s: float, agent_busy: bool) -> list[OverlapDecision]:
        """Takes the next window's speech probability; ``at_s`` is when its audio ended.

        ``agent_busy``: the agent is answering.
        """
        self._forget()
        if probability >= self._settings.vad_confidence:
            if not self._run_s and not self._held:
                self._onset_s = at_s - self._window_s
            self._run_s += self._window_s
            self._voiced_s += self._window_s
            self._silence_s = 0.0
        else:
            self._run_s = 0.0
            self._silence_s += self._window_s
        sure = probability >= self._settings.sure_confidence
        self._sure_run_s = self._sure_run_s + self._window_s if sure else 0.0
        if not agent_busy:
            return self._agent_is_quiet()
        if self._held:
            self._held_s += self._window_s
            return self._hold_on()
        if self._meant:
            # Until the answer is gone.
            return []
        return self._maybe_begin()

    def words(self, overlap: int, text: str, at_s: float) -> list[OverlapDecision]:
        """Takes what was recognised; words of overlaps that are decided are ignored."""
        if not self._held or overlap != self._overlap:
            return []
        self._unanswered -= 1
        if text.strip() and not is_backchannel(text):
            return self._barge()
        self._so_far = Why.BACKCHANNEL if text.strip() else Why.NO_WORDS
        return self._maybe_end()

    def agent_stopped(self) -> None:
        """The answer is gone, for whatever reason: the next one can be interrupted anew."""
        self._held = self._meant = False
        self._run_s = self._sure_run_s = 0.0

    def _maybe_begin(self) -> list[OverlapDecision]:
        settings = self._settings
        wary_s = self._in_vain * settings.wary_s
        if not (
            self._reaches(self._run_s, settings.start_s + wary_s)
            or self._reaches(self._sure_run_s, settings.sure_s + wary_s)
        ):
            return []
        self._overlap += 1
        self._held, self._asked_at_s, self._unanswered, self._so_far = True, 0.0, 0, None
        # A voice that was there before the agent began counts for a part only.
        self._voiced_s = min(self._run_s, settings.ask_s)
        self._held_s = 0.0
        return [OverlapBegan(self._overlap, self._onset_s), *self._hold_on()]

    def _hold_on(self) -> list[OverlapDecision]:
        settings = self._settings
        if self._paused and self._voiced_s < settings.short_s - self._window_s / 2:
            return self._end(Why.SHORT)
        if self._reaches(self._voiced_s, settings.meant_s) and self._believes_voice:
            return self._barge()
        if self._reaches(self._held_s, settings.hold_s):
            return self._end(Why.UNDECIDED)
        if self._ask_now():
            self._asked_at_s = self._voiced_s
            self._unanswered += 1
            return [WordsWanted(self._overlap)]
        return self._maybe_end()

    def _ask_now(self) -> bool:
        """After each ``ask_s`` of voice, and at its end where more was said since."""
        if self._paused:
            return not self._asked_at_s or self._voiced_s > self._asked_at_s
        return self._reaches(self._voiced_s, self._asked_at_s + self._settings.ask_s)

    def _maybe_end(self) -> list[OverlapDecision]:
        """Words that do not interrupt count once all were heard."""
        heard_all = self._paused and not self._unanswered and self._voiced_s <= self._asked_at_s
        return self._end(self._so_far) if heard_all and self._so_far is not None else []

    @property
    def _believes_voice(self) -> bool:
        """Whether a long voice is enough by itself: nobody has listened to its words yet, and the
        last holds were not in vain."""
        return self._so_far is None and self._in_vain < NOISY

    @property
    def _paused(self) -> bool:
        return self._reaches(self._silence_s, self._settings.pause_s)

    def _reaches(self, counted_s: float, wanted_s: float) -> bool:
        # To the nearest window.
        return counted_s >= wanted_s - self._window_s / 2

    def _barge(self) -> list[OverlapDecision]:
        self._held, self._meant = False, True
        self._in_vain = 0
        return [BargedIn(self._overlap, self._onset_s)]

    def _end(self, why: Why) -> list[OverlapDecision]:
        self._held = False
        self._run_s = self._sure_run_s = 0.0
        self._in_vain = min(self._in_vain + 1, self._settings.most_wary)
        self._calm_s = 0.0
        return [OverlapEnded(self._overlap, why)]

    def _agent_is_quiet(self) -> list[OverlapDecision]:
        self._meant = False
        if not self._held:
            return []
        self._held = False
        return [OverlapEnded(self._overlap, Why.UNDECIDED)]

    def _forget(self) -> None:
        self._calm_s += self._window_s
        if self._in_vain and self._calm_s >= self._settings.forget_s:
            self._in_vain -= 1
            self._calm_s = 0.0
