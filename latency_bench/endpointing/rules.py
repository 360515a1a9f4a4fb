"""Rules to compare the box's own with: the turn model alone, and a fixed silence."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from agent.patience import Evidence, Rule, wait_s
from agent.turn_settings import TurnSettings

STOP_S = 0.2
MAX_WAIT_S = 1.5
DECODE_AFTER_S = 0.096
"""What Pipecat and this box began with: the turn model is asked after so much silence."""


def turn_model_alone(evidence: Evidence, settings: TurnSettings) -> float:
    """Over once the turn model says so, else after the longest wait."""
    probability = evidence.complete_probability
    if probability is not None and probability >= settings.complete_probability:
        return settings.stop_s
    return settings.max_wait_s


def fixed_silence(evidence: Evidence, settings: TurnSettings) -> float:
    """Over after ``stop_s``, whatever was said."""
    return settings.stop_s


@dataclass(frozen=True, slots=True)
class Contender:
    """A rule, and the knob that makes it more patient."""

    name: str
    rule: Rule
    knob: str
    values: tuple[float, ...]
    shipped: float | None
    """The value that is, or was, used; None where no one is."""
    settings: Callable[[TurnSettings, float], TurnSettings]
    """The box's settings with the knob at a value."""
    expecting: bool = True
    """Knows what the agent had asked for."""
    with_words: bool = True
    """Takes transcripts, and asks the turn model again; one that does not drops what is too short
    for speech."""


def contenders(shipped: TurnSettings) -> list[Contender]:
    """The box's rule as ``shipped`` sets it, and what to compare it with."""
    patience = tuple(sorted({0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, shipped.patience}))

    def patient(settings: TurnSettings, value: float) -> TurnSettings:
        return replace(settings, patience=value)

    def sure(settings: TurnSettings, value: float) -> TurnSettings:
        return replace(
            settings,
            stop_s=STOP_S,
            max_wait_s=MAX_WAIT_S,
            decode_after_s=DECODE_AFTER_S,
            complete_probability=value,
        )

    def silent(settings: TurnSettings, value: float) -> TurnSettings:
        return replace(settings, stop_s=value, decode_after_s=DECODE_AFTER_S)

    return [
        Contender("this box", wait_s, "patience", patience, shipped.patience, patient),
        Contender(
            "this box, not knowing what was asked",
            wait_s,
            "patience",
            patience,
            None,
            patient,
            expecting=False,
        ),
        Contender(
            "turn model alone",
            turn_model_alone,
            "complete_probability",
            (0.1, 0.3, 0.5, 0.7, 0.9, 0.95, 0.98),
            0.5,
            sure,
            with_words=False,
        ),
        Contender(
            "fixed silence",
            fixed_silence,
            "seconds",
            (0.2, 0.3, 0.5, 0.7, 0.8, 1.0, 1.2),
            None,
            silent,
            with_words=False,
        ),
    ]
