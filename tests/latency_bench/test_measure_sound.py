"""Level, clipping, holes and echo, in sound that has a known amount of each."""

from dataclasses import replace

import av
import numpy as np
import pytest
from constructed_call import RATE_HZ, call, frames, tone
from numpy.typing import NDArray

from latency_bench.measures.dropouts import dropouts
from latency_bench.measures.echo import echo_of
from latency_bench.measures.loudness import Loudness, loudness
from latency_bench.measures.measure import measure_call
from latency_bench.measures.voices import TOO_LOUD
from latency_bench.recording import CallRecording, Said, stream_of
from latency_bench.sip import g711
from latency_bench.wire import Stream

Pcm = NDArray[np.int16]


def voice(seconds: float, seed: int, rate_hz: int = RATE_HZ, level: float = 0.1) -> Pcm:
    """Like a voice: pulses of a wandering pitch through three resonances, in syllables."""
    rng = np.random.default_rng(seed)
    count = round(seconds * rate_hz)
    t = np.arange(count) / rate_hz
    pitch_hz = (
        120 + 25 * np.sin(2 * np.pi * 0.7 * t + rng.uniform(0, 6)) + 10 * rng.standard_normal()
    )
    phase = np.cumsum(pitch_hz) / rate_hz
    pulses = np.diff(np.floor(phase), prepend=0.0) + 0.02 * rng.standard_normal(count)
    sound = np.zeros(count)
    step = round(0.25 * rate_hz)
    for at in range(0, count, step):
        span = slice(at, at + step)
        spectrum = np.fft.rfft(pulses[span])
        hz = np.fft.rfftfreq(len(pulses[span]), 1 / rate_hz)
        formants = rng.uniform((250, 900, 2200), (800, 2000, 3000))
        shape = sum(1 / (1 + ((hz - f) / 120) ** 2) for f in formants)
        sound[span] = np.fft.irfft(spectrum * shape, len(pulses[span]))
    sound *= 0.6 + 0.4 * np.sin(2 * np.pi * 4 * t)
    return (sound * level * 32767 / np.sqrt(np.mean(sound**2))).clip(-32768, 32767).astype(np.int16)


def stream(pcm: Pcm, rate_hz: int = RATE_HZ) -> Stream:
    return stream_of(frames(pcm, rate_hz=rate_hz), rate_hz)


def loud(pcm: Pcm, rate_hz: int = RATE_HZ) -> Loudness:
    made = stream(pcm, rate_hz)
    return loudness(made, made.segments)


def holes(pcm: Pcm, rate_hz: int = RATE_HZ, *, lost: bool = False) -> int:
    made = stream(pcm, rate_hz)
    level_dbfs = loudness(made, made.segments).level_dbfs
    assert level_dbfs is not None
    return dropouts(made, made.segments, level_dbfs, lost=lost)


def mu_law(pcm: Pcm) -> Pcm:
    return g711.decode(g711.encode(pcm))


def a_law(pcm: Pcm) -> Pcm:
    return g711.decode_a_law(g711.encode_a_law(pcm))


def opus(pcm: Pcm) -> Pcm:
    """At 48 kHz."""
    encoder = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format = 48_000, "mono", "s16"
    encoder.bit_rate = 32_000
    decoder = av.CodecContext.create("libopus", "r")
    decoder.sample_rate, decoder.layout, decoder.format = 48_000, "mono", "s16"
    out = []
    for at in range(0, len(pcm) - 960, 960):
        frame = av.AudioFrame.from_ndarray(pcm[None, at : at + 960].copy(), "s16", "mono")
        frame.sample_rate, frame.pts = 48_000, at
        for packet in encoder.encode(frame):
            out += [made.to_ndarray().reshape(-1) for made in decoder.decode(packet)]
    return np.concatenate(out).astype(np.int16)


def test_level_and_peak_are_those_of_the_voice_alone() -> None:
    pcm = np.concatenate((np.zeros(RATE_HZ, np.int16), tone(RATE_HZ, 0.5), np.zeros(800, np.int16)))
    found = loud(pcm)
    assert found.peak_dbfs == pytest.approx(-6.02, abs=0.05)
    assert found.level_dbfs == pytest.approx(-9.03, abs=0.05)
    assert loud(np.zeros(RATE_HZ, np.int16)) == Loudness()


def test_pieces_make_no_difference() -> None:
    once = loud(voice(8, 1))
    again = loud(np.tile(voice(8, 1), 4))
    assert again.level_dbfs == pytest.approx(once.level_dbfs, abs=0.1)


