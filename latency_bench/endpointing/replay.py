"""A rule of turn taking over known utterances, on simulated time; quick, so it can be swept."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from agent.ear import PRE_ROLL_S
from agent.expected_answer import ExpectedAnswer
from agent.patience import Rule
from agent.turn_taking import (
    Decision,
    JudgeAgain,
    PauseBegan,
    SpeechDropped,
    SpeechResumed,
    TurnEnded,
    TurnSettings,
    TurnTaker,
)
from latency_bench.endpointing.remembered import Remembered
from latency_bench.endpointing.trace import TOLERANCE_S, Trace

JUDGE_S = 0.06
WORDS_S = 0.12
"""When the turn model's word and the transcript come after they were asked for: what they take
on two cores of which one call uses its share."""


Asks = Literal["turn model and words", "turn model", "nobody"]


@dataclass(frozen=True, slots=True)
class Delays:
    """Seconds from a pause's beginning to the engines' words on it."""

    judge_s: float = JUDGE_S
    words_s: float = WORDS_S


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a rule made of one utterance. Seconds."""

    trace: Trace
    cut: tuple[bool, ...]
    """Of each of its pauses, whether the turn was ended in it."""
    elsewhere: int
    """Turns ended while the speaker was speaking."""
    wait_s: float | None
    """From the last voiced sample to the decision; None where none came."""


def replay(
    trace: Trace,
    engines: Remembered,
    settings: TurnSettings,
    rule: Rule,
    delays: Delays,
    *,
    expecting: bool = True,
    asks: Asks = "turn model and words",
) -> Outcome:
    """One utterance, window by window.

    ``expecting``: the agent had asked for what is said. ``asks``: which engines
    are asked; only with words is the turn model asked again.
    """
    expected = trace.expected if expecting else ExpectedAnswer.OPEN
    ends = _Replay(trace, engines, settings, rule, delays, expected, asks).ends()
    over_s = trace.over_s - TOLERANCE_S
    cut = tuple(
        any(pause.begin_s <= end_s <= pause.end_s + TOLERANCE_S for end_s in ends)
        for pause in trace.pauses
    )
    early = [end_s for end_s in ends if end_s < over_s]
    late = [end_s for end_s in ends if end_s >= over_s]
    return Outcome(
        trace, cut, max(0, len(early) - sum(cut)), late[0] - trace.over_s if late else None
    )


class _Replay:
    """One turn taker over one trace; keeps the utterance as the box's ear does."""

    def __init__(
        self,
        trace: Trace,
        engines: Remembered,
        settings: TurnSettings,
        rule: Rule,
        delays: Delays,
        expected: ExpectedAnswer,
        asks: Asks,
    ) -> None:
        self._trace, self._engines, self._delays = trace, engines, delays
        self._window_s = engines.window_s(trace.rate_hz)
        self._window = round(self._window_s * trace.rate_hz)
        self._taker = TurnTaker(settings, self._window_s, rule)
        self._taker.expect(expected)
        self._asks = asks
        self._first = 0
        """Window at which the utterance under way begins."""
        self._heard = 0
        self._due: list[tuple[float, str, int, NDArray[np.int16]]] = []
        self._ends: list[float] = []

    def ends(self) -> list[float]:
        """When turns ended, in order."""
        for probability in self._engines.voice(self._trace.pcm, self._trace.rate_hz):
            at_s = (self._heard + 1) * self._window_s
            self._answer_until(at_s)
            if not self._taker.speaking:
                kept = round(PRE_ROLL_S / self._window_s)
                self._first = max(self._first, self._heard - kept)
            self._heard += 1
            self._take(self._taker.hear(probability, at_s, False), at_s)
        return self._ends

    def _answer_until(self, at_s: float) -> None:
        while any(one[0] <= at_s for one in self._due):
            due = min(self._due, key=lambda one: one[:3])
            self._due.remove(due)
            due_s, engine, pause, pcm = due
            rate_hz = self._trace.rate_hz
            if engine == "turn":
                probability = self._engines.complete_probability(pcm, rate_hz)
                self._take(self._taker.judge(pause, probability, due_s), due_s)
            else:
                text = self._engines.words(pcm, rate_hz)
                self._take(self._taker.words(pause, text, due_s), due_s)

    def _take(self, decisions: Sequence[Decision], at_s: float) -> None:
        for decision in decisions:
            match decision:
                case PauseBegan(pause=pause):
                    pcm = self._utterance()
                    self._due = []
                    if self._asks != "nobody":
                        self._due.append((at_s + self._delays.judge_s, "turn", pause, pcm))
                    if self._asks == "turn model and words":
                        self._due.append((at_s + self._delays.words_s, "words", pause, pcm))
                case JudgeAgain(pause=pause) if self._asks == "turn model and words":
                    due_s = at_s + self._delays.judge_s
                    self._due.append((due_s, "turn", pause, self._utterance()))
                case SpeechResumed() | SpeechDropped():
                    self._due.clear()
                case TurnEnded():
                    self._due.clear()
                    self._ends.append(at_s)
                    self._first = self._heard
                case _:
                    pass

    def _utterance(self) -> NDArray[np.int16]:
        return self._trace.pcm[self._first * self._window : self._heard * self._window]
