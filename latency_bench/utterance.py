"""Something for the caller to say: loaded, brought to the wire's rate, its ends known."""

import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray

from latency_bench.wire import voiced_segments

WIRE_RATE_HZ = 48_000
"""The caller's side of WebRTC: Opus always runs at this rate."""
LONGEST_S = 60.0


class SpeechError(Exception):
    """A recording cannot be used; the message names the file and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """One thing to say, at ``WIRE_RATE_HZ``.

    ``pcm``: int16 mono, shape (samples,). ``first_voiced`` and ``last_voiced``: samples in it.
    """

    pcm: NDArray[np.int16]
    first_voiced: int
    last_voiced: int
    expected: str | None
    """The words, where they are known."""
    source: str
    """Where it comes from, for people."""

    @property
    def speech_s(self) -> float:
        """First to last voiced sample."""
        return (self.last_voiced - self.first_voiced + 1) / WIRE_RATE_HZ


def prepare(
    pcm: NDArray[np.int16], rate_hz: int, *, expected: str | None, source: str
) -> Utterance:
    """Brings mono ``pcm``, shape (samples,), to the wire's rate in one go and finds its ends.

    Raises SpeechError where it holds no speech or is too long.
    """
    if len(pcm) > LONGEST_S * rate_hz:
        raise SpeechError(
            f"{source}: {len(pcm) / rate_hz:.0f} s long; use a recording of {LONGEST_S:.0f} s "
            "or less"
        )
    if rate_hz != WIRE_RATE_HZ:
        pcm = soxr.resample(pcm, rate_hz, WIRE_RATE_HZ)
    segments = voiced_segments(pcm, WIRE_RATE_HZ)
    if not segments:
        raise SpeechError(f"{source}: no speech found in it; record it louder")
    return Utterance(pcm, segments[0].first, segments[-1].last, expected, source)


def read_wav(path: Path) -> tuple[NDArray[np.int16], int]:
    """A WAV file's samples as int16 mono, shape (samples,), and its rate in Hz.

    Takes 8, 16, 24 and 32 bit PCM with any number of channels, mixed down.
    Raises SpeechError for anything else.
    """
    try:
        with wave.open(str(path), "rb") as file:
            rate_hz, width = file.getframerate(), file.getsampwidth()
            channels = file.getnchannels()
            data = file.readframes(file.getnframes())
    except FileNotFoundError:
        raise SpeechError(f"{path}: no such file") from None
    except OSError as error:
        raise SpeechError(f"{path}: cannot be read: {error.strerror}") from error
    except (wave.Error, EOFError) as error:
        raise SpeechError(
            f"{path}: not a PCM WAV file ({str(error) or 'it ends too early'}); convert it with "
            f"`ffmpeg -i {path.name} -ac 1 -c:a pcm_s16le speech.wav`"
        ) from error
    data = data[: len(data) - len(data) % (width * channels)]
    if not data:
        raise SpeechError(f"{path}: holds no samples")
    if width not in (1, 2, 3, 4):
        raise SpeechError(f"{path}: {8 * width} bits a sample; 8, 16, 24 and 32 can be read")
    mixed = _samples(data, width).reshape(-1, channels).mean(axis=1)
    return np.clip(np.rint(mixed), -32768, 32767).astype(np.int16), rate_hz


def write_wav(path: Path, pcm: NDArray[np.int16], rate_hz: int) -> None:
    """Writes mono ``pcm``, shape (samples,), as 16 bit PCM."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(pcm.tobytes())


def write_stereo_wav(
    path: Path, left: NDArray[np.int16], right: NDArray[np.int16], rate_hz: int
) -> None:
    """Writes two channels of the same length, shape (samples,), as 16 bit PCM."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(np.column_stack((left, right)).tobytes())


def _samples(data: bytes, width: int) -> NDArray[np.float64]:
    """PCM bytes of ``width`` bytes a sample, on the int16 scale, shape (samples,)."""
    match width:
        case 1:
            return (np.frombuffer(data, np.uint8).astype(np.float64) - 128) * 256
        case 2:
            return np.frombuffer(data, "<i2").astype(np.float64)
        case 3:
            parts = np.frombuffer(data, np.uint8).reshape(-1, 3).astype(np.int32)
            whole = parts[:, 0] | parts[:, 1] << 8 | parts[:, 2] << 16
            return ((whole ^ 0x800000) - 0x800000).astype(np.float64) / 256
        case _:
            return np.frombuffer(data, "<i4").astype(np.float64) / 65536
