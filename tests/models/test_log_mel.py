"""Our log-mel frames against faster-whisper's, which are Whisper's own."""

import numpy as np
import pytest
from faster_whisper.feature_extractor import FeatureExtractor

from models.stt.log_mel import LogMel


@pytest.mark.parametrize("mels", [80, 128])
@pytest.mark.parametrize("samples", [0, 1, 399, 400, 16000, 16077, 159999, 160000])
def test_the_frames_are_whispers(samples: int, mels: int) -> None:
    reference = FeatureExtractor(feature_size=mels)
    audio = np.random.default_rng(1).normal(0, 0.1, samples).astype(np.float32)
    audio *= np.linspace(0, 1, samples, dtype=np.float32)
    wanted = reference(audio, padding=160400 - samples)[:, :1000]
    found = LogMel(reference.mel_filters)(audio, 1000)
    assert found.shape == (mels, 1000) and found.dtype == np.float32
    assert np.abs(found - wanted).max() < 1e-4


def test_silence_is_the_same_throughout() -> None:
    reference = FeatureExtractor()
    found = LogMel(reference.mel_filters)(np.zeros(16000, np.float32), 1000)
    assert np.unique(found).tolist() == pytest.approx([-1.5])
