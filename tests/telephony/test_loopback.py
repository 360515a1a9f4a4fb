"""The loopback door: order, bounds and endings."""

import asyncio

import pytest

from telephony.loopback import QUEUE_FRAMES, LoopbackLine, Pace
from telephony.transport import CountsBytes, frame_bytes

LIMIT_S = 10


@pytest.fixture
def line() -> LoopbackLine:
    return LoopbackLine(8000)


async def test_audio_passes_unchanged_and_in_order(line: LoopbackLine) -> None:
    size = frame_bytes(8000)
    pcm = bytes(range(256)) * 5
    async with asyncio.timeout(LIMIT_S):
        await line.speak(pcm)
        got = b"".join([await line.receive() or b"" for _ in range(len(pcm) // size)])
    assert got == pcm


async def test_the_last_frame_is_filled_with_silence(line: LoopbackLine) -> None:
    async with asyncio.timeout(LIMIT_S):
        await line.speak(b"\1\2")
        assert await line.receive() == b"\1\2".ljust(320, b"\0")


async def test_a_side_that_does_not_read_loses_the_oldest(line: LoopbackLine) -> None:
    async with asyncio.timeout(LIMIT_S):
        for n in range(QUEUE_FRAMES + 10):
            await line.send(bytes([n]) * 320)
        assert await line.hear() == bytes([10]) * 320


async def test_hang_up_ends_both_sides_once_the_rest_was_read(line: LoopbackLine) -> None:
    async with asyncio.timeout(LIMIT_S):
        await line.speak(bytes(320))
        await line.hang_up()
        await line.hang_up()
        assert await line.receive() == bytes(320)
        assert await line.receive() is None
        assert await line.receive() is None
        assert await line.hear() is None
        assert await line.hear() is None


async def test_pace_lets_the_first_frame_pass_at_once_after_a_pause() -> None:
    pace = Pace(interval_s=30.0)
    async with asyncio.timeout(LIMIT_S):
        await pace.wait()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await pace.wait()


async def test_both_directions_are_counted(line: LoopbackLine) -> None:
    assert isinstance(line, CountsBytes)
    async with asyncio.timeout(20):
        await line.speak(b"\1" * 400)
        await line.send(bytes(320))
    assert line.carried_bytes == (640, 320)
