"""What every speech recogniser offers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Utterance = tuple[NDArray[np.int16], int]
"""Mono PCM16, shape (samples,), and its rate in Hz."""


class NotWanted(Exception):
    """A decode was left undone, since its words were not wanted any more."""


def always() -> bool:
    """Says that words are wanted."""
    return True


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
    """Seconds that the engine was occupied; of a batch, this utterance's share."""


class SpeechRecognizer(Protocol):
    """Turns one utterance into text. Loaded once a process; safe to call from many threads."""

    name: str
    device: str
    """``cpu`` or ``cuda``."""

    def transcribe(
        self, pcm: NDArray[np.int16], sample_rate_hz: int, *, wanted: Callable[[], bool] = always
    ) -> Transcript:
        """Blocks until decoded. ``pcm``: mono, shape (samples,), at any usual rate.

        ``wanted`` is asked before each piece of work; raises NotWanted once it says no.
        Raises EngineError when the engine fails; never returns partial text.
        """
        ...

    def transcribe_batch(self, utterances: Sequence[Utterance]) -> list[Transcript]:
        """Blocks until all are decoded; in order, each as ``transcribe`` alone would say it.

        Cheaper together than one by one, but the first is only had with the last. Raises
        EngineError when the engine fails, for all of them.
        """
        ...

    def close(self) -> None:
        """Frees the model."""
        ...
