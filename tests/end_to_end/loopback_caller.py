"""A caller at the loopback door: speaks when the agent is silent, and keeps what it hears."""

import asyncio
import re
import time
from collections.abc import Callable
from typing import Any, Self

import jiwer
import numpy as np
from numpy.typing import NDArray

from agent.box import Box
from agent.pipeline import CallRun
from telephony.loopback import LoopbackLine
from telephony.transport import FRAME_S, frame_bytes

LIMIT_S = 90.0
VOICED_RMS = 200


class LoopbackCaller:
    """One call; use as an async context manager. Silence flows whenever nothing is said."""

    def __init__(self, box: Box, rate_hz: int = 8000) -> None:
        self._box = box
        self.line = LoopbackLine(rate_hz)
        self.events: list[dict[str, Any]] = []
        self.heard: list[bytes] = []
        self.voiced_at_s = 0.0
        self._to_say = asyncio.Queue[bytes]()
        self._vanished = False
        self._tasks: list[asyncio.Task[None]] = []
        self.run: CallRun | None = None

    async def __aenter__(self) -> Self:
        self.run = await self._box.answer(self.line, emit=self.events.append)
        self._tasks = [asyncio.create_task(self._talk()), asyncio.create_task(self._listen())]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.line.hang_up()
        try:
            await self.until(lambda: self.ended is not None)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def ended(self) -> str | None:
        """The cause that the box gave, once it is over."""
        causes = [event["cause"] for event in self.events if event["type"] == "call.ended"]
        return causes[0] if causes else None

    def turns(self) -> list[dict[str, Any]]:
        """The finished turns, the greeting first."""
        return [event for event in self.events if event["type"] == "turn"]

    async def say(self, pcm: bytes) -> None:
        """Says ``pcm`` and returns once it was sent."""
        self._to_say.put_nowait(pcm)
        async with asyncio.timeout(LIMIT_S):
            await self._to_say.join()

    def vanish(self) -> None:
        """Sends nothing more, not even silence."""
        self._vanished = True

    async def until(self, fact: Callable[[], bool], limit_s: float = LIMIT_S) -> None:
        """Waits for something to become true."""
        async with asyncio.timeout(limit_s):
            while not fact():  # noqa: ASYNC110 - facts of many kinds, none with an event
                await asyncio.sleep(0.02)

    async def turn(self, number: int) -> dict[str, Any]:
        """Waits for a turn to be over, and returns it."""
        await self.until(lambda: any(turn["turn"] == number for turn in self.turns()))
        return next(turn for turn in self.turns() if turn["turn"] == number)

    def audio(self) -> NDArray[np.int16]:
        """All that was heard so far."""
        return np.frombuffer(b"".join(self.heard), np.int16)

    async def _talk(self) -> None:
        silence = bytes(frame_bytes(self.line.sample_rate_hz))
        while not self.line.over:
            if self._vanished:
                await asyncio.sleep(FRAME_S)
            elif self._to_say.empty():
                await self.line.speak(silence)
            else:
                await self.line.speak(self._to_say.get_nowait())
                self._to_say.task_done()

    async def _listen(self) -> None:
        while (frame := await self.line.hear()) is not None:
            self.heard.append(frame)
            samples = np.frombuffer(frame, np.int16).astype(np.float64)
            if np.sqrt(np.mean(samples**2)) > VOICED_RMS:
                self.voiced_at_s = time.monotonic()


def words(text: str) -> str:
    """Lower case, no punctuation; how two transcripts are compared."""
    return " ".join(re.sub(r"[^a-z0-9' ]", " ", text.lower()).split())


def word_error_rate(expected: str, got: str) -> float:
    """0 for the same words."""
    return float(jiwer.wer(words(expected), words(got) or "-"))
