"""Whisper's input: log-mel frames of 10 ms, computed of the sound alone.

faster-whisper's own extractor also transforms the silence that fills the window, and its matrix
product wakes a second BLAS thread which then spins: as much processor time again.
"""

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE_HZ = 16000
HOP_SAMPLES = 160
_FFT_SAMPLES = 400
_LOWEST = 1e-10
_RANGE = 8.0
_HALF = _FFT_SAMPLES // 2


class LogMel:
    """``filters``: the mel filter bank, float32, shape (mels, 201)."""

    def __init__(self, filters: NDArray[np.float32]) -> None:
        # A filter covers a few neighbouring bins, 391 of 16,080 weights in all.
        self._spans = [
            (int(used[0]), int(used[-1]) + 1) if (used := np.flatnonzero(row)).size else (0, 1)
            for row in filters
        ]
        self._weights = [
            np.ascontiguousarray(row[first:last])
            for row, (first, last) in zip(filters, self._spans, strict=True)
        ]
        self._window = np.hanning(_FFT_SAMPLES + 1)[:-1].astype(np.float32)

    def __call__(self, audio: NDArray[np.float32], frames: int) -> NDArray[np.float32]:
        """``audio``, shape (samples,), at 16 kHz, and silence up to ``frames``; (mels, frames).

        The same as Whisper's reference within float32's precision. Audio beyond ``frames`` is
        left out.
        """
        # One FFT reaches half its length past its frame's middle.
        sounding = min(frames, (audio.size + _HALF) // HOP_SAMPLES + 1)
        needed = (sounding - 1) * HOP_SAMPLES + _HALF
        audio = np.pad(audio[:needed], (0, max(0, needed - audio.size)))
        # As the reference does: the beginning is mirrored.
        mirrored = audio[1 : _HALF + 1][::-1]
        padded = np.concatenate([mirrored, audio])
        cut = np.lib.stride_tricks.sliding_window_view(padded, _FFT_SAMPLES)[::HOP_SAMPLES]
        spectrum = np.fft.rfft(cut * self._window, axis=1)
        # By bin: a filter then reads whole rows.
        power = np.ascontiguousarray((spectrum.real**2 + spectrum.imag**2).T)
        mel = np.empty((len(self._weights), frames), np.float32)
        for row, (first, last), weights in zip(mel, self._spans, self._weights, strict=True):
            np.dot(weights, power[first:last], out=row[:sounding])
        heard = mel[:, :sounding]
        np.log10(np.maximum(heard, _LOWEST, out=heard), out=heard)
        floor = heard.max() - _RANGE
        np.maximum(heard, floor, out=heard)
        mel[:, sounding:] = max(np.log10(_LOWEST), floor)
        mel += 4.0
        mel /= 4.0
        return mel
