"""Ten minutes of silence, faster than they pass: nothing is decided and nothing grows."""

import numpy as np
import pytest

from agent.engines import Engines
from agent.turn_taking import TurnSettings, TurnTaker

TEN_MINUTES_S = 600


@pytest.mark.parametrize(("rate_hz", "level"), [(8000, 0), (16000, 60)])
def test_ten_minutes_of_silence_lead_to_nothing(engines: Engines, rate_hz: int, level: int) -> None:
    voice = engines.vad.open(rate_hz)
    taker = TurnTaker(TurnSettings(), voice.window_samples / rate_hz)
    rng = np.random.default_rng(0)
    windows = TEN_MINUTES_S * rate_hz // voice.window_samples
    for n in range(windows):
        pcm = rng.normal(0, level, voice.window_samples).astype(np.int16)
        probability = voice.speech_probability(pcm)
        assert taker.hear(probability, n * 0.032, agent_busy=False) == []