@pytest.mark.parametrize("codec", [lambda pcm: pcm, mu_law, a_law])
def test_clipped_samples_are_counted_where_a_line_cuts_the_tops_off(codec: object) -> None:
    assert callable(codec)
    clean = tone(RATE_HZ, 0.9)
    assert loud(codec(clean)).clipped == 0
    # A sine that is twice full scale is over it for two thirds of the time.
    pushed = np.clip(clean.astype(np.int32) * 2 / 0.9, -32768, 32767).astype(np.int16)
    assert loud(codec(pushed)).clipped == pytest.approx(2 / 3, abs=0.08)
    # The same, turned down afterwards.
    assert loud(codec((pushed * 0.4).astype(np.int16))).clipped == pytest.approx(2 / 3, abs=0.08)


def test_a_voice_is_not_clipped_until_it_is() -> None:
    clean = voice(4, 2, 48_000)
    assert loud(clean, 48_000).clipped == 0
    assert loud(opus(clean), 48_000).clipped == 0
    pushed = np.clip(clean.astype(np.int32) * 20, -32768, 32767).astype(np.int16)
    assert loud(pushed, 48_000).clipped > 0.2
    assert loud(opus(pushed), 48_000).clipped > 0.005


@pytest.mark.parametrize(("hole_ms", "counts"), [(3, False), (8, True), (20, True), (80, False)])
def test_holes_of_a_certain_length_are_counted(hole_ms: int, counts: bool) -> None:
    pcm = tone(RATE_HZ * 4)
    for at in range(2000, len(pcm) - 2000, 1600):
        pcm[at : at + hole_ms * RATE_HZ // 1000] = 0
    assert holes(pcm) == (18 if counts else 0)
    assert holes(mu_law(pcm)) == (18 if counts else 0)


def test_a_voice_with_holes_is_told_from_a_whole_one() -> None:
    whole = voice(4, 3, 48_000)
    chopped = whole.copy()
    for at in range(4800, len(whole), 9600):
        chopped[at : at + 960] = 0
    assert holes(whole, 48_000) == holes(opus(whole), 48_000) == 0
    cut = len(range(4800, len(whole), 9600))
    assert holes(chopped, 48_000) >= 0.6 * cut
    assert holes(opus(chopped), 48_000) >= 0.3 * cut


def test_a_voice_that_dies_away_and_comes_back_is_whole() -> None:
    pcm = voice(4, 4).astype(np.float64)
    fade = np.ones(len(pcm))
    for at in range(3000, len(pcm) - 1000, 3000):
        # 40 dB down in 40 ms, 20 ms of nothing, and a sudden start, as before a "p".
        fade[at : at + 320] = 10 ** np.linspace(0, -2, 320)
        fade[at + 320 : at + 480] = 0
    assert holes((pcm * fade).astype(np.int16)) <= 1


def test_lost_packets_are_no_holes_of_the_agents() -> None:
    pcm = tone(RATE_HZ * 2)
    pcm[4800:4960] = 0
    assert holes(pcm) == holes(pcm, lost=False) == 1
    assert holes(pcm, lost=True) == 0
    # A hole that is no frame is the agent's, whatever else was lost.
    pcm[8050:8210] = 0
    assert holes(pcm, lost=True) == 1


def echo_db(recording: CallRecording) -> float | None:
    found = echo_of(recording)
    return found.level_db if found else None


def echoing(
    gain_db: float | None, delay_s: float = 0.2, *, jitter: bool = False, level: float = 0.1
) -> CallRecording:
    """Three questions and answers; the agent's sound holds the caller's, ``gain_db`` under it."""
    base = call(duration_s=24)
    sent, received = np.zeros(24 * RATE_HZ, np.int16), np.zeros(24 * RATE_HZ, np.int16)
    said = []
    for turn in range(3):
        at = (2 + turn * 7) * RATE_HZ
        question, answer = voice(2, turn), voice(2, 50 + turn, level=level)
        sent[at : at + len(question)] = question
        said.append(Said(turn, turn, "speech", False, False, True, at, at + len(question) - 1))
        received[at + 3 * RATE_HZ : at + 3 * RATE_HZ + len(answer)] = answer
    if gain_db is not None:
        delay = round(delay_s * RATE_HZ)
        back = sent[:-delay].astype(np.float64) * 10 ** (gain_db / 20)
        received[delay:] += back.astype(np.int16)
    rng = np.random.default_rng(5)
    arrived = [
        replace(frame, at_s=frame.at_s + (rng.uniform(0, 0.01) if jitter else 0.0))
        for frame in frames(mu_law(received))
    ]
    return replace(
        base,
        sent=stream_of(frames(sent), RATE_HZ),
        received=stream_of(arrived, RATE_HZ),
        said=tuple(said),
    )


@pytest.mark.parametrize("gain_db", [-6, -20, -35])
@pytest.mark.parametrize("delay_s", [0.01, 0.2, 0.95])
def test_an_echo_is_found_at_its_level(gain_db: float, delay_s: float) -> None:
    assert echo_db(echoing(gain_db, delay_s)) == pytest.approx(gain_db, abs=0.5)


def test_an_echo_is_found_through_jitter() -> None:
    assert echo_db(echoing(-25, jitter=True)) == pytest.approx(-25, abs=0.5)


def test_a_clean_call_has_no_echo_nor_one_where_both_speak_at_once() -> None:
    assert echo_db(echoing(None)) is None
    assert echo_db(call()) is None
    both = echoing(None)
    early = np.roll(both.received.pcm, -round(2.8 * RATE_HZ))
    both = replace(both, received=stream_of(frames(early), RATE_HZ))
    assert echo_db(both) is None


@pytest.mark.parametrize("gain_db", [-3, -10, -25])
def test_the_callers_echo_is_not_the_agent_speaking(gain_db: float) -> None:
    for recording in (echoing(None), echoing(gain_db), echoing(gain_db, 0.6)):
        figures = measure_call(recording, call=0, scenario="s", began_s=0)
        # Each answer begins a second after its question.
        assert [turn.v2v_ms for turn in figures.turns] == pytest.approx([1000] * 3, abs=15)
        assert not any(turn.cut_in for turn in figures.turns)
        assert figures.greeting_ms is None


def test_an_agent_that_speaks_through_an_echo_is_still_heard() -> None:
    clean, noisy = echoing(None), echoing(-10)
    early = round(2.5 * RATE_HZ)
    mixed = noisy.received.pcm.astype(np.int32)
    # Half a second after the question began, over its echo.
    mixed[:-early] += clean.received.pcm[early:]
    pcm = mixed.clip(-32768, 32767).astype(np.int16)
    recording = replace(noisy, received=stream_of(frames(pcm), RATE_HZ))
    figures = measure_call(recording, call=0, scenario="s", began_s=0)
    assert figures.turns[0].cut_in


def test_tones_at_one_pitch_are_no_echo() -> None:
    recording = call([(2, 2), (8, 2)], [(2.5, 2), (8.5, 2)])
    assert echo_db(recording) is None


def test_the_wire_of_a_call_shows_each_of_them() -> None:
    figures = measure_call(echoing(-20), call=0, scenario="s", began_s=0).wire
    assert figures.echo_db == pytest.approx(-20, abs=0.5) and figures.clipped == 0
    assert figures.level_dbfs == pytest.approx(-20, abs=3) and figures.mos is not None
    assert figures.mos == pytest.approx(4.39, abs=0.01)


@pytest.mark.parametrize("noise_dbfs", [-50, -42, -35])
@pytest.mark.parametrize("pauses", [False, True])
def test_an_agent_in_an_office_is_heard(noise_dbfs: int, pauses: bool) -> None:
    recording = call([(2, 1), (10, 1)], [(4, 2), (12, 2)])
    pcm = recording.received.pcm.astype(np.float64)
    room = np.random.default_rng(8).normal(0, 10 ** (noise_dbfs / 20) * 32767, len(pcm))
    if pauses:
        # Sent only around the voice.
        sent = np.convolve(np.abs(pcm) > 0, np.ones(round(0.6 * RATE_HZ)), "same") > 0
        room[~sent] = 0
    received = stream_of(frames((pcm + room).clip(-32768, 32767).astype(np.int16)), RATE_HZ)
    found = measure_call(replace(recording, received=received), call=0, scenario="s", began_s=0)
    assert [turn.v2v_ms for turn in found.turns] == pytest.approx([1000, 1000], abs=5)
    assert not any(turn.cut_in or turn.missed for turn in found.turns) and found.notes == ()


def test_a_line_that_is_all_noise_is_said_to_be_too_loud() -> None:
    room = np.random.default_rng(8).normal(0, 0.05 * 32767, 20 * RATE_HZ).astype(np.int16)
    recording = call([(2, 1), (10, 1)], received=room)
    found = measure_call(recording, call=0, scenario="s", began_s=0)
    assert found.notes == (TOO_LOUD,) and found.greeting_ms is None
    assert found.wire.level_dbfs is None and found.wire.packets > 0
    for turn in found.turns:
        assert not (turn.missed or turn.cut_in) and turn.v2v_ms is turn.stopped is None
    # Where nothing is heard at all, answers are missed.
    silent = measure_call(call([(2, 1)]), call=0, scenario="s", began_s=0)
    assert silent.notes == () and silent.turns[0].missed
