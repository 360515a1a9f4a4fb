"""Playout: sits behind the transport and sees the audio that really went out."""

import time

from pipecat.frames.frames import Frame, TTSAudioRawFrame
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from agent.call import Call
from agent.frames import AnswerEndFrame


class Playout(FrameProcessor):
    """Counts the samples handed to the wire, and so knows what the caller heard."""

    def __init__(self, call: Call) -> None:
        super().__init__(name=f"playout-{call.call_id}")
        self._call = call

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Counts audio, ends turns, and passes everything on."""
        await super().process_frame(frame, direction)
        if isinstance(frame, TTSAudioRawFrame):
            self._call.played(len(frame.audio) // 2, time.monotonic())
        elif isinstance(frame, AnswerEndFrame) and frame.turn is self._call.turn:
            self._call.end_answer(interrupted=False)
        await self.push_frame(frame, direction)
