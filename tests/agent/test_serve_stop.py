"""How a box closes its doors, and what a second signal changes."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from scripted_door import QuietBox, a_store

from agent.box import Box
from agent.config import Config
from agent.serve import _close_doors
from agent.stop_signal import stop_signal
from telephony.transport import HangupCause

LIMIT_S = 20.0


class Door:
    """The telephone door, or the page's."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.closed = False
        self._fault = fault

    async def close(self) -> None:
        self.closed = True
        if self._fault is not None:
            raise self._fault

    stop = close


class Talk:
    """A call that goes on until it is hung up."""

    def __init__(self, box: Box) -> None:
        self.cause: HangupCause | None = None
        self._hung_up = asyncio.Event()
        box._runs["call"] = self  # type: ignore[assignment]
        self.task = asyncio.create_task(self._run())
        box._tasks.add(self.task)
        self.task.add_done_callback(box._tasks.discard)

    async def _run(self) -> HangupCause:
        await self._hung_up.wait()
        assert self.cause is not None
        return self.cause

    def hang_up(self, cause: HangupCause) -> None:
        self.cause = self.cause or cause
        self._hung_up.set()


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[Box]:
    config = Config.model_validate({"calls": {"drain_s": 600}})
    store = a_store(tmp_path)
    yield QuietBox(config, store)
    store.close()


async def test_a_second_signal_cuts_the_drain_short_and_closes_every_door(box: Box) -> None:
    talk, phone, page = Talk(box), Door(), Door()
    async with asyncio.timeout(LIMIT_S), stop_signal() as again:
        closing = asyncio.create_task(_close_doors(box, phone, page, again))  # type: ignore[arg-type]
        await asyncio.sleep(0.05)
        assert not closing.done() and not phone.closed
        os.kill(os.getpid(), signal.SIGINT)
        await closing
    assert talk.cause is HangupCause.BOX_STOPPED
    assert phone.closed and page.closed


async def test_a_drain_that_is_cancelled_or_a_door_that_fails_leaves_no_door_open(
    box: Box,
) -> None:
    talk, phone, page = Talk(box), Door(RuntimeError("a door with a fault")), Door()
    async with asyncio.timeout(LIMIT_S):
        closing = asyncio.create_task(
            _close_doors(box, phone, page, asyncio.Event())  # type: ignore[arg-type]
        )
        await asyncio.sleep(0.05)
        closing.cancel()
        with pytest.raises(RuntimeError, match="with a fault"):
            await closing
        assert phone.closed and page.closed
        talk.hang_up(HangupCause.FAILED)
        await talk.task
