"""How loud each side of a recording was, for a page to draw. Reads files; blocks."""

import wave
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FULL_SCALE = 32768
READ_FRAMES = 1 << 18
"""Frames in memory at once: an hour of a call is some hundred megabytes."""


class NoRecording(Exception):
    """There is no sound to show; the message says why."""


@dataclass(frozen=True, slots=True)
class Waveform:
    """Loudest sample of each of many stretches of equal length, 0 to 1, by side."""

    duration_s: float
    caller: tuple[float, ...]
    agent: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        """JSON types only."""
        return {
            "duration_s": self.duration_s,
            "caller": list(self.caller),
            "agent": list(self.agent),
        }


def duration_s(path: Path) -> float:
    """The length of a recording. Raises NoRecording."""
    with _opened(path) as file:
        return file.getnframes() / file.getframerate()


def read_waveform(path: Path, stretches: int) -> Waveform:
    """``stretches`` peaks a side of a recording made by `telephony.recording`.

    Fewer where it is shorter than that many samples. Raises NoRecording.
    """
    with _opened(path) as file:
        frames, rate_hz = file.getnframes(), file.getframerate()
        stretch = max(1, -(-frames // stretches))
        peaks = np.zeros((-(-frames // stretch), 2), np.float64)
        at = 0
        while read := file.readframes(max(1, READ_FRAMES // stretch) * stretch):
            found = _peaks(np.frombuffer(read, "<i2").reshape(-1, 2), stretch)
            peaks[at : at + len(found)] = found
            at += len(found)
    shown = np.round(peaks[:at] / FULL_SCALE, 4)
    return Waveform(frames / rate_hz, tuple(shown[:, 0].tolist()), tuple(shown[:, 1].tolist()))


def _peaks(samples: NDArray[np.int16], stretch: int) -> NDArray[np.int32]:
    """The loudest of each ``stretch`` frames, the last of them perhaps shorter; by column."""
    loudness = np.abs(samples.astype(np.int32))
    starts = np.arange(0, len(loudness), stretch)
    return np.maximum.reduceat(loudness, starts, axis=0)


def _opened(path: Path) -> wave.Wave_read:
    try:
        file = wave.open(str(path), "rb")
    except FileNotFoundError:
        raise NoRecording("the recording is not there any more") from None
    except (OSError, wave.Error, EOFError) as error:
        raise NoRecording(f"the recording cannot be read: {error}") from error
    if (file.getnchannels(), file.getsampwidth()) != (2, 2):
        file.close()
        raise NoRecording("the recording has not the two sides, of 16 bits, that a call has")
    return file
