"""What becomes of a turn that began over the speaking agent: decisions in, decisions out. Pure.

The turn taker hears an overlap as it hears any speech. Such a turn is the caller's only where he
meant it, so its end is kept back until its overlap is decided; then

- after ``BargedIn`` it is a turn as any other, however short it was;
- after a cough or noise it is dropped (``SpeechDropped``);
- after a backchannel it is dropped too, unless the agent's answer ends within ``ANSWER_S``:
  then "yes" was the reply, given a little early, and ends as a turn;
- undecided (the recogniser was too slow), or too faint for a hold in a noisy room, it ends as a
  turn: whoever hears it lets its words decide, with `agent.backchannel`.
"""

from agent.barge_in import BargedIn, OverlapBegan, OverlapDecision, OverlapEnded, Why
from agent.quiet_fall import FellQuiet
from agent.turn_taking import (
    Decision,
    PauseBegan,
    SpeechDropped,
    SpeechStarted,
    TurnEnded,
)

ANSWER_S = 1.0
"""An acknowledgement this short a time before the agent's last sound is its answer."""

Heard = Decision | OverlapDecision | FellQuiet


class OverlappedTurn:
    """Sifts the decisions of one caller's turn taker by those on his overlaps."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._meant = True
        self._interrupted = False
        self._held = False
        self._why: Why | None = None
        self._since_s = 0.0
        self._speech_end_s = 0.0
        self._kept: TurnEnded | None = None

    def window(
        self,
        overlaps: list[OverlapDecision],
        decisions: list[Decision],
        *,
        voiced: bool,
        agent_busy: bool,
    ) -> list[Heard]:
        """What one window led to, in order."""
        self._since_s += self._window_s
        out = self.sift(overlaps, decisions, agent_busy)
        if voiced and not agent_busy:
            self._meant = True
        if self._kept is not None and not self._held:
            if not agent_busy:
                out += self._release()
            elif self._since_s >= ANSWER_S:
                out += self._drop_kept()
        return out

    def agent_stopped(self) -> None:
        """The answer is gone: nothing is held over it any more."""
        self._held = False

    def sift(
        self, overlaps: list[OverlapDecision], decisions: list[Decision], agent_busy: bool
    ) -> list[Heard]:
        """The same for decisions that come between two windows."""
        out: list[Heard] = []
        for overlap in overlaps:
            out += self._overlap(overlap)
        for decision in decisions:
            out += self._turn(decision, agent_busy)
        return out

    def _overlap(self, decision: OverlapDecision) -> list[Heard]:
        match decision:
            case OverlapBegan():
                dropped = self._drop_kept()
                self._held, self._why = True, None
                return [*dropped, decision]
            case OverlapEnded(why=why):
                self._held, self._why, self._since_s = False, why, 0.0
                if why is Why.UNDECIDED:
                    return [decision, *self._release()]
                return [decision, *([] if why is Why.BACKCHANNEL else self._drop_kept())]
            case BargedIn():
                self._held, self._meant, self._interrupted = False, True, True
                return [decision, *self._release()]
            case _:
                return [decision]

    def _turn(self, decision: Decision, agent_busy: bool) -> list[Heard]:
        match decision:
            case SpeechStarted():
                dropped = self._drop_kept()
                self._meant, self._interrupted = not agent_busy, False
                if not self._held:
                    self._why = None
                return [*dropped, decision]
            case PauseBegan(speech_end_s=speech_end_s):
                self._speech_end_s = speech_end_s
                # Nobody needs the words of a cough.
                return [] if not self._meant and self._why is Why.SHORT else [decision]
            case TurnEnded():
                return self._ended(decision)
            case SpeechDropped(pause=pause) if self._interrupted:
                return [TurnEnded(pause, self._speech_end_s, self._speech_end_s, None)]
            case _:
                return [decision]

    def _ended(self, ended: TurnEnded) -> list[Heard]:
        if self._meant or self._why is Why.UNDECIDED:
            return [ended]
        if self._held or (self._why is Why.BACKCHANNEL and self._since_s < ANSWER_S):
            self._kept = ended
            return []
        return [ended] if self._why is None else [SpeechDropped(ended.pause)]

    def _release(self) -> list[Heard]:
        kept, self._kept = self._kept, None
        return [] if kept is None else [kept]

    def _drop_kept(self) -> list[Heard]:
        kept, self._kept = self._kept, None
        return [] if kept is None else [SpeechDropped(kept.pause)]
