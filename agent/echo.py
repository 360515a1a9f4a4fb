"""Is what comes from the caller the agent's own voice, come back? Pure; time is an argument."""

import numpy as np
from numpy.typing import NDArray


class EchoDetector:
    """Follows one call; feed it what goes out and what comes in."""

    def __init__(self, rate_hz: int) -> None:
        self.rate_hz = rate_hz

    def played(self, pcm: NDArray[np.int16], at_s: float) -> None:
        """Takes what goes out, shape (samples,), as it goes: ``at_s``."""

    def heard(self, window: NDArray[np.int16], at_s: float) -> bool:
        """Takes what came in, shape (samples,), its end at ``at_s``; whether it is all echo."""
        return False
