"""PCM16 on its way into a model: the rate that it wants, in one piece."""

import numpy as np
import soxr
from numpy.typing import NDArray

from models.errors import EngineError


def at_rate(pcm: NDArray[np.int16], sample_rate_hz: int, wanted_hz: int) -> NDArray[np.float32]:
    """Mono PCM16, shape (samples,), as floats of -1..1 at ``wanted_hz``.

    Resamples the whole stretch at once: a stream resampler would hold back its tail.
    Raises EngineError for anything but one channel of PCM16.
    """
    if pcm.ndim != 1 or pcm.dtype != np.int16:
        raise EngineError(f"audio must be mono PCM16, shape (samples,): {pcm.dtype} {pcm.shape}")
    if sample_rate_hz <= 0:
        raise EngineError(f"sample rate must be positive: {sample_rate_hz} Hz")
    audio = pcm.astype(np.float32) / 32768.0
    if sample_rate_hz == wanted_hz or not audio.size:
        return audio
    resampled: NDArray[np.float32] = soxr.resample(audio, sample_rate_hz, wanted_hz, quality="HQ")
    return resampled
