"""What every end-of-turn model offers."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class TurnModel(Protocol):
    """Judges from sound whether a speaker has finished. Loaded once; safe from many threads."""

    name: str

    def completion_probability(self, pcm: NDArray[np.int16], sample_rate_hz: int) -> float:
        """0..1 that the turn in ``pcm`` (mono, shape (samples,)) is over. Blocks."""
        ...
