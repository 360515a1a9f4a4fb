"""The agent's audio on its way to the WebRTC sender, in 20 ms frames.

Pipecat's own track hands over 10 ms at a time, while an Opus packet holds 20: half of its
wake-ups, each with a hop to the encoder's thread, are for nothing, on every call, all the time.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from fractions import Fraction

import numpy as np
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av import AudioFrame

from agent.playout_gate import PlayoutGate
from telephony.transport import FRAME_S, frame_bytes

CATCH_UP_S = 0.1
"""After a stall longer than this the clock starts anew, so that no burst follows it."""


class AudioTrack(MediaStreamTrack):
    """Emits what it was given, paced by the monotonic clock; silence where there is nothing.

    Its queue is bounded by its writer, who waits for each write to be taken. While ``gate`` is
    closed it takes nothing and sends silence. ``on_played`` is told of what goes out: PCM16 mono,
    its rate, and when it is on the wire (monotonic).
    """

    kind = "audio"

    def __init__(
        self,
        sample_rate_hz: int,
        gate: PlayoutGate | None = None,
        on_played: Callable[[bytes, int, float], None] = lambda pcm, rate_hz, at_s: None,
    ) -> None:
        super().__init__()
        self._gate = gate or PlayoutGate()
        self._on_played = on_played
        self._rate_hz = sample_rate_hz
        self._frame_bytes = frame_bytes(sample_rate_hz)
        self._silence = bytes(self._frame_bytes)
        self._queue: deque[tuple[bytes, asyncio.Future[bool]]] = deque()
        self._pts = 0
        self._due_s: float | None = None

    def add_audio_bytes(self, audio: bytes) -> "asyncio.Future[bool]":
        """Queues one frame of PCM16 mono; the future is done once it is on its way.

        Raises ValueError for anything but 20 ms.
        """
        if len(audio) != self._frame_bytes:
            raise ValueError(f"a frame is {self._frame_bytes} bytes, not {len(audio)}")
        taken: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._queue.append((audio, taken))
        return taken

    def flush(self) -> None:
        """Drops what was not taken yet: the caller interrupted."""
        while self._queue:
            _, taken = self._queue.popleft()
            if not taken.done():
                taken.set_result(False)

    async def recv(self) -> AudioFrame:
        """The next 20 ms, when they are due."""
        if self.readyState != "live":
            raise MediaStreamError
        now_s = time.monotonic()
        if self._due_s is None or now_s - self._due_s > CATCH_UP_S:
            self._due_s = now_s
        elif self._due_s > now_s:
            await asyncio.sleep(self._due_s - now_s)
        self._due_s += FRAME_S
        audio = self._silence
        if self._queue and self._gate.is_open:
            audio, taken = self._queue.popleft()
            if not taken.done():
                taken.set_result(True)
            self._on_played(audio, self._rate_hz, time.monotonic())
        samples = np.frombuffer(audio, np.int16)
        frame = AudioFrame.from_ndarray(samples[None, :], layout="mono")
        frame.sample_rate = self._rate_hz
        frame.pts = self._pts
        frame.time_base = Fraction(1, self._rate_hz)
        self._pts += len(samples)
        return frame
