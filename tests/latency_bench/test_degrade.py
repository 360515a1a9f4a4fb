"""Noise at a ratio, lost packets, codecs and pauses, on sound of which everything is known."""

import numpy as np
import pytest
from numpy.typing import NDArray

from latency_bench.quality.degrade import (
    echo_of,
    lost_packets,
    room_tone,
    speech_power,
    with_loss,
    with_noise,
    with_pause,
)
from latency_bench.quality.line_codecs import CODECS, NONE, PCMU, LineCodec, through
from latency_bench.sip import g711
from latency_bench.sounds import sound
from latency_bench.wire import level_dbfs

RATE_HZ = 16_000
PACKET = 320


def speech(seconds: float = 3.0, peak: float = 8000.0) -> NDArray[np.int16]:
    """A voice of harmonics, 400 ms on and 300 ms off: broad in its band, with true silence."""
    at_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    tones = sum(np.sin(2 * np.pi * 130 * n * at_s + n * n) / n for n in range(1, 22))
    on = (at_s % 0.7) < 0.4
    voice = np.asarray(tones) * on
    return np.rint(voice * peak / np.abs(voice).max()).astype(np.int16)


def lag_of(heard: NDArray[np.int16], said: NDArray[np.int16]) -> int:
    """By how many samples ``heard`` runs behind."""
    size = 1 << (2 * max(len(heard), len(said))).bit_length()
    spectra = [np.fft.rfft(pcm.astype(float), size) for pcm in (heard, said)]
    match = np.fft.irfft(spectra[0] * np.conj(spectra[1]), size)
    best = int(np.argmax(match))
    return best - size if best > size // 2 else best


@pytest.mark.parametrize("kind", ["white", "pink", "babble", "music"])
@pytest.mark.parametrize("snr_db", [20.0, 10.0, 5.0, -3.0])
def test_noise_lies_at_the_ratio_that_was_asked_for(kind: str, snr_db: float) -> None:
    # Quiet enough that no sum clips: lowering it would be mistaken for noise here.
    said = speech(peak=2500.0)
    noise = sound(kind, 5.0, RATE_HZ, -40.0, seed=3)  # type: ignore[arg-type]
    added = with_noise(said, noise, RATE_HZ, snr_db).astype(float) - said
    voiced = (np.arange(len(said)) / RATE_HZ % 0.7) < 0.4
    # The voiced stretches as they were made, not as the detector finds them.
    power = np.mean(np.square(said[voiced].astype(float)))
    found_db = 10 * np.log10(power / np.mean(np.square(added)))
    assert found_db == pytest.approx(snr_db, abs=0.1)


def test_a_sum_that_would_clip_is_lowered_and_keeps_its_ratio() -> None:
    said = speech(peak=32000.0)
    noise = sound("white", 3.0, RATE_HZ, -20.0)
    mixed = with_noise(said, noise, RATE_HZ, 0.0)
    assert np.abs(mixed.astype(int)).max() <= 32767
    assert np.count_nonzero(np.abs(mixed.astype(int)) >= 32767) <= 1
    gain = float(np.dot(mixed.astype(float), said) / np.dot(said.astype(float), said))
    added = mixed - gain * said
    assert gain < 0.95
    found_db = 10 * np.log10(speech_power(said, RATE_HZ) * gain**2 / np.mean(np.square(added)))
    assert found_db == pytest.approx(0.0, abs=0.15)


def test_silence_and_no_noise_are_left_as_they_are() -> None:
    silence = np.zeros(RATE_HZ, np.int16)
    assert not with_noise(silence, sound("white", 1.0, RATE_HZ, -30.0), RATE_HZ, 5.0).any()
    said = speech(1.0)
    assert np.array_equal(with_noise(said, silence, RATE_HZ, 5.0), said)


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.1])
def test_packets_are_lost_at_the_rate_that_was_asked_for(rate: float) -> None:
    for kind in ("random", "bursty"):
        lost = lost_packets(200_000, rate, kind, seed=1)  # type: ignore[arg-type]
        assert lost.mean() == pytest.approx(rate, rel=0.1)


def test_bursts_last_four_packets_and_random_losses_stand_alone() -> None:
    def burst(kind: str) -> float:
        lost = lost_packets(200_000, 0.05, kind, seed=2)  # type: ignore[arg-type]
        starts = np.count_nonzero(np.diff(lost.astype(int)) == 1)
        return float(lost.sum() / starts)

    assert burst("bursty") == pytest.approx(4.0, rel=0.1)
    assert burst("random") == pytest.approx(1 / 0.95, rel=0.1)


