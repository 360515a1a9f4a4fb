"""What every speech recogniser offers."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was said in one stretch of audio."""

    text: str
    """The words, as the model writes them; empty where it heard no speech."""
    language: str
    """BCP 47 tag, such as ``en``."""
    no_speech_probability: float
    """0..1: the model's belief that the audio holds no speech."""
    mean_log_probability: float
    """Mean natural-log probability of the decoded tokens; 0 is certain."""
    tokens: int
    """Tokens decoded."""
    busy_s: float
    """Seconds of processor time that the engine was occupied."""


class SpeechRecognizer(Protocol):
    """Turns one utterance into text. Loaded once a process; safe to call from many threads."""

    name: str
    device: str
    """``cpu`` or ``cuda``."""

    def transcribe(self, pcm: NDArray[np.int16], sample_rate_hz: int) -> Transcript:
        """Blocks until decoded. ``pcm``: mono, shape (samples,), at any usual rate.

        Raises EngineError when the engine fails; never returns partial text.
        """
        ...

    def close(self) -> None:
        """Frees the model."""
        ...
