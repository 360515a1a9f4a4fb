"""Callers who hold the line: in turn, bounded, and told to be patient."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from agent.admission import BoxFull
from agent.engines import Engines
from agent.waiting_room import WaitingRoom
from models.tts.base import AudioChunk
from telephony.loopback import LoopbackLine
from telephony.transport import CallGone

TONE = AudioChunk((8000 * np.sin(np.arange(11025) / 5)).astype(np.int16), 0.0)
LIMIT_S = 20.0


class Bench:
    """A room for two, and what it gave back."""

    def __init__(self, limit_s: float = LIMIT_S) -> None:
        self.given_back = 0
        engines = SimpleNamespace(
            phrases={"Please hold.": (TONE,)}, tts=SimpleNamespace(sample_rate_hz=22050)
        )
        self.room = WaitingRoom(2, limit_s, "Please hold.", cast(Engines, engines), self._count)
        self.served: list[str] = []

    def _count(self) -> None:
        self.given_back += 1

    def caller(self, name: str, line: LoopbackLine) -> asyncio.Task[None]:
        async def wait() -> None:
            async with self.room.place(line):
                self.served.append(name)

        return asyncio.create_task(wait())


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(LIMIT_S):
            await test()

    asyncio.run(limited())


async def _waiting(bench: Bench, number: int) -> None:
    while bench.room.waiting != number:
        await asyncio.sleep(0.005)


def test_who_came_first_is_served_first_and_no_more_may_wait_than_there_are_chairs() -> None:
    async def check() -> None:
        bench = Bench()
        first = bench.caller("first", LoopbackLine())
        await _waiting(bench, 1)
        second = bench.caller("second", LoopbackLine())
        await _waiting(bench, 2)
        with pytest.raises(BoxFull, match="2 callers wait already"):
            await bench.caller("third", LoopbackLine())
        assert bench.room.let_in()
        await first
        assert bench.served == ["first"] and bench.given_back == 1
        assert bench.room.let_in()
        await second
        assert bench.served == ["first", "second"] and bench.given_back == 2
        assert not bench.room.let_in()

    run(check)


def test_a_waiting_caller_is_asked_for_patience() -> None:
    async def check() -> None:
        bench, line = Bench(), LoopbackLine(8000)
        waiting = bench.caller("patient", line)
        heard = np.concatenate(
            [np.frombuffer(await line.hear() or b"", np.int16) for _ in range(20)]
        )
        assert np.abs(heard).max() > 4000
        bench.room.let_in()
        await waiting

    run(check)


def test_a_caller_who_gives_up_leaves_his_chair() -> None:
    async def check() -> None:
        bench, line = Bench(), LoopbackLine()
        waiting = bench.caller("hurried", line)
        await _waiting(bench, 1)
        await line.hang_up()
        with pytest.raises(CallGone):
            await waiting
        assert bench.room.waiting == 0 and bench.given_back == 0
        assert not bench.room.let_in()

    run(check)


def test_nobody_waits_for_ever() -> None:
    async def check() -> None:
        bench = Bench(limit_s=0.05)
        with pytest.raises(BoxFull, match=r"within 0\.05 s"):
            await bench.caller("patient", LoopbackLine())
        assert bench.room.waiting == 0

    run(check)


def test_a_box_that_stops_tells_those_who_wait() -> None:
    async def check() -> None:
        bench = Bench()
        waiting = bench.caller("patient", LoopbackLine())
        await _waiting(bench, 1)
        bench.room.close()
        with pytest.raises(BoxFull, match="stopping"):
            await waiting
        assert bench.given_back == 0

    run(check)


def test_a_place_given_to_somebody_who_is_gone_is_given_back() -> None:
    async def check() -> None:
        bench = Bench()
        waiting = bench.caller("late", LoopbackLine())
        await _waiting(bench, 1)
        assert bench.room.let_in()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert bench.given_back == 1

    run(check)
