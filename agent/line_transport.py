"""A telephony line as a Pipecat transport: 20 ms frames in and out at the line's own rate."""

import asyncio
import logging

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

from telephony.transport import Line, LineEvent

log = logging.getLogger(__name__)


class LineTransport(BaseTransport):
    """Joins a ``Line`` to a pipeline.

    The line's end is told through ``on_hang_up``, its keys and holds through ``on_line_event``.
    """

    def __init__(self, line: Line) -> None:
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
        self._output = _LineOutput(line, params)

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
    def __init__(self, line: Line, params: TransportParams) -> None:
        super().__init__(params)
        self._line = line

    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        await self.set_transport_ready(frame)

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Takes back what the line has not sent yet when the caller interrupts."""
        await super().process_frame(frame, direction)
        if isinstance(frame, InterruptionFrame):
            self._line.flush()

    async def write_audio_frame(self, frame: OutputAudioRawFrame) -> bool:
        await self._line.send(frame.audio)
        return True
