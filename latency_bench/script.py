"""What the caller does next, decided from what it hears. Pure: time is an argument."""

from dataclasses import dataclass
from enum import Enum, auto

LIVE_THRESHOLD_DBFS = -50.0
"""A received frame over this is taken for speech, unless the line itself is that loud."""
OVER_FLOOR_DB = 12.0
FLOOR_RISE_DB_PER_S = 3.0


@dataclass(frozen=True, slots=True)
class Pace:
    """How patient the caller is."""

    greeting_silence_s: float = 0.7
    """Silence after the agent's voice that ends the greeting."""
    greeting_limit_s: float = 6.0
    """An agent that says nothing by then has no greeting."""
    answer_silence_s: float = 1.0
    """Silence after the agent's voice that ends an answer: clauses may lie apart."""
    answer_limit_s: float = 10.0
    """No voice by then after the question: the turn is missed."""
    held_silence_s: float = 5.0
    """The same where the agent says that it is still speaking: a busy one may stall."""
    listen_limit_s: float = 30.0
    """An answer longer than this is talked over."""
    pause_s: float = 0.3
    """Between the end of an answer and the next question."""


class Action(Enum):
    """What the shell has to do now."""

    SPEAK = auto()
    """Begin to send the utterance ``CallerScript.turn``."""
    HANG_UP = auto()


class Phase(Enum):
    """Where the call is."""

    GREETING = auto()
    PAUSE = auto()
    SPEAKING = auto()
    WAITING = auto()
    LISTENING = auto()
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


class CallerScript:
    """Greeting, then each utterance in turn after the answer before it has ended.

    With no utterance the caller stays silent until the shell's limit: ``turns=0``.
    """

    def __init__(self, turns: int, pace: Pace | None = None) -> None:
        self.turn = 0
        """The utterance to speak next or being spoken, from 0."""
        self.phase = Phase.GREETING
        self.missed: list[int] = []
        """Utterances that got no voice back in time."""
        self._turns = turns
        self._pace = pace or Pace()
        self._gate = VoiceGate()
        self._since_s: float | None = None
        self._last_voice_s: float | None = None
        self._agent_speaking = False

    def told(self, agent_speaking: bool) -> None:
        """Takes the agent's own word, where it gives one, on whether it is speaking.

        It only keeps the caller from talking into a stalled answer; nothing is measured by it.
        """
        self._agent_speaking = agent_speaking

    def hear(self, level_dbfs: float, now_s: float) -> None:
        """Takes the level of one received frame at its arrival time."""
        if self._gate.voiced(level_dbfs, now_s):
            self._last_voice_s = now_s
            if self.phase is Phase.WAITING:
                self._enter(Phase.LISTENING, now_s)

    def spoken(self, now_s: float) -> None:
        """The last voiced sample of the current utterance has been sent."""
        self._enter(Phase.WAITING, now_s)

    def step(self, now_s: float) -> Action | None:
        """What to do at ``now_s``; call it with every frame sent."""
        if self._since_s is None:
            self._since_s = now_s
        pace, waited_s = self._pace, now_s - self._since_s
        match self.phase:
            case Phase.GREETING if self._turns:
                if self._silent_for(pace.greeting_silence_s, now_s) or (
                    self._last_voice_s is None and waited_s >= pace.greeting_limit_s
                ):
                    self._enter(Phase.PAUSE, now_s)
            case Phase.PAUSE if waited_s >= pace.pause_s:
                self._enter(Phase.SPEAKING, now_s)
                return Action.SPEAK
            case Phase.WAITING if waited_s >= pace.answer_limit_s:
                self.missed.append(self.turn)
                return self._next(now_s)
            case Phase.LISTENING:
                ended = self._silent_for(pace.answer_silence_s, now_s)
                if ended or waited_s >= pace.listen_limit_s:
                    return self._next(now_s)
            case _:
                pass
        return None

    def _silent_for(self, silence_s: float, now_s: float) -> bool:
        if self._last_voice_s is None:
            return False
        if self._agent_speaking:
            silence_s = max(silence_s, self._pace.held_silence_s)
        return now_s - self._last_voice_s >= silence_s

    def _next(self, now_s: float) -> Action | None:
        self.turn += 1
        if self.turn >= self._turns:
            self._enter(Phase.DONE, now_s)
            return Action.HANG_UP
        self._enter(Phase.PAUSE, now_s)
        return None

    def _enter(self, phase: Phase, now_s: float) -> None:
        self.phase = phase
        self._since_s = now_s
