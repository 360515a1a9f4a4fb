"""What every speech synthesiser offers."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class AudioChunk:
    """A piece of speech, in order."""

    pcm: NDArray[np.int16]
    """Mono, shape (samples,), at the synthesiser's ``sample_rate_hz``."""
    busy_s: float
    """Seconds of processor time that this chunk cost."""


class SpeechSynthesizer(Protocol):
    """Turns clauses into audio. Loaded once a process; safe to call from many threads."""

    name: str
    device: str
    sample_rate_hz: int

    def synthesize(self, text: str, ahead_s: float = 0.0) -> Iterator[AudioChunk]:
        """Yields the clause's audio; each ``next()`` blocks until its chunk is made.

        ``ahead_s``: seconds of speech still to be played before this clause is due. With 0 the
        first chunk is small and comes soon; with more, chunks may be larger and cheaper.
        A caller that stops iterating (barge-in) stops the work with it.
        Raises EngineError when the engine fails. Empty text yields nothing.
        """
        ...

    def close(self) -> None:
        """Frees the model."""
        ...
