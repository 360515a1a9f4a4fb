"""The track once Opus is agreed on: ready packets, their times, and what a silence sends."""

import asyncio
import time

import av
import numpy as np
import pytest
from av import AudioFrame, Packet
from av.audio.stream import AudioStream

from agent.playout_gate import PlayoutGate
from agent.web import audio_track
from agent.web.audio_track import QUIET_FRAMES, AudioTrack, OpusEncoder

RATE_HZ = 24000
FRAME_SAMPLES = 480
LIMIT_S = 20


def frame_of(value: int) -> bytes:
    return np.full(FRAME_SAMPLES, value, np.int16).tobytes()


def opus_track(gate: PlayoutGate | None = None) -> AudioTrack:
    track = AudioTrack(RATE_HZ, gate)
    track.speak_opus()
    return track


async def packet_of(track: AudioTrack) -> "Packet[AudioStream]":
    async with asyncio.timeout(LIMIT_S):
        packet = await track.recv()
    assert isinstance(packet, Packet)
    return packet


async def times_of(track: AudioTrack, packets: int) -> list[int]:
    return [(await packet_of(track)).pts or 0 for _ in range(packets)]


def test_an_encoded_tone_keeps_its_level_and_comes_with_its_own_frame() -> None:
    at = np.arange(50 * FRAME_SAMPLES) / RATE_HZ
    tone = (8000 * np.sin(2 * np.pi * 440 * at)).astype(np.int16)
    encoder = OpusEncoder(RATE_HZ)
    decoder = av.CodecContext.create("libopus", "r")
    decoder.format, decoder.layout, decoder.sample_rate = "s16", "mono", 48000
    heard = []
    for start in range(0, len(tone), FRAME_SAMPLES):
        frame = AudioFrame.from_ndarray(tone[None, start : start + FRAME_SAMPLES], layout="mono")
        frame.sample_rate, frame.pts = RATE_HZ, start
        packet = encoder.encode(frame)
        assert packet.pts == start
        heard += [decoded.to_ndarray()[0] for decoded in decoder.decode(packet)]
    middle = np.concatenate(heard)[9600:38400].astype(np.float64)
    level_db = 20 * np.log10(np.sqrt(np.mean(middle**2)) / (8000 / np.sqrt(2)))
    assert abs(level_db) < 0.5


async def test_a_silence_is_a_packet_now_and_then_at_its_own_time() -> None:
    track = opus_track()
    began_s = time.monotonic()
    times = await times_of(track, QUIET_FRAMES + 2)
    assert times[:QUIET_FRAMES] == [FRAME_SAMPLES * n for n in range(QUIET_FRAMES)]
    steps = np.diff(times[QUIET_FRAMES - 1 :])
    assert all(steps >= RATE_HZ * audio_track.QUIET_S)
    # Time went on as much as the timestamps did.
    assert times[-1] / RATE_HZ <= time.monotonic() - began_s + 0.001


async def test_the_first_words_after_a_silence_do_not_wait_for_a_tick(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(audio_track, "QUIET_S", LIMIT_S)
    track = opus_track()
    last = (await times_of(track, QUIET_FRAMES))[-1]
    waiting = asyncio.create_task(track.recv())
    # A writer comes while the track waits, between two of its packets.
    await asyncio.sleep(0.05)
    assert not waiting.done()
    taken = track.add_audio_bytes(frame_of(1000))
    async with asyncio.timeout(LIMIT_S):
        packet = await waiting
    assert taken.done()
    assert packet.pts is not None
    assert packet.pts - last >= 0.05 * RATE_HZ
    following = [track.add_audio_bytes(frame_of(1000)) for _ in range(3)]
    assert np.diff([packet.pts, *await times_of(track, 3)]).tolist() == [FRAME_SAMPLES] * 3
    assert all(future.done() for future in following)


async def test_a_gate_that_opens_lets_the_next_words_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(audio_track, "QUIET_S", LIMIT_S)
    gate = PlayoutGate()
    track = opus_track(gate)
    gate.close()
    taken = track.add_audio_bytes(frame_of(1000))
    await times_of(track, QUIET_FRAMES)
    waiting = asyncio.create_task(packet_of(track))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    assert not taken.done()
    gate.open()
    await waiting
    assert taken.done()


async def test_sound_after_silence_is_followed_by_silence_in_full() -> None:
    track = opus_track()
    track.add_audio_bytes(frame_of(1000))
    times = await times_of(track, 1 + QUIET_FRAMES)
    assert np.diff(times).tolist() == [FRAME_SAMPLES] * QUIET_FRAMES


async def test_time_that_a_stall_took_is_in_the_timestamps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(audio_track, "CATCH_UP_S", 0.03)
    track = opus_track()
    for _ in range(2):
        track.add_audio_bytes(frame_of(1000))
    (first,) = await times_of(track, 1)
    await asyncio.sleep(0.1)
    (second,) = await times_of(track, 1)
    assert second - first >= 0.1 * RATE_HZ


async def test_the_bytes_that_went_out_are_counted() -> None:
    track = opus_track()
    packets = [await packet_of(track) for _ in range(3)]
    assert track.bytes_out == sum(packet.size for packet in packets) > 0
    plain = AudioTrack(RATE_HZ)
    async with asyncio.timeout(LIMIT_S):
        for _ in range(3):
            await plain.recv()
    # G.711 and G.722, which aiortc encodes: 64 kbit/s.
    assert plain.bytes_out == 480
