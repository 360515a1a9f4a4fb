import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from latency_bench.wire import (
    Stream,
    first_voiced,
    last_voiced,
    level_dbfs,
    voiced_segments,
)

RATE_HZ = 48_000


def burst(samples: int, level: float = 0.2) -> np.ndarray:
    t = np.arange(samples) / RATE_HZ
    return (np.cos(2 * np.pi * 330 * t) * level * 32767).astype(np.int16)


def placed(total: int, start: int, length: int, noise: float = 0.0) -> np.ndarray:
    """A burst at ``start`` in ``total`` samples, over white noise of this RMS (of 1.0)."""
    pcm = np.random.default_rng(1).normal(0, noise * 32767, total)
    pcm[start : start + length] += burst(length)
    return np.clip(pcm, -32768, 32767).astype(np.int16)


@given(start=st.integers(0, 40_000), length=st.integers(4_800, 40_000))
@settings(max_examples=40, deadline=None)
def test_ends_of_a_burst_are_found_to_a_few_samples(start: int, length: int) -> None:
    pcm = placed(96_000, start, length)
    first, last = first_voiced(pcm, RATE_HZ), last_voiced(pcm, RATE_HZ)
    assert first is not None and last is not None
    # A 330 Hz wave crosses zero every 73 samples; windows are 240.
    assert abs(first - start) <= 240
    assert abs(last - (start + length - 1)) <= 240


@pytest.mark.parametrize("noise_dbfs", [-75, -65, -58, -50])
def test_comfort_noise_is_not_speech_and_does_not_move_the_ends(noise_dbfs: int) -> None:
    noise = 10 ** (noise_dbfs / 20)
    assert first_voiced(placed(96_000, 0, 0, noise), RATE_HZ) is None
    pcm = placed(96_000, 30_000, 24_000, noise)
    first, last = first_voiced(pcm, RATE_HZ), last_voiced(pcm, RATE_HZ)
    assert first is not None and abs(first - 30_000) <= 240
    assert last is not None and abs(last - 53_999) <= 240


def in_room_noise(
    noise_dbfs: float, *, pauses: bool = False, rate_hz: int = 8_000
) -> NDArray[np.int16]:
    """20 s with a voice of tones from 5.3 to 7.3 s; with ``pauses``, sent from 5 to 7.9 s alone."""
    rng = np.random.default_rng(7)
    sound = rng.normal(0, 10 ** (noise_dbfs / 20) * 32767, 20 * rate_hz)
    if pauses:
        sound[: 5 * rate_hz] = 0
        sound[round(7.9 * rate_hz) :] = 0
    t = np.arange(2 * rate_hz) / rate_hz
    first = round(5.3 * rate_hz)
    sound[first : first + len(t)] += np.cos(2 * np.pi * 300 * t) * 6000
    return np.clip(sound, -32768, 32767).astype(np.int16)


@pytest.mark.parametrize("pauses", [False, True])
@pytest.mark.parametrize("noise_dbfs", [-60, -50, -42, -35])
def test_room_noise_is_not_the_voice_in_it(noise_dbfs: int, pauses: bool) -> None:
    (segment,) = voiced_segments(in_room_noise(noise_dbfs, pauses=pauses), 8_000)
    assert segment.first / 8_000 == pytest.approx(5.3, abs=0.005)
    assert segment.last / 8_000 == pytest.approx(7.3, abs=0.005)


def test_an_agent_without_noise_is_found_to_the_sample_however_loud_it_is() -> None:
    for level in (0.01, 0.05, 0.3, 0.9):
        pcm = np.zeros(192_000, np.int16)
        for start in (48_000, 120_000):
            pcm[start : start + 24_000] = burst(24_000, level)
        found = voiced_segments(pcm, RATE_HZ)
        assert [segment.first for segment in found] == [48_000, 120_000]


def test_a_sound_that_nothing_rises_over_is_not_told_from_a_voice() -> None:
    loud = np.random.default_rng(2).normal(0, 10 ** (-35 / 20) * 32767, 80_000).astype(np.int16)
    (segment,) = voiced_segments(loud, 8_000)
    assert segment.first < 80 and segment.last > 79_900


def test_clicks_and_a_constant_offset_are_not_speech() -> None:
    pcm = np.full(48_000, 900, np.int16)
    pcm[20_000:20_100] = 20_000
    assert voiced_segments(pcm, RATE_HZ) == []


def test_short_pauses_lie_inside_a_segment_and_long_ones_do_not() -> None:
    pcm = np.zeros(96_000, np.int16)
    for start in (4_800, 19_200, 57_600):
        pcm[start : start + 9_600] = burst(9_600)
    segments = voiced_segments(pcm, RATE_HZ)
    assert len(segments) == 2
    assert abs(segments[0].last - 28_799) <= 240 and abs(segments[1].first - 57_600) <= 240


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 48_000])
def test_telephone_rates_work_alike(rate_hz: int) -> None:
    pcm = np.zeros(rate_hz, np.int16)
    t = np.arange(rate_hz // 2) / rate_hz
    pcm[rate_hz // 4 : rate_hz // 4 + len(t)] = np.cos(2 * np.pi * 300 * t) * 6000
    first = first_voiced(pcm, rate_hz)
    assert first is not None and abs(first / rate_hz - 0.25) <= 0.005


@pytest.mark.parametrize("samples", [0, 1, 239, 4_800])
def test_silence_has_no_voice(samples: int) -> None:
    assert voiced_segments(np.zeros(samples, np.int16), RATE_HZ) == []


def test_level_of_full_scale_and_silence() -> None:
    assert level_dbfs(np.full(960, -32768, np.int16)) == pytest.approx(0.0)
    assert level_dbfs(np.zeros(960, np.int16)) == -120.0
    assert level_dbfs(np.zeros(0, np.int16)) == -120.0


def stream() -> Stream:
    """Three 20 ms frames; the last came 30 ms late."""
    return Stream(
        np.zeros(2_880, np.int16),
        np.array([0, 960, 1_920], np.int64),
        np.array([5.0, 5.02, 5.07]),
        RATE_HZ,
    )


def test_a_sample_crosses_the_wire_with_its_frame() -> None:
    assert stream().time_s(0) == 5.0
    assert stream().time_s(959) == pytest.approx(5.0 + 959 / RATE_HZ)
    assert stream().time_s(960) == 5.02
    assert stream().time_s(1_920 + 480) == pytest.approx(5.08)
    for outside in (-1, 2_880):
        with pytest.raises(IndexError, match="of a stream of 2880"):
            stream().time_s(outside)
