"""Speaking: clauses in, audio at the line's rate out."""

import asyncio
import logging
import time

import numpy as np
import soxr
from numpy.typing import NDArray
from pipecat.frames.frames import Frame, TTSAudioRawFrame, TTSStoppedFrame
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from agent.call import Call
from agent.clause_voice import ClauseVoice
from agent.conversation import SpokenClause
from agent.engines import APOLOGY
from agent.frames import AnswerEndFrame, ClauseFrame
from agent.text import speakable
from agent.turn import Turn
from models.tts.onset import LeadingSilence

log = logging.getLogger(__name__)

AHEAD_S = 4.0
"""Speech is made at most this far ahead of what was played: a barge-in throws it away."""
SENTENCE_PAUSE_S = 0.15
"""Silence between sentences, which are synthesised apart."""


class Speaking(FrameProcessor):
    """Synthesises clauses in order and sends their audio on, piece by piece.

    The audio is made inside ``process_frame``: an interruption cancels it there.
    """

    def __init__(self, call: Call) -> None:
        super().__init__(name=f"speaking-{call.call_id}")
        self._call = call
        self._rate_hz = call.rate_out_hz

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Speaks clauses; passes everything else on."""
        await super().process_frame(frame, direction)
        if isinstance(frame, ClauseFrame):
            # An interruption overtakes clauses on their way here: those are not wanted any more.
            if frame.turn is self._call.turn:
                await self._speak(frame)
            return
        if isinstance(frame, AnswerEndFrame):
            # Makes the transport send what is left over of less than a packet.
            await self.push_frame(TTSStoppedFrame())
        await self.push_frame(frame, direction)

    async def _speak(self, frame: ClauseFrame) -> None:
        turn, text = frame.turn, speakable(frame.text)
        if not text:
            return
        await self._pause_after_sentence(turn)
        clause = SpokenClause(text, turn.spoken.samples, filler=frame.filler)
        turn.spoken.clauses.append(clause)
        turn.characters += len(text)
        voice = frame.voice
        if voice is None:
            voice = ClauseVoice(self._call.engines, text, self._ahead_s(turn))
            turn.voices.append(voice)
        try:
            await self._synthesize(turn, clause, voice)
        except Exception as error:  # of whatever kind, one clause fails and not the call
            log.exception("call %s: speech synthesis failed", self._call.call_id)
            self._call.failed(f"speech synthesis failed: {error}")
            if not clause.samples:
                turn.spoken.clauses.remove(clause)
            if not turn.apologised:
                turn.apologised = True
                await self._speak(ClauseFrame(turn, APOLOGY))
        clause.complete = True

    async def _synthesize(self, turn: Turn, clause: SpokenClause, voice: ClauseVoice) -> None:
        tts = self._call.engines.tts
        # One resampler a clause, flushed at its end, so that no audio is lost or late.
        resampler = soxr.ResampleStream(
            tts.sample_rate_hz, self._rate_hz, 1, dtype="int16", quality="HQ"
        )
        # The caller waits for the first word, not for the silence before it.
        first = clause is turn.spoken.clauses[0]
        silence = LeadingSilence(tts.sample_rate_hz) if first else None
        while True:
            await self._stay_near(turn)
            chunk = await voice.next(self._silence_at_s(turn))
            pcm = chunk.pcm if chunk is not None else np.zeros(0, np.int16)
            if silence is not None:
                pcm = silence.trim(pcm)
            audio = resampler.resample_chunk(pcm, last=chunk is None)
            if turn.first_audio_s is None and not clause.filler:
                turn.first_audio_s = voice.started_s
            await self._send(clause, audio)
            turn.last_audio_s = time.monotonic()
            if chunk is None:
                return

    async def _pause_after_sentence(self, turn: Turn) -> None:
        if turn.spoken.clauses and (last := turn.spoken.clauses[-1]).text[-1] in ".!?":
            await self._send(last, np.zeros(int(SENTENCE_PAUSE_S * self._rate_hz), np.int16))

    async def _send(self, clause: SpokenClause, audio: NDArray[np.int16]) -> None:
        if len(audio):
            clause.samples += len(audio)
            await self.push_frame(TTSAudioRawFrame(audio.tobytes(), self._rate_hz, 1))

    def _ahead_s(self, turn: Turn) -> float:
        return (turn.spoken.samples - turn.played_samples) / self._rate_hz

    def _silence_at_s(self, turn: Turn) -> float:
        """When the caller would hear silence: the deadline of the next chunk."""
        return time.monotonic() + self._ahead_s(turn)

    async def _stay_near(self, turn: Turn) -> None:
        surplus_s = self._ahead_s(turn) - AHEAD_S
        if surplus_s > 0:
            await asyncio.sleep(surplus_s)
