"""Smart Turn v3: has the speaker finished, judged from the sound of the last 8 s."""

from pathlib import Path

import numpy as np
from faster_whisper.feature_extractor import FeatureExtractor
from numpy.typing import NDArray

from models.audio import at_rate
from models.onnx_session import open_session

_SAMPLE_RATE_HZ = 16000
_SAMPLES = 8 * _SAMPLE_RATE_HZ
_VARIANCE_FLOOR = 1e-7


class SmartTurn:
    """The model. Safe from many threads."""

    name = "smart-turn-v3.2"

    def __init__(self, path: Path, threads: int = 1) -> None:
        self._session = open_session(path, device="cpu", threads=threads)
        self._extractor = FeatureExtractor(chunk_length=8)

    def completion_probability(self, pcm: NDArray[np.int16], sample_rate_hz: int) -> float:
        """0..1 that the turn in ``pcm`` (mono, shape (samples,)) is over. Blocks.

        Only the last 8 s are judged; what comes before them is not even resampled.
        """
        audio = at_rate(pcm[-8 * sample_rate_hz :], sample_rate_hz, _SAMPLE_RATE_HZ)
        features = self.features(audio)
        (probability,) = self._session.run(None, {"input_features": features[np.newaxis]})
        return float(np.ravel(probability)[0])

    def features(self, audio: NDArray[np.float32]) -> NDArray[np.float32]:
        """The model's input, shape (80, 800), of 16 kHz audio: its last 8 s, zeros before it."""
        window = np.zeros(_SAMPLES, dtype=np.float32)
        tail = audio[-_SAMPLES:]
        if tail.size:
            window[-tail.size :] = tail
        window = (window - window.mean()) / np.sqrt(window.var() + _VARIANCE_FLOOR)
        mel: NDArray[np.float32] = self._extractor(window, padding=0)
        return np.ascontiguousarray(mel[:, :800], dtype=np.float32)
