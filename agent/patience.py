"""How long a silence must last before it ends the turn, on what is known of it. Pure.

Each piece of evidence adds to, or takes from, the log odds that the caller has finished: the turn
model's word, how the transcript ends, and what the agent had asked for. The silence asked for
grows from ``stop_s`` to ``max_wait_s`` with the doubt that is left, so that more evidence of an
end never makes the caller wait longer. Weights: docs/turn-taking.md.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from agent.ending import Ending, EndingKind
from agent.expected_answer import ExpectedAnswer
from agent.turn_settings import TurnSettings


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a pause. None: not yet."""

    complete_probability: float | None = None
    """The turn model's word, 0..1."""
    ending: Ending | None = None
    expected: ExpectedAnswer = ExpectedAnswer.OPEN


Rule = Callable[[Evidence, TurnSettings], float]
"""The silence, in seconds, that the evidence asks for."""


SILENCE = -1.0
"""That the caller has paused at all says little: most pauses are followed by more."""
SOUND = 1.05
"""For each unit of the turn model's own log odds over those of ``complete_probability``."""
SUREST = 4.0
"""The turn model's log odds are taken to be no further from even."""
UNJUDGED = -1.0
UNHEARD = -1.0
"""The turn model's word, or the transcript, has not come; nor would ending the turn help before
the transcript has."""
ENDINGS: Mapping[EndingKind, float] = {
    EndingKind.NOTHING: 0.0,
    EndingKind.UNKNOWN: 0.0,
    EndingKind.LEADS_ON: -4.0,
    EndingKind.OPEN: -3.5,
    EndingKind.NUMBER: 0.8,
    EndingKind.SENTENCE: 0.0,
    EndingKind.QUESTION: 0.0,
    EndingKind.SHORT_ANSWER: 4.0,
}
PARTLY_TOLD = -2.5
TOLD = 2.5
"""A number of fewer symbols than was asked for, or of as many."""
SYMBOLS = {ExpectedAnswer.PHONE_NUMBER: 7, ExpectedAnswer.NUMBER: 4}
"""Symbols from which such a number may be whole."""
SPELT = -1.0
"""Letters are told in groups, and nobody knows how many there are; so are the parts of an
address."""
YES_OR_NO = 0.5
"""Few go on after the answer to such a question."""


def wait_s(evidence: Evidence, settings: TurnSettings) -> float:
    """The silence that ends the turn, ``stop_s`` to ``max_wait_s``."""
    doubt = 1 / (1 + math.exp(completeness(evidence, settings)))
    longest_s = settings.max_wait_s - settings.stop_s
    return min(settings.max_wait_s, settings.stop_s + settings.patience * doubt * longest_s)


def completeness(evidence: Evidence, settings: TurnSettings) -> float:
    """Log odds that the caller has finished."""
    return (
        SILENCE
        + _of_sound(evidence.complete_probability, settings.complete_probability)
        + _of_words(evidence.ending, evidence.expected)
    )


def pooled(probabilities: Sequence[float]) -> float | None:
    """One probability of several on the same question: the mean of their log odds."""
    if not probabilities:
        return None
    odds = sum(_log_odds(probability) for probability in probabilities) / len(probabilities)
    return 1 / (1 + math.exp(-odds))


def _of_sound(probability: float | None, even: float) -> float:
    if probability is None:
        return UNJUDGED
    return SOUND * (_log_odds(probability) - _log_odds(even))


def _of_words(ending: Ending | None, expected: ExpectedAnswer) -> float:
    if ending is None:
        return UNHEARD
    odds = ENDINGS[ending.kind]
    number = ending.kind is EndingKind.NUMBER
    match expected:
        case ExpectedAnswer.PHONE_NUMBER | ExpectedAnswer.NUMBER if number:
            odds += TOLD if ending.symbols >= SYMBOLS[expected] else PARTLY_TOLD
        case ExpectedAnswer.SPELLING if number:
            odds += SPELT
        case ExpectedAnswer.ADDRESS:
            odds += SPELT
        case ExpectedAnswer.YES_NO:
            odds += YES_OR_NO
        case _:
            pass
    return odds


def _log_odds(probability: float) -> float:
    if not 0 < probability < 1:
        return math.copysign(SUREST, probability - 0.5)
    return max(-SUREST, min(SUREST, math.log(probability / (1 - probability))))
