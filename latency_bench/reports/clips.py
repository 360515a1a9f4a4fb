"""A call's sound for the page: a drawing's peaks, and a compressed clip that browsers play.

The WAV is stereo, caller left and agent right, and begins when the call was answered.
"""

import base64
import io
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from latency_bench.figures import CallFigures

BIT_RATE = 32_000
"""Opus, both channels: every word is clear, and a minute is 240 KB."""
OPUS_RATE_HZ = 48_000
PEAK_S = 0.01
PEAKS_MAX = 12_000
"""Of each channel; a longer call has coarser ones."""
PEAKS_LIMIT_BYTES = 6_000_000
WAV_LIMIT_BYTES = 512 * 1024 * 1024
BLOCK_S = 10


@dataclass(frozen=True, slots=True)
class Peaks:
    """The largest sample of each ``step_s``, 0 to 127, of the caller and of the agent."""

    step_s: float
    caller: bytes
    agent: bytes


@dataclass(frozen=True, slots=True)
class Clips:
    """What there is of the calls' sound, by call number; ``missing`` says why not."""

    peaks: dict[int, Peaks]
    audio: dict[int, str]
    """``data:`` addresses."""
    missing: dict[int, str]


def gather(calls: Sequence[CallFigures], folder: Path, limit_bytes: int) -> Clips:
    """Waveforms of the calls, and clips in the order of interest while ``limit_bytes`` last."""
    clips = Clips({}, {}, {})
    left, peaks_left = limit_bytes, PEAKS_LIMIT_BYTES
    for call in in_order_of_interest(calls):
        if call.audio is None:
            clips.missing[call.call] = "no recording was kept"
            continue
        path = _inside(folder, call.audio)
        if path is None:
            clips.missing[call.call] = (
                "its recording lies outside the report's folder; put the report beside it"
            )
            continue
        try:
            pcm, rate_hz = read_stereo(path)
        except FileNotFoundError:
            clips.missing[call.call] = f"{call.audio} is not beside the report"
            continue
        except (OSError, wave.Error, EOFError, ValueError) as error:
            clips.missing[call.call] = f"{call.audio} cannot be read: {error}"
            continue
        peaks = peaks_of(pcm, rate_hz)
        if len(peaks.caller) * 2 <= peaks_left:
            peaks_left -= len(peaks.caller) * 2
            clips.peaks[call.call] = peaks
        # What will not fit is not compressed to find that out.
        if _likely_bytes(len(pcm) / rate_hz) > left:
            clips.missing[call.call] = f"left out to keep this page small; it is in {call.audio}"
            continue
        address = "data:audio/webm;base64," + base64.b64encode(compress(pcm, rate_hz)).decode()
        left -= len(address)
        clips.audio[call.call] = address
    return clips


def in_order_of_interest(calls: Sequence[CallFigures]) -> list[CallFigures]:
    """The slowest, the median, those that failed, one of each scenario, then the rest."""
    timed = sorted(
        ((turn.v2v_ms, call) for call in calls for turn in call.turns if turn.counts),
        key=lambda pair: pair[0] or 0.0,
    )
    chosen: list[CallFigures] = []
    if timed:
        chosen = [timed[-1][1], timed[(len(timed) - 1) // 2][1]]
    chosen += [call for call in calls if not call.passed]
    chosen += list({call.scenario: call for call in reversed(calls)}.values())
    chosen += calls
    return list({call.call: call for call in chosen}.values())


def read_stereo(path: Path) -> tuple[NDArray[np.int16], int]:
    """A 16-bit WAV as int16 of shape (samples, 2), and its rate; mono is on both sides.

    Raises OSError, EOFError, wave.Error, or ValueError for another format.
    """
    if path.stat().st_size > WAV_LIMIT_BYTES:
        raise ValueError(f"over {WAV_LIMIT_BYTES // 2**20} MiB")
    with wave.open(str(path), "rb") as source:
        channels, rate_hz = source.getnchannels(), source.getframerate()
        if source.getsampwidth() != 2 or channels not in (1, 2):
            raise ValueError("not 16-bit mono or stereo")
        raw = source.readframes(source.getnframes())
    pcm = np.frombuffer(raw[: len(raw) // (2 * channels) * 2 * channels], "<i2")
    pcm = pcm.reshape(-1, channels).astype(np.int16)
    return (pcm if channels == 2 else np.repeat(pcm, 2, axis=1)), rate_hz


def peaks_of(pcm: NDArray[np.int16], rate_hz: int) -> Peaks:
    """Peaks of stereo ``pcm``, shape (samples, 2)."""
    step = max(1, round(PEAK_S * rate_hz), -(-len(pcm) // PEAKS_MAX))
    count = -(-len(pcm) // step)
    padded = np.zeros((count * step, 2), np.int32)
    padded[: len(pcm)] = np.abs(pcm.astype(np.int32))
    largest = padded.reshape(count, step, 2).max(axis=1) if count else padded
    small = np.minimum(largest >> 8, 127).astype(np.uint8)
    return Peaks(step / rate_hz, small[:, 0].tobytes(), small[:, 1].tobytes())


def compress(pcm: NDArray[np.int16], rate_hz: int) -> bytes:
    """Stereo ``pcm`` as Opus in WebM, which Chromium, Firefox and Safari play and seek in."""
    out = io.BytesIO()
    with av.open(out, "w", format="webm") as container:
        stream = container.add_stream("libopus", rate=OPUS_RATE_HZ, layout="stereo")
        stream.bit_rate = BIT_RATE
        stream.options = {"compression_level": "4"}
        resampler = av.AudioResampler(format="s16", layout="stereo", rate=OPUS_RATE_HZ)
        block = BLOCK_S * rate_hz
        for start in range(0, len(pcm), block):
            piece = np.ascontiguousarray(pcm[start : start + block]).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(piece, format="s16", layout="stereo")
            frame.sample_rate = rate_hz
            for ready in resampler.resample(frame):
                container.mux(stream.encode(ready))
        for ready in resampler.resample(None):
            container.mux(stream.encode(ready))
        container.mux(stream.encode(None))
    return out.getvalue()


def _likely_bytes(seconds: float) -> int:
    return round(seconds * BIT_RATE / 8 * 4 / 3)


def _inside(folder: Path, name: str) -> Path | None:
    """The file, unless its name leads out of the report's folder."""
    root = folder.resolve()
    path = (root / name).resolve()
    return path if path.is_relative_to(root) else None
