import numpy as np
import pytest

from models.audio import at_rate
from models.errors import EngineError


@pytest.mark.parametrize("rate_hz", [8000, 16000, 24000, 48000])
def test_a_tone_keeps_its_pitch_length_and_level(rate_hz: int) -> None:
    at_s = np.arange(rate_hz) / rate_hz
    pcm = (np.sin(2 * np.pi * 440 * at_s) * 16384).astype(np.int16)
    audio = at_rate(pcm, rate_hz, 16000)
    assert audio.dtype == np.float32 and audio.shape == (16000,)
    spectrum = np.abs(np.fft.rfft(audio))
    assert int(spectrum.argmax()) == 440
    assert abs(float(np.abs(audio[1000:-1000]).max()) - 0.5) < 0.01


def test_nothing_stays_nothing() -> None:
    assert at_rate(np.zeros(0, dtype=np.int16), 8000, 16000).shape == (0,)


def test_what_is_no_mono_pcm16_is_refused() -> None:
    with pytest.raises(EngineError, match="mono PCM16"):
        at_rate(np.zeros((2, 10), dtype=np.int16), 8000, 16000)
    with pytest.raises(EngineError, match="float64"):
        at_rate(np.zeros(10), 8000, 16000)  # type: ignore[arg-type]
    with pytest.raises(EngineError, match="0 Hz"):
        at_rate(np.zeros(10, dtype=np.int16), 0, 16000)
