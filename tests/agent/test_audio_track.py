"""The track: order, silence in between, and no burst after a stall."""

import asyncio

import numpy as np
import pytest
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame

from agent.web.audio_track import AudioTrack

RATE_HZ = 24000
FRAME_SAMPLES = 480
LIMIT_S = 10


def frame_of(value: int) -> bytes:
    return np.full(FRAME_SAMPLES, value, np.int16).tobytes()


async def test_frames_come_in_order_and_silence_fills_the_rest() -> None:
    track = AudioTrack(RATE_HZ)
    taken = [track.add_audio_bytes(frame_of(n)) for n in (1, 2)]
    async with asyncio.timeout(LIMIT_S):
        frames = [await track.recv() for _ in range(4)]
    values = [int(frame.to_ndarray()[0, 0]) for frame in frames if isinstance(frame, AudioFrame)]
    assert values == [1, 2, 0, 0]
    assert [frame.pts for frame in frames] == [0, 480, 960, 1440]
    assert all(future.done() for future in taken)


async def test_a_write_is_done_only_once_it_is_taken() -> None:
    track = AudioTrack(RATE_HZ)
    first, second = track.add_audio_bytes(frame_of(1)), track.add_audio_bytes(frame_of(2))
    async with asyncio.timeout(LIMIT_S):
        await track.recv()
    assert first.done()
    assert not second.done()


async def test_a_writer_that_gave_up_does_not_stop_the_track() -> None:
    track = AudioTrack(RATE_HZ)
    track.add_audio_bytes(frame_of(1)).cancel()
    async with asyncio.timeout(LIMIT_S):
        await track.recv()


async def test_only_whole_frames_are_taken() -> None:
    with pytest.raises(ValueError, match="960"):
        AudioTrack(RATE_HZ).add_audio_bytes(b"\0" * 100)


async def test_a_stopped_track_gives_nothing_more() -> None:
    track = AudioTrack(RATE_HZ)
    track.stop()
    with pytest.raises(MediaStreamError):
        await track.recv()
