"""A call as a stereo WAV: the caller on the left, the agent on the right, in step.

What arrives sets the pace: a line's frames follow the wall clock even where packets were lost
(`telephony.continuity`), and the agent's audio leaves the box at the same pace. So each frame
heard is written beside as much of what was said.
"""

import logging
import wave
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from telephony.transport import HangupCause, Line, LineControl, LineEvent

log = logging.getLogger(__name__)

CHUNK_S = 1.0
"""Written to the disk at once."""
BEHIND_LIMIT = 60
"""Chunks that may wait for a slow disk; then the recording ends, and the call goes on."""

AHEAD_LIMIT_S = 2.0
"""What is said may be so far ahead of what is heard; no door holds back as much."""

_disk = ThreadPoolExecutor(1, thread_name_prefix="recording")


class Recorder:
    """One file, which its owner alone may read.

    Blocks for opening and closing it; writes on a thread of its own.
    """

    def __init__(self, path: Path, sample_rate_hz: int) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
        self.path = path
        self._file: wave.Wave_write | None = wave.open(str(path), "wb")
        self._file.setnchannels(2)
        self._file.setsampwidth(2)
        self._file.setframerate(sample_rate_hz)
        self._chunk_bytes = int(CHUNK_S * sample_rate_hz) * 2
        self._ahead_bytes = int(AHEAD_LIMIT_S * sample_rate_hz) * 2
        self._heard = bytearray()
        self._said = bytearray()
        """In step with ``_heard``."""
        self._to_come = bytearray()
        """Said, and not on the wire yet."""
        self._writes: list[Future[None]] = []

    def heard(self, pcm: bytes) -> None:
        """A frame came from the caller: time passes."""
        said = self._to_come[: len(pcm)]
        del self._to_come[: len(pcm)]
        self._heard += pcm
        self._said += said + bytes(len(pcm) - len(said))
        if len(self._heard) >= self._chunk_bytes:
            self._write()

    def said(self, pcm: bytes) -> None:
        """A frame was given to the wire."""
        self._to_come += pcm
        # Time passed that nothing heard tells of, such as in a hold: the latest is the nearest.
        del self._to_come[: -self._ahead_bytes]

    def took_back(self) -> None:
        """What was not on the wire yet was taken back."""
        self._to_come.clear()

    def close(self) -> None:
        """Writes the rest, then closes the file; returns at once."""
        if self._file is not None:
            self._write()
            file, self._file = self._file, None
            _disk.submit(file.close)

    def _write(self) -> None:
        self._writes = [write for write in self._writes if not self._is_done(write)]
        if self._file is None:
            return
        stereo = np.frombuffer(bytes(self._heard) + bytes(self._said), np.int16).reshape(2, -1).T
        self._heard.clear()
        self._said.clear()
        if len(self._writes) >= BEHIND_LIMIT:
            log.error("%s: the disk is too slow; the recording ends here", self.path)
            file, self._file = self._file, None
            _disk.submit(file.close)
            return
        # The header is brought up to date each time: a box that dies leaves a sound file.
        self._writes.append(_disk.submit(self._file.writeframes, stereo.tobytes()))

    def _is_done(self, write: "Future[None]") -> bool:
        if not write.done():
            return False
        if (error := write.exception()) is not None:
            log.error("%s: not written: %s; the recording ends here", self.path, error)
            self._file = None
        return True


@runtime_checkable
class TellsSent(Protocol):
    """A line that says what it took: while a call is held it takes nothing."""

    on_sent: Callable[[bytes], None]


class RecordedLine:
    """A line whose two sides are recorded on their way, once there is a recorder."""

    def __init__(self, line: Line, recorder: Recorder | None = None) -> None:
        self._line = line
        self._recorder: Recorder | None = None
        self.door = line.door
        self.caller = line.caller
        self.dialled = line.dialled
        self.sample_rate_hz = line.sample_rate_hz
        self.control: LineControl | None = line.control
        self._tells_sent = isinstance(line, TellsSent)
        self._over = False
        if recorder is not None:
            self.begin(recorder)

    def begin(self, recorder: Recorder) -> None:
        """From here on what passes is recorded."""
        if self._over:
            recorder.close()
            return
        self._recorder = recorder
        if isinstance(self._line, TellsSent):
            self._line.on_sent = recorder.said

    @property
    def cause(self) -> HangupCause:
        """Why the far end's audio ended."""
        return self._line.cause

    @cause.setter
    def cause(self, cause: HangupCause) -> None:
        self._line.cause = cause

    async def receive(self) -> bytes | LineEvent | None:
        """The next 20 ms or event; None once the call is over."""
        got = await self._line.receive()
        if got is None:
            self._close()
        elif isinstance(got, bytes) and self._recorder is not None:
            self._recorder.heard(got)
        return got

    async def send(self, pcm: bytes) -> None:
        """Sends 20 ms; returns when the line is ready for more."""
        if not self._tells_sent and self._recorder is not None:
            self._recorder.said(pcm)
        await self._line.send(pcm)

    @property
    def ahead_s(self) -> float:
        """Seconds of what was sent that wait for the wire."""
        return self._line.ahead_s

    def flush(self) -> bytes:
        """Takes back what is not on the wire, and gives it."""
        taken = self._line.flush()
        if self._recorder is not None:
            self._recorder.took_back()
        return taken

    async def hang_up(self) -> None:
        """Ends the call, and the recording."""
        await self._line.hang_up()
        self._close()

    def _close(self) -> None:
        self._over = True
        if self._recorder is not None:
            self._recorder.close()
