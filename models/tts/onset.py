"""Where a voice's audio begins to be heard.

A synthesised clause opens with some tens of milliseconds of silence, which a caller who waits
for an answer hears as waiting. Inside an answer the same silence is a natural pause.
"""

import numpy as np
from numpy.typing import NDArray

HEARD_PEAK = 48
"""Of 32,767, -57 dBFS: under it are a voice's idle noise and no phoneme's beginning. A weak
"f" or "th" opens at 60 to 150."""
KEEP_S = 0.01
LIMIT_S = 0.3


class LeadingSilence:
    """Swallows the silence before a stream's first sound. For one stream, from one thread.

    What is kept of it, ``keep_s``, fades in, so that the cut does not click. No more than
    ``limit_s`` is ever swallowed: a longer silence is meant.
    """

    def __init__(
        self, sample_rate_hz: int, keep_s: float = KEEP_S, limit_s: float = LIMIT_S
    ) -> None:
        if sample_rate_hz <= 0 or keep_s < 0 or limit_s < 0:
            raise ValueError(f"no such silence: {sample_rate_hz} Hz, {keep_s} s, {limit_s} s")
        self._keep = round(keep_s * sample_rate_hz)
        self._limit = round(limit_s * sample_rate_hz)
        self._held = np.zeros(0, np.int16)
        self.swallowed = 0
        """Samples left out so far."""
        self.passed = False
        """Whether sound has begun; from then on everything goes through as it is."""

    def trim(self, pcm: NDArray[np.int16]) -> NDArray[np.int16]:
        """The next piece, shape (samples,), less what is still silence; may be empty.

        Up to ``keep_s`` of a silence that still lasts is held back for the next call.
        """
        if self.passed:
            return pcm
        silence = np.concatenate([self._held, pcm])
        # In 32 bits: -32,768 has no positive counterpart in 16.
        heard = np.flatnonzero(np.abs(silence.astype(np.int32)) >= HEARD_PEAK)
        quiet = int(heard[0]) if heard.size else silence.size
        cut = min(max(0, quiet - self._keep), self._limit - self.swallowed)
        self.swallowed += cut
        rest = silence[cut:]
        if not heard.size and self.swallowed < self._limit:
            self._held = rest
            return rest[:0]
        self.passed = True
        self._held = rest[:0]
        return _faded_in(rest, min(quiet - cut, self._keep)) if self.swallowed else rest


def without_leading_silence(
    pcm: NDArray[np.int16], sample_rate_hz: int, keep_s: float = KEEP_S
) -> NDArray[np.int16]:
    """One whole piece of speech, shape (samples,), less the silence before its first sound.

    ``keep_s`` of the silence stays and fades in. Silence alone comes back as it is.
    """
    trimmed = LeadingSilence(sample_rate_hz, keep_s, pcm.size / sample_rate_hz).trim(pcm)
    return trimmed if trimmed.size else pcm


def _faded_in(pcm: NDArray[np.int16], samples: int) -> NDArray[np.int16]:
    if not samples:
        return pcm
    gain = np.arange(1, samples + 1, dtype=np.float32) / (samples + 1)
    faded: NDArray[np.int16] = pcm.copy()
    faded[:samples] = np.rint(pcm[:samples] * gain).astype(np.int16)
    return faded
