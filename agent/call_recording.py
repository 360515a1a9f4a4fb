"""The sound of a call in a file, from when the caller was told that it is kept."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np

from agent.call import Call
from agent.stages.hearing import reference_resamplers
from telephony.continuity import Continuity
from telephony.recording import Recorder

log = logging.getLogger(__name__)


async def record(
    call: Call, folder: Path, sample_rate_hz: int, take: Callable[[Recorder], None]
) -> None:
    """Has ``take`` write to a new file of ``folder``; an error in the log where that fails."""
    path = folder / f"{call.call_id}.wav"
    try:
        recorder = await asyncio.to_thread(Recorder, path, sample_rate_hz)
    except OSError as error:
        log.error("call %s: %s cannot be written: %s", call.call_id, path, error)
        return
    take(recorder)
    call.recording = str(path)
    call.emit({"type": "recording", "announced": call.config.records.consent})


class Overheard:
    """Both sides of a call on their way through its stages, for a door without a line.

    The caller's side has the rate of what is heard, and so has the file.
    """

    def __init__(self, call: Call) -> None:
        self._call = call
        self._recorder: Recorder | None = None
        self._continuity = Continuity(call.rate_in_hz)
        self._resamplers = reference_resamplers(call.rate_out_hz, call.rate_in_hz)

    def begin(self, recorder: Recorder) -> None:
        """From here on what passes is written."""
        self._recorder = recorder
        heard, played = self._call.on_heard, self._call.on_played

        def on_heard(pcm: bytes, at_s: float) -> None:
            self._heard(recorder, pcm, at_s)
            heard(pcm, at_s)

        def on_played(pcm: bytes, rate_hz: int, at_s: float) -> None:
            self._said(recorder, pcm)
            played(pcm, rate_hz, at_s)

        self._call.on_heard, self._call.on_played = on_heard, on_played

    def close_after(self, release: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        """``release``, and then the file is closed."""

        async def released() -> None:
            try:
                await release()
            finally:
                if self._recorder is not None:
                    self._recorder.close()

        return released

    def _heard(self, recorder: Recorder, pcm: bytes, at_s: float) -> None:
        # What packets were lost is silence: both sides stay in step.
        missing = self._continuity.take(len(pcm) // 2, at_s)
        if missing > 0:
            recorder.heard(bytes(2 * missing))
        pcm = pcm[max(0, -2 * missing) :]
        if pcm:
            recorder.heard(pcm)

    def _said(self, recorder: Recorder, pcm: bytes) -> None:
        samples = np.frombuffer(pcm, np.int16)
        for resampler in self._resamplers:
            samples = resampler.resample(samples)
        recorder.said(samples.tobytes())
