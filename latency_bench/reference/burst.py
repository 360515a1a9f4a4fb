"""A sound whose first and last samples are known, and where it lies in what came. Pure.

A sweep begins and ends at its full level, so that its ends are voiced to the sample, and looks
like itself at one place only, so that it is found again to the sample whatever a codec does to
its edges.
"""

import numpy as np
from numpy.typing import NDArray

LOW_HZ, HIGH_HZ = 400.0, 2400.0
"""Inside what a telephone line carries."""
LEVEL = 0.3


def sweep(duration_s: float, rate_hz: int, level: float = LEVEL) -> NDArray[np.int16]:
    """A rising tone at ``level`` of full scale, int16 mono, shape (samples,)."""
    count = round(duration_s * rate_hz)
    at = np.arange(count) / max(1, count - 1)
    # A whole number of periods: it ends as high as it begins.
    periods = round((LOW_HZ + HIGH_HZ) / 2 * duration_s)
    share = LOW_HZ / (LOW_HZ + HIGH_HZ)
    turns = periods * (2 * share * at + (1 - 2 * share) * at * at)
    return np.rint(np.cos(2 * np.pi * turns) * level * 32767).astype(np.int16)


def found_at(pcm: NDArray[np.int16], sound: NDArray[np.int16], near: int, within: int) -> int:
    """The sample of ``pcm`` at which ``sound`` begins, by correlation.

    Looks ``within`` samples around ``near``; where less than that of ``pcm`` is there, around what
    is. What lies outside ``pcm`` counts as silence.
    """
    first = near - within
    padded = np.zeros(len(sound) + 2 * within, np.float64)
    begin, end = max(0, first), min(len(pcm), first + len(padded))
    padded[begin - first : max(begin, end) - first] = pcm[begin:end]
    size = 1 << (len(padded) + len(sound)).bit_length()
    spectrum = np.fft.rfft(padded, size) * np.conj(np.fft.rfft(sound.astype(np.float64), size))
    return first + int(np.argmax(np.fft.irfft(spectrum, size)[: 2 * within + 1]))
