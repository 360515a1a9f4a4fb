"""The loopback door: a call inside the process, paced as a real line is.

For tests and self-checks. Audio passes unchanged, at any rate; 8000 Hz makes a telephone line
of it.
"""

import asyncio
import time
from typing import TypeVar

from telephony.transport import (
    FRAME_S,
    Digit,
    HangupCause,
    Held,
    LineControl,
    LineEvent,
    frame_bytes,
)

T = TypeVar("T")

QUEUE_FRAMES = 50
"""A second of audio. When a side does not read, its oldest frame is dropped."""


class LoopbackLine:
    """The box's end; ``caller_end`` is the other one."""

    door = "loopback"
    cause = HangupCause.CALLER_HUNG_UP
    control: LineControl | None = None

    def __init__(
        self, sample_rate_hz: int = 8000, caller: str = "loopback", dialled: str = ""
    ) -> None:
        self.sample_rate_hz = sample_rate_hz
        self.caller = caller
        self.dialled = dialled
        self._to_box: asyncio.Queue[bytes | LineEvent | None] = asyncio.Queue(QUEUE_FRAMES)
        self._to_caller: asyncio.Queue[bytes | None] = asyncio.Queue(QUEUE_FRAMES)
        self._over = asyncio.Event()
        self._pace_box = Pace()
        self._pace_caller = Pace()
        self._bytes_in = self._bytes_out = 0

    async def receive(self) -> bytes | LineEvent | None:
        """The caller's next frame or key, or None once the call is over."""
        return await self._to_box.get() if not self._drained(self._to_box) else None

    async def send(self, pcm: bytes) -> None:
        """Takes one frame of the agent's audio and returns when the next is due."""
        await self._pace_box.wait()
        self._bytes_out += len(pcm)
        self._put(self._to_caller, pcm)

    @property
    def carried_bytes(self) -> tuple[int, int]:
        """PCM, which no codec makes less of."""
        return self._bytes_in, self._bytes_out

    @property
    def ahead_s(self) -> float:
        """Nothing waits: what was sent is with the caller."""
        return 0.0

    def flush(self) -> bytes:
        """Takes back what the caller has not read yet."""
        unread = bytearray()
        while not self._to_caller.empty():
            unread += self._to_caller.get_nowait() or b""
        if self._over.is_set():
            self._to_caller.put_nowait(None)
        return bytes(unread)

    async def hang_up(self) -> None:
        """Ends the call; both ends read None after what is queued."""
        if not self._over.is_set():
            self._over.set()
            self._put(self._to_box, None)
            self._put(self._to_caller, None)

    @property
    def over(self) -> bool:
        """Whether either side has hung up."""
        return self._over.is_set()

    async def speak(self, pcm: bytes) -> None:
        """The caller's side: says ``pcm`` (PCM16 mono) in real time, then returns."""
        size = frame_bytes(self.sample_rate_hz)
        for start in range(0, len(pcm), size):
            if self._over.is_set():
                return
            await self._pace_caller.wait()
            self._bytes_in += size
            self._put(self._to_box, pcm[start : start + size].ljust(size, b"\0"))

    def press(self, key: str) -> None:
        """The caller's side: presses a key of the telephone."""
        self._put(self._to_box, Digit(key, 100))

    def put_on_hold(self, on: bool) -> None:
        """The caller's side: puts the call on hold, or takes it back."""
        self._put(self._to_box, Held(on))

    async def hear(self) -> bytes | None:
        """The caller's side: the agent's next frame, or None once the call is over."""
        return await self._to_caller.get() if not self._drained(self._to_caller) else None

    def _drained(self, queue: "asyncio.Queue[T]") -> bool:
        return self._over.is_set() and queue.empty()

    @staticmethod
    def _put(queue: "asyncio.Queue[T]", item: T) -> None:
        if queue.full():
            queue.get_nowait()
        queue.put_nowait(item)


class Pace:
    """Lets a frame pass every 20 ms; after a pause the count begins anew."""

    def __init__(self, interval_s: float = FRAME_S) -> None:
        self._interval_s = interval_s
        self._next_s = 0.0

    async def wait(self) -> None:
        """Returns when the next frame is due."""
        now_s = time.monotonic()
        if self._next_s < now_s - self._interval_s:
            self._next_s = now_s
        if self._next_s > now_s:
            await asyncio.sleep(self._next_s - now_s)
        self._next_s += self._interval_s
