"""The agent's audio on its way to the WebRTC sender, in 20 ms frames or Opus packets.

Pipecat's own track hands over 10 ms at a time, while an Opus packet holds 20. aiortc's own encoder
makes stereo at 48 kHz of them, which costs 20 ms (its resampler is always one frame behind), 3 dB
of level, and two waits for the interpreter a packet, since it is a thread's work. Here a packet is
encoded as it is due, in 0.1 ms, and handed over ready (`OpusEncoder`).

Nothing is sent into a silence but a packet now and then, as Opus does by itself where it may
(discontinuous transmission; RFC 7587, 3.1.3): the first words then need not wait for the tick of a
clock, and a call that listens costs next to nothing. The RTP timestamps go on with time.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from fractions import Fraction

import numpy as np
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av import AudioFrame, CodecContext, Packet
from av.audio.stream import AudioStream

from agent.playout_gate import PlayoutGate
from telephony.transport import FRAME_S, frame_bytes

CATCH_UP_S = 0.1
"""After a stall longer than this the clock starts anew, so that no burst follows it."""
QUIET_FRAMES = 10
"""Frames of silence sent after a sound: what is in a far end's buffer is pushed out by them."""
QUIET_S = 0.4
"""Between two packets of a longer silence; libopus' own figure."""
BIT_RATE = 64000
G711_BYTES = 160
"""What 20 ms take in the codecs that aiortc encodes itself: G.711 and G.722 alike."""


class OpusEncoder:
    """Mono speech to Opus packets, one a frame, without SILK: 2.5 ms of delay instead of 6.5."""

    def __init__(self, sample_rate_hz: int) -> None:
        """Raises ValueError for a rate that Opus has not (24,000 and 48,000 Hz and others)."""
        codec = CodecContext.create("libopus", "w")
        codec.bit_rate = BIT_RATE
        codec.format = "s16"
        codec.layout = "mono"
        codec.sample_rate = sample_rate_hz
        self._time_base = codec.time_base = Fraction(1, sample_rate_hz)
        codec.options = {"application": "lowdelay"}
        self._codec = codec

    def encode(self, frame: AudioFrame) -> "Packet[AudioStream]":
        """The packet of 20 ms; it carries the frame's time."""
        (packet,) = self._codec.encode(frame)
        packet.pts, packet.time_base = frame.pts, self._time_base
        return packet


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
        self._added = asyncio.Event()
        """Set while there is something in the queue."""
        self._pts = 0
        self._due_s: float | None = None
        self._encoder: OpusEncoder | None = None
        self._quiet = 0
        """Frames of silence since the last sound."""
        self.bytes_out = 0
        """Of the payloads that were handed over."""

    def speak_opus(self) -> None:
        """From here on gives encoded packets: Opus was agreed on."""
        self._encoder = OpusEncoder(self._rate_hz)

    def add_audio_bytes(self, audio: bytes) -> "asyncio.Future[bool]":
        """Queues one frame of PCM16 mono; the future is done once it is on its way.

        Raises ValueError for anything but 20 ms.
        """
        if len(audio) != self._frame_bytes:
            raise ValueError(f"a frame is {self._frame_bytes} bytes, not {len(audio)}")
        taken: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._queue.append((audio, taken))
        self._added.set()
        return taken

    def flush(self) -> None:
        """Drops what was not taken yet: the caller interrupted."""
        while self._queue:
            _, taken = self._queue.popleft()
            if not taken.done():
                taken.set_result(False)
        self._added.clear()

    async def recv(self) -> "AudioFrame | Packet[AudioStream]":
        """The next 20 ms, when they are due."""
        if self.readyState != "live":
            raise MediaStreamError
        await self._until_due()
        frame = AudioFrame.from_ndarray(
            np.frombuffer(self._take(), np.int16)[None, :], layout="mono"
        )
        frame.sample_rate = self._rate_hz
        frame.pts = self._pts
        frame.time_base = Fraction(1, self._rate_hz)
        self._pts += frame.samples
        if self._encoder is None:
            self.bytes_out += G711_BYTES
            return frame
        packet = self._encoder.encode(frame)
        self.bytes_out += packet.size
        return packet

    async def _until_due(self) -> None:
        now_s = time.monotonic()
        planned_s = now_s if self._due_s is None else self._due_s
        if planned_s > now_s:
            await asyncio.sleep(planned_s - now_s)
            now_s = planned_s
        if self._encoder is not None and self._quiet >= QUIET_FRAMES:
            await self._until_sound()
            now_s = time.monotonic()
        at_s = planned_s
        if now_s - planned_s > CATCH_UP_S or self._quiet >= QUIET_FRAMES:
            at_s = max(now_s, planned_s)
            if self._encoder is not None:
                # What was not sent was silence, and took its time.
                self._pts += round((at_s - planned_s) * self._rate_hz)
        self._due_s = at_s + FRAME_S

    async def _until_sound(self) -> None:
        """Returns once there is something to say, or after ``QUIET_S``."""
        try:
            async with asyncio.timeout(QUIET_S):
                await self._added.wait()
                await self._gate.until_open()
        except TimeoutError:
            return

    def _take(self) -> bytes:
        if not self._queue or not self._gate.is_open:
            self._quiet += 1
            return self._silence
        self._quiet = 0
        audio, taken = self._queue.popleft()
        if not self._queue:
            self._added.clear()
        if not taken.done():
            taken.set_result(True)
        self._on_played(audio, self._rate_hz, time.monotonic())
        return audio
