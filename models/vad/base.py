"""What every voice activity detector offers."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class VoiceStream(Protocol):
    """One caller's detector state."""

    window_samples: int
    """Samples each ``speech_probability`` call takes."""

    def speech_probability(self, window: NDArray[np.int16]) -> float:
        """0..1 for one window of mono audio, shape (window_samples,)."""
        ...

    def reset(self) -> None:
        """Forgets what was heard."""
        ...


class VoiceDetector(Protocol):
    """The model, loaded once a process; each call opens a stream of its own."""

    name: str

    def open(self, sample_rate_hz: int) -> VoiceStream:
        """A new stream. Raises ValueError for a rate other than 8000 or 16000 Hz."""
        ...
