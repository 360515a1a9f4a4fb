"""Silero voice activity detection, one session for all callers."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.onnx_session import open_session

_WINDOW_SAMPLES = {8000: 256, 16000: 512}
_CONTEXT_SAMPLES = {8000: 32, 16000: 64}

# Music and long noise leave the recurrent state unable to hear the speech that follows, so it
# is cleared this often; but never near speech, where a cleared state loses confidence for a
# few hundred milliseconds: only after a run of windows that are clearly not speech.
_RESET_INTERVAL_S = 2.0
_QUIET_PROBABILITY = 0.1
_QUIET_WINDOWS = 5


class Silero:
    """The model. A window is 256 samples at 8 kHz and 512 at 16 kHz: 32 ms."""

    name = "silero"

    def __init__(self, path: Path) -> None:
        self._session = open_session(path, device="cpu", threads=1)

    def open(self, sample_rate_hz: int) -> "SileroStream":
        """A new stream. Raises ValueError for a rate other than 8000 or 16000 Hz."""
        if sample_rate_hz not in _WINDOW_SAMPLES:
            raise ValueError(f"Silero hears 8000 or 16000 Hz, not {sample_rate_hz} Hz")
        return SileroStream(self, sample_rate_hz)

    def run(
        self, window: NDArray[np.float32], state: NDArray[np.float32], sample_rate_hz: int
    ) -> tuple[float, NDArray[np.float32]]:
        """One step. ``window``: (1, context + window samples); ``state``: (2, 1, 128)."""
        rate = np.array(sample_rate_hz, dtype=np.int64)
        probability, after = self._session.run(None, {"input": window, "state": state, "sr": rate})
        return float(probability[0, 0]), after


class SileroStream:
    """One caller's state. Not for two threads at once."""

    def __init__(self, model: Silero, sample_rate_hz: int) -> None:
        self._model = model
        self._sample_rate_hz = sample_rate_hz
        self.window_samples = _WINDOW_SAMPLES[sample_rate_hz]
        self._reset_windows = round(_RESET_INTERVAL_S * sample_rate_hz / self.window_samples)
        self._buffer: NDArray[np.float32]
        self._state: NDArray[np.float32]
        self.reset()

    def speech_probability(self, window: NDArray[np.int16]) -> float:
        """0..1 for one window, shape (window_samples,). Raises ValueError for another shape."""
        if window.shape != (self.window_samples,):
            raise ValueError(f"a window is ({self.window_samples},) samples, not {window.shape}")
        context = self._buffer.shape[1] - self.window_samples
        self._buffer[0, :context] = self._buffer[0, -context:]
        self._buffer[0, context:] = window
        self._buffer[0, context:] /= 32768.0
        probability, self._state = self._model.run(self._buffer, self._state, self._sample_rate_hz)
        self._reset_when_quiet(probability)
        return probability

    def reset(self) -> None:
        """Forgets what was heard."""
        context = _CONTEXT_SAMPLES[self._sample_rate_hz]
        self._buffer = np.zeros((1, context + self.window_samples), dtype=np.float32)
        self._state = np.zeros((2, 1, 128), dtype=np.float32)
        self._windows = 0
        self._quiet_windows = 0

    def _reset_when_quiet(self, probability: float) -> None:
        self._windows += 1
        self._quiet_windows = self._quiet_windows + 1 if probability < _QUIET_PROBABILITY else 0
        if self._windows >= self._reset_windows and self._quiet_windows >= _QUIET_WINDOWS:
            self.reset()
