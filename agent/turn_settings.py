"""Thresholds of turn taking."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TurnSettings:
    """Thresholds; see ``[turn]`` in the configuration."""

    vad_confidence: float = 0.6
    start_s: float = 0.1
    decode_after_s: float = 0.064
    stop_s: float = 0.16
    complete_probability: float = 0.5
    patience: float = 1.0
    max_wait_s: float = 1.4
    min_speech_s: float = 0.25
    max_turn_s: float = 30.0
