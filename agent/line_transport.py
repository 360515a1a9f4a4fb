"""A telephony line as a Pipecat transport: 20 ms frames in and out at the line's own rate."""

import asyncio
import logging
import time
from collections.abc import Callable

from pipecat.frames.frames import (
    CancelFrame,
    EndFrame,
    Frame,
    InputAudioRawFrame,
    InterruptionFrame,
    OutputAudioRawFrame,
    StartFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.transports.base_input import BaseInputTransport
from pipecat.transports.base_output import BaseOutputTransport
from pipecat.transports.base_transport import BaseTransport, TransportParams

from agent.playout_gate import PlayoutGate
from telephony.transport import Line, LineEvent, frame_bytes

log = logging.getLogger(__name__)


class LineTransport(BaseTransport):
    """Joins a ``Line`` to a pipeline.

    The line's end is told through ``on_hang_up``, its keys and holds through ``on_line_event``.
    While ``gate`` is closed the agent's audio waits. ``on_played`` is told of what goes out: PCM16
    mono, its rate, and when it is on the wire (monotonic); what the gate takes back, twice.
    """

    def __init__(
        self,
        line: Line,
        gate: PlayoutGate | None = None,
        on_played: Callable[[bytes, int, float], None] = lambda pcm, rate_hz, at_s: None,
    ) -> None:
        super().__init__()
        params = TransportParams(
            audio_in_enabled=True,
            audio_in_sample_rate=line.sample_rate_hz,
            audio_out_enabled=True,
            audio_out_sample_rate=line.sample_rate_hz,
            audio_out_10ms_chunks=2,
            audio_out_end_silence_secs=0,
        )
        self._register_event_handler("on_hang_up")
        self._register_event_handler("on_line_event")
        self._input = _LineInput(line, params, self)
        self._output = _LineOutput(line, params, gate or PlayoutGate(), on_played)

    def input(self) -> FrameProcessor:
        """The processor that brings the caller's audio."""
        return self._input

    def output(self) -> FrameProcessor:
        """The processor that takes the agent's audio."""
        return self._output

    async def caller_hung_up(self) -> None:
        """Tells whoever listens that the line is over."""
        await self._call_event_handler("on_hang_up")

    async def line_event(self, event: LineEvent) -> None:
        """Tells whoever listens what happened on the line."""
        await self._call_event_handler("on_line_event", event)


class _LineInput(BaseInputTransport):
    def __init__(self, line: Line, params: TransportParams, transport: LineTransport) -> None:
        super().__init__(params)
        self._line = line
        self._transport = transport
        self._reading: asyncio.Task[None] | None = None

    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        await self.set_transport_ready(frame)
        self._reading = self.create_task(self._read(), name="line-read")

    async def stop(self, frame: EndFrame) -> None:
        await super().stop(frame)
        await self._stop_reading()

    async def cancel(self, frame: CancelFrame) -> None:
        await super().cancel(frame)
        await self._stop_reading()

    async def cleanup(self) -> None:
        await super().cleanup()
        await self._stop_reading()

    async def _stop_reading(self) -> None:
        if self._reading is not None:
            reading, self._reading = self._reading, None
            await self.cancel_task(reading)

    async def _read(self) -> None:
        while (got := await self._line.receive()) is not None:
            if isinstance(got, bytes):
                await self.push_audio_frame(InputAudioRawFrame(got, self._line.sample_rate_hz, 1))
            else:
                await self._transport.line_event(got)
        await self._transport.caller_hung_up()


class _LineOutput(BaseOutputTransport):
    def __init__(
        self,
        line: Line,
        params: TransportParams,
        gate: PlayoutGate,
        on_played: Callable[[bytes, int, float], None],
    ) -> None:
        super().__init__(params)
        self._line = line
        self._gate = gate
        self._on_played = on_played
        self._held = bytearray()
        """Sent, and taken back when the gate closed: the first to go out again."""
        self._sending = asyncio.Lock()
        self._resending: asyncio.Task[None] | None = None
        self._interruptions = 0
        gate.on_close = self._hold_back

    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        await self.set_transport_ready(frame)

    async def cleanup(self) -> None:
        await super().cleanup()
        if self._resending is not None:
            resending, self._resending = self._resending, None
            await self.cancel_task(resending)

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Takes back what the line has not sent yet when the caller interrupts."""
        await super().process_frame(frame, direction)
        if isinstance(frame, InterruptionFrame):
            self._interruptions += 1
            self._held.clear()
            self._line.flush()
            # Whoever waits to write learns that it is not wanted any more.
            self._gate.open()

    async def write_audio_frame(self, frame: OutputAudioRawFrame) -> bool:
        """Sends once the gate is open; False where the caller interrupted meanwhile."""
        interruptions = self._interruptions
        async with self._sending:
            await self._send_held()
            if self._interruptions != interruptions:
                return False
            await self._send(frame.audio)
        return True

    def _hold_back(self) -> None:
        """The gate closed: what waits for the wire waits here, and goes out first."""
        self._held[:0] = self._line.flush()
        if self._held and (self._resending is None or self._resending.done()):
            self._resending = self.create_task(self._resend(), name="line-resend")

    async def _resend(self) -> None:
        # The answer may have been written to its end: nobody else would send the rest.
        async with self._sending:
            await self._send_held()

    async def _send_held(self) -> None:
        """Returns with the gate open and nothing held back."""
        size = frame_bytes(self._line.sample_rate_hz)
        await self._gate.until_open()
        while self._held:
            pcm = bytes(self._held[:size])
            del self._held[:size]
            await self._send(pcm)
            await self._gate.until_open()

    async def _send(self, pcm: bytes) -> None:
        self._on_played(pcm, self._line.sample_rate_hz, time.monotonic() + self._line.ahead_s)
        await self._line.send(pcm)
