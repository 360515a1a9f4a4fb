"""Rate conversion by whole factors, two milliseconds late at most.

soxr's streams hold back and give in blocks: up to 38 ms between 16 and 48 kHz, up to 118 ms
between 8 and 16 kHz, in each direction. The rates of telephone codecs divide one another, so
that one short filter does (windowed sinc, in its polyphase form). Pure.
"""

from functools import cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

TAPS = 32
"""Of each phase, at the lower rate. Half of them are the delay: 1 ms at 16 kHz."""
KAISER_BETA = 7.0
"""About 70 dB of attenuation."""
CUT = 0.88
"""Where 6 dB are gone, as a part of half the lower rate; almost nothing is left at 1."""


class Resampler:
    """One direction of one call: PCM16 mono, in pieces of any length."""

    def __init__(self, from_hz: int, to_hz: int) -> None:
        """Raises ValueError where neither rate is a multiple of the other."""
        self._factor, rest = divmod(max(from_hz, to_hz), min(from_hz, to_hz))
        if rest:
            raise ValueError(f"{from_hz} and {to_hz} Hz do not divide one another")
        self._down = from_hz > to_hz
        taps = _low_pass(self._factor)
        self._filter = (
            taps / self._factor
            if self._down
            else np.ascontiguousarray(taps.reshape(TAPS, self._factor)[::-1])
        )
        # Silence came before the first sample.
        self._kept: NDArray[np.float32] = np.zeros(len(self._filter) - 1, np.float32)

    def resample(self, samples: NDArray[np.int16]) -> NDArray[np.int16]:
        """What ``samples`` add to the stream at the other rate; perhaps nothing yet."""
        stream = np.concatenate([self._kept, samples.astype(np.float32)])
        step = self._factor if self._down else 1
        count = max(0, (len(stream) - len(self._filter)) // step + 1)
        self._kept = stream[count * step :]
        if not count:
            return np.empty(0, np.int16)
        # Copied, for the product of strided windows is several times slower.
        windows = np.ascontiguousarray(
            sliding_window_view(stream, len(self._filter))[::step][:count]
        )
        made = np.rint((windows @ self._filter).reshape(-1))
        pcm: NDArray[np.int16] = np.clip(made, -32768, 32767).astype(np.int16)
        return pcm


@cache
def _low_pass(factor: int) -> NDArray[np.float32]:
    """A symmetric filter at the higher rate; each of its ``factor`` phases sums to 1."""
    length = TAPS * factor
    at = (np.arange(length) - (length - 1) / 2) / factor
    phases = (np.sinc(CUT * at) * np.kaiser(length, KAISER_BETA)).reshape(TAPS, factor)
    taps: NDArray[np.float32] = (phases / phases.sum(axis=0)).reshape(-1).astype(np.float32)
    return taps