def test_nothing_and_everything_can_be_lost() -> None:
    assert not lost_packets(100, 0.0, "bursty", 1).any()
    assert lost_packets(100, 1.0, "random", 1).all()


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)
def test_a_codec_keeps_the_voice_in_its_place(codec: LineCodec) -> None:
    said = speech()
    heard = through(said, RATE_HZ, codec)
    assert heard.dtype == np.int16
    assert len(heard) == round(len(said) * codec.line_hz / RATE_HZ)
    reference = through(said, RATE_HZ, LineCodec("pcm", "", codec.line_hz, codec.line_hz))
    assert abs(lag_of(heard, reference)) <= 2
    likeness = np.corrcoef(heard.astype(float), reference.astype(float))[0, 1]
    # Opus keeps what a voice sounds like, not its wave.
    assert likeness > (0.75 if codec.name == "opus24" else 0.999 if codec is NONE else 0.99)


def test_mu_law_is_the_one_of_the_bench_itself() -> None:
    said = speech()[::2]
    heard, own = through(said, 8000, PCMU), g711.decode(g711.encode(said))
    # One rounds to the nearest step and the other down, at the steps' edges.
    assert (heard != own).mean() < 0.05
    assert np.mean((heard - said) ** 2.0) == pytest.approx(np.mean((own - said) ** 2.0), rel=0.05)


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)
def test_without_losses_the_line_is_as_good_as_its_codec(codec: LineCodec) -> None:
    said = speech(1.0)
    clean = through(said, RATE_HZ, codec)
    for concealment in ("door", "zero"):
        heard = with_loss(said, RATE_HZ, codec, np.zeros(60, bool), concealment)  # type: ignore[arg-type]
        assert np.array_equal(heard[: len(clean)], clean)


def test_zero_filling_silences_exactly_the_lost_packets() -> None:
    said = speech(1.0)
    lost = np.zeros(60, bool)
    lost[[3, 4, 20]] = True
    heard = with_loss(said, RATE_HZ, NONE, lost, "zero")
    for packet in range(50):
        piece = slice(packet * PACKET, (packet + 1) * PACKET)
        expected = np.zeros(PACKET, np.int16) if lost[packet] else said[piece]
        assert np.array_equal(heard[piece], expected), packet


def test_the_door_closes_up_over_a_short_loss_and_fills_a_long_one() -> None:
    said = speech(4.0)
    lost = np.zeros(210, bool)
    lost[50] = True
    one = with_loss(said, RATE_HZ, NONE, lost, "door")
    # The packet's sound is gone at once; its time comes back as silence later.
    assert np.array_equal(one[: 50 * PACKET], said[: 50 * PACKET])
    assert np.array_equal(one[50 * PACKET : 54 * PACKET], said[51 * PACKET : 55 * PACKET])
    assert len(one) == len(said)
    lost[50:70] = True
    many = with_loss(said, RATE_HZ, NONE, lost, "door")
    assert not many[50 * PACKET : 60 * PACKET].any()
    assert abs(len(many) - len(said)) <= 2 * PACKET


def test_a_pause_is_put_in_and_nothing_else_changes() -> None:
    said, at_s, pause_s = speech(2.0), 0.55, 0.8
    paused = with_pause(said, RATE_HZ, at_s, pause_s)
    cut, length, fade = round(at_s * RATE_HZ), round(pause_s * RATE_HZ), round(0.005 * RATE_HZ)
    assert len(paused) == len(said) + length
    assert np.array_equal(paused[: cut - fade], said[: cut - fade])
    assert np.array_equal(paused[cut + length + fade :], said[cut + fade :])
    assert level_dbfs(paused[cut : cut + length]) < -54


def test_room_tone_is_as_quiet_as_the_room_and_never_loud() -> None:
    noisy = speech() + np.rint(np.random.default_rng(1).normal(0, 8, 3 * RATE_HZ)).astype(np.int16)
    assert level_dbfs(room_tone(noisy, RATE_HZ, 1.0)) == pytest.approx(-72.2, abs=1.0)
    assert level_dbfs(room_tone(sound("white", 1.0, RATE_HZ, -10.0), RATE_HZ, 1.0)) < -54
    assert len(room_tone(np.zeros(0, np.int16), RATE_HZ, 0.5)) == RATE_HZ // 2


def test_the_echo_comes_back_late_and_quiet() -> None:
    agent = speech(2.0)[::2]
    echo = echo_of(agent, 8000, PCMU, return_db=-12.0, delay_s=0.15)
    assert lag_of(echo, agent) == round(0.15 * 8000)
    quieter = level_dbfs(echo[1200 : 1200 + len(agent)]) - level_dbfs(agent)
    assert quieter == pytest.approx(-12.0, abs=0.5)
