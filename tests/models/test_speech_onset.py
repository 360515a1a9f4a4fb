"""Leading silence: swallowed over any cutting of the stream, bounded, without a click."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.tts.onset import HEARD_PEAK, LeadingSilence, without_leading_silence

RATE_HZ = 8000


def _speech(silence: int, sound: int = 400, noise: int = 3) -> NDArray[np.int16]:
    random = np.random.default_rng(silence)
    quiet = random.integers(-noise, noise + 1, silence)
    loud = 4000 * np.sin(2 * np.pi * 200 * np.arange(1, sound + 1) / RATE_HZ)
    return np.concatenate([quiet, loud]).astype(np.int16)


def test_all_but_the_kept_part_goes() -> None:
    speech = _speech(silence=480)
    trimmed = without_leading_silence(speech, RATE_HZ)
    assert trimmed.size == speech.size - 480 + 80
    assert np.array_equal(trimmed[80:], speech[480:])


def test_speech_that_starts_at_once_is_left_alone() -> None:
    speech = _speech(silence=0)
    assert np.array_equal(without_leading_silence(speech, RATE_HZ), speech)
    short = _speech(silence=60)
    assert np.array_equal(without_leading_silence(short, RATE_HZ), short)


def test_silence_alone_comes_back() -> None:
    silence = np.zeros(4000, np.int16)
    assert np.array_equal(without_leading_silence(silence, RATE_HZ), silence)
    assert without_leading_silence(silence[:0], RATE_HZ).size == 0


def test_the_kept_part_fades_in() -> None:
    hum = np.full(800, HEARD_PEAK - 1, np.int16)
    trimmed = without_leading_silence(np.concatenate([hum, _speech(0)]), RATE_HZ)
    assert np.all(np.diff(trimmed[:80]) >= 0) and trimmed[0] <= 1
    assert trimmed[79] >= HEARD_PEAK - 3


def test_no_more_than_the_limit_is_swallowed() -> None:
    silence = LeadingSilence(RATE_HZ, limit_s=0.1)
    out = [silence.trim(np.zeros(160, np.int16)) for _ in range(20)]
    assert silence.swallowed == 800 and silence.passed
    assert sum(piece.size for piece in out) == 20 * 160 - 800


def test_the_loudest_negative_sample_is_heard() -> None:
    silence = LeadingSilence(RATE_HZ)
    assert silence.trim(np.full(8, -32768, np.int16)).size == 8
    assert silence.passed


@given(
    silence=st.integers(0, 3000),
    cuts=st.lists(st.integers(0, 3300), max_size=12),
    limit=st.integers(0, 3000),
)
def test_any_cutting_gives_the_same_audio(silence: int, cuts: list[int], limit: int) -> None:
    speech = _speech(silence)
    whole = LeadingSilence(RATE_HZ, limit_s=limit / RATE_HZ).trim(speech)
    piecewise = LeadingSilence(RATE_HZ, limit_s=limit / RATE_HZ)
    pieces = [piecewise.trim(part) for part in np.split(speech, sorted(cuts))]
    joined = np.concatenate(pieces)
    assert joined.size == whole.size == speech.size - piecewise.swallowed
    assert np.array_equal(joined[-400:], speech[-400:])
    assert np.abs(joined.astype(int) - whole).max() <= 3


@pytest.mark.parametrize(("rate", "keep", "limit"), [(0, 0.01, 0.3), (8000, -1, 0), (8000, 0, -1)])
def test_impossible_silences_are_refused(rate: int, keep: float, limit: float) -> None:
    with pytest.raises(ValueError, match="no such silence"):
        LeadingSilence(rate, keep, limit)
