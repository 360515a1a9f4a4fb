"""Rate conversion between the rates of telephone codecs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from telephony.resampling import Resampler

PAIRS = [(48000, 16000), (16000, 48000), (8000, 16000), (16000, 8000), (8000, 48000), (48000, 8000)]


def tone(hz: float, rate_hz: int, seconds: float = 0.5) -> NDArray[np.int16]:
    at = np.arange(int(rate_hz * seconds)) / rate_hz
    return (10000 * np.sin(2 * np.pi * hz * at)).astype(np.int16)


def in_pieces(samples: NDArray[np.int16], from_hz: int, to_hz: int, size: int) -> NDArray[np.int16]:
    resampler = Resampler(from_hz, to_hz)
    return np.concatenate(
        [resampler.resample(samples[at : at + size]) for at in range(0, len(samples), size)]
    )


@pytest.mark.parametrize(("from_hz", "to_hz"), PAIRS)
def test_a_tone_stays_what_it_is(from_hz: int, to_hz: int) -> None:
    made = in_pieces(tone(1000, from_hz), from_hz, to_hz, from_hz // 50)[-to_hz // 4 :]
    assert len(made) == to_hz // 4
    spectrum = np.abs(np.fft.rfft(made * np.hanning(len(made)))) ** 2
    frequencies = np.fft.rfftfreq(len(made), 1 / to_hz)
    inside = np.abs(frequencies - 1000) < 20
    assert 10 * np.log10(spectrum[inside].sum() / spectrum[~inside].sum()) > 55
    assert np.abs(made).max() == pytest.approx(10000, rel=0.02)


@pytest.mark.parametrize(("from_hz", "to_hz"), PAIRS)
def test_every_frame_gives_its_share_at_once(from_hz: int, to_hz: int) -> None:
    resampler = Resampler(from_hz, to_hz)
    for _ in range(20):
        assert len(resampler.resample(np.zeros(from_hz // 50, np.int16))) == to_hz // 50
    step = np.full(from_hz // 50, 10000, np.int16)
    made = resampler.resample(step)
    # Half the step is reached after the delay: 2 ms at most.
    assert np.argmax(made > 5000) <= 0.0021 * to_hz


@pytest.mark.parametrize(("from_hz", "to_hz"), [(48000, 16000), (16000, 8000)])
def test_what_the_lower_rate_cannot_carry_is_taken_out(from_hz: int, to_hz: int) -> None:
    made = in_pieces(tone(to_hz * 0.55, from_hz), from_hz, to_hz, from_hz // 50)[1000:]
    assert np.abs(made).max() < 30


@settings(deadline=None)
@given(
    sizes=st.lists(st.integers(0, 700), min_size=1, max_size=12),
    pair=st.sampled_from(PAIRS),
    seed=st.integers(0, 1000),
)
def test_pieces_do_not_matter(sizes: list[int], pair: tuple[int, int], seed: int) -> None:
    noise = np.random.default_rng(seed).integers(-9000, 9000, sum(sizes)).astype(np.int16)
    whole = Resampler(*pair).resample(noise)
    resampler, pieces, at = Resampler(*pair), [], 0
    for size in sizes:
        pieces.append(resampler.resample(noise[at : at + size]))
        at += size
    assert np.abs(np.concatenate(pieces).astype(int) - whole).max(initial=0) <= 1


def test_full_scale_does_not_wrap_and_odd_rates_are_refused() -> None:
    square = np.where(np.arange(4800) // 40 % 2, 32767, -32768).astype(np.int16)
    made = Resampler(16000, 48000).resample(square).astype(int)
    assert np.abs(np.diff(made)).max() < 50000
    with pytest.raises(ValueError, match="44100"):
        Resampler(44100, 16000)
