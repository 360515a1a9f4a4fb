"""Rules to compare the box's own with: the turn model alone, and a fixed silence."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from agent.patience import Evidence, Rule, wait_s
from agent.turn_settings import TurnSettings
from latency_bench.endpointing.replay import Asks

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
    asks: Asks = "turn model and words"
    """Without words what is too short for speech is dropped."""


def contenders(shipped: TurnSettings) -> list[Contender]:
    """The box's rule as ``shipped`` sets it, and what to compare it with."""
    patience = tuple(sorted({0.5, 1.0, 1.5, 2.0, shipped.patience}))

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
            (0.3, 0.5, 0.9, 0.97),
            0.5,
            sure,
            asks="turn model",
        ),
        Contender(
            "fixed silence",
            fixed_silence,
            "seconds",
            (0.3, 0.5, 0.8, 1.0, 1.2),
            None,
            silent,
            asks="nobody",
        ),
    ]
