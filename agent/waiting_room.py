"""Callers who hold the line until a place is free: first come, first served."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import numpy as np
import soxr

from agent.admission import BoxFull
from agent.engines import Engines
from telephony.transport import CallGone, Line, frame_bytes

log = logging.getLogger(__name__)

MESSAGE_EVERY_S = 15.0
"""Silence between two times that a waiting caller is asked for patience."""
FRAMES_A_S = 50


class WaitingRoom:
    """At most ``places`` callers, each for at most ``limit_s``; lives on one event loop."""

    def __init__(
        self,
        places: int,
        limit_s: float,
        message: str,
        engines: Engines,
        give_back: Callable[[], None],
    ) -> None:
        """``message``, speakable, is one of the engines' fixed phrases.

        ``give_back`` is called once a place that was given is in use, or is not wanted.
        """
        self.places = places
        self._limit_s = limit_s
        self._message = message
        self._engines = engines
        self._give_back = give_back
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def waiting(self) -> int:
        """Callers who hold the line."""
        return len(self._waiting)

    @property
    def has_room(self) -> bool:
        """Whether one more may wait."""
        return len(self._waiting) < self.places

    def let_in(self) -> bool:
        """Gives a place to who waited longest; False where nobody waits."""
        while self._waiting:
            first = self._waiting.popleft()
            if not first.done():
                first.set_result(None)
                return True
        return False

    def close(self) -> None:
        """Tells all who wait that it is in vain."""
        while self._waiting:
            first = self._waiting.popleft()
            if not first.done():
                first.set_exception(BoxFull("the box is stopping; call again in a minute"))

    @asynccontextmanager
    async def place(self, line: Line) -> AsyncIterator[None]:
        """Waits on ``line`` for a place, and has one within; use it as soon as it is left.

        Raises BoxFull where no more may wait or it took too long, CallGone where the caller
        gave up.
        """
        if not self.has_room:
            raise BoxFull(f"all places are taken, and {self.places} callers wait already")
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(mine)
        gone = asyncio.create_task(_until_gone(line), name="waiting-caller")
        playing = asyncio.create_task(self._play(line), name="please-hold")
        playing.add_done_callback(_report)
        log.info("a caller waits for a place, %d in all", len(self._waiting))
        try:
            try:
                await asyncio.wait(
                    (mine, gone), timeout=self._limit_s, return_when=asyncio.FIRST_COMPLETED
                )
            finally:
                playing.cancel()
                gone.cancel()
                await asyncio.wait((playing, gone))
            if not mine.done():
                if not gone.cancelled():
                    raise CallGone("the caller gave up waiting")
                raise BoxFull(f"no place became free within {self._limit_s:g} s")
            mine.result()
            yield
        finally:
            if mine in self._waiting:
                self._waiting.remove(mine)
            if mine.done() and not mine.cancelled() and mine.exception() is None:
                self._give_back()

    async def _play(self, line: Line) -> None:
        """Asks for patience, again and again; silence in between keeps the line alive."""
        rate_hz = line.sample_rate_hz
        spoken = [chunk.pcm for chunk in self._engines.phrases.get(self._message, ())]
        made = np.concatenate([np.zeros(0, np.int16), *spoken])
        pcm = soxr.resample(made, self._engines.tts.sample_rate_hz, rate_hz).astype(np.int16)
        size = frame_bytes(rate_hz)
        pause = [bytes(size)] * round(MESSAGE_EVERY_S * FRAMES_A_S)
        audio = pcm.tobytes()
        frames = [audio[at : at + size].ljust(size, b"\0") for at in range(0, len(audio), size)]
        while True:
            for frame in [*frames, *pause]:
                await line.send(frame)


async def _until_gone(line: Line) -> None:
    while await line.receive() is not None:
        pass


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("a waiting caller hears nothing", exc_info=error)
