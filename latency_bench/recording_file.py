"""A call's recording on disk: one .npz file, so that a run can be measured again."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from latency_bench.part import resampled
from latency_bench.recording import CallRecording, Event, Packets, Said
from latency_bench.utterance import write_stereo_wav
from latency_bench.wire import Stream

LISTEN_RATE_HZ = 16_000
"""Of the stereo file, for a line that carries more."""


def save(recording: CallRecording, path: Path) -> None:
    """Writes it whole."""
    told = {
        "door": recording.door,
        "codec": recording.codec,
        "sent_rate_hz": recording.sent.rate_hz,
        "received_rate_hz": recording.received.rate_hz,
        "clock_hz": recording.packets.clock_hz,
        "said": [asdict(said) for said in recording.said],
        "missed": list(recording.missed),
        "events": [asdict(event) for event in recording.events],
        "dialled_s": recording.dialled_s,
        "answered_s": recording.answered_s,
        "ended_s": recording.ended_s,
        "end": recording.end,
        "reason": recording.reason,
        "transferred_to": recording.transferred_to,
        "notes": list(recording.notes),
    }
    with path.open("wb") as file:
        np.savez(
            file,
            told=np.frombuffer(json.dumps(told).encode(), np.uint8),
            sent_pcm=recording.sent.pcm,
            sent_start=recording.sent.frame_start,
            sent_at_s=recording.sent.at_s,
            received_pcm=recording.received.pcm,
            received_start=recording.received.frame_start,
            received_at_s=recording.received.at_s,
            packet_at_s=recording.packets.at_s,
            packet_sequence=recording.packets.sequence,
            packet_timestamp=recording.packets.timestamp,
        )


def load(path: Path) -> CallRecording:
    """Reads it back. Raises OSError, ValueError and KeyError for a file that is none."""
    with np.load(path, allow_pickle=False) as data:
        told = json.loads(bytes(data["told"]))
        return CallRecording(
            door=told["door"],
            codec=told["codec"],
            sent=Stream(
                data["sent_pcm"], data["sent_start"], data["sent_at_s"], told["sent_rate_hz"]
            ),
            received=Stream(
                data["received_pcm"],
                data["received_start"],
                data["received_at_s"],
                told["received_rate_hz"],
            ),
            packets=Packets(
                data["packet_at_s"],
                data["packet_sequence"],
                data["packet_timestamp"],
                told["clock_hz"],
            ),
            said=tuple(Said(**said) for said in told["said"]),
            missed=tuple(told["missed"]),
            events=tuple(Event(**event) for event in told["events"]),
            dialled_s=told["dialled_s"],
            answered_s=told["answered_s"],
            ended_s=told["ended_s"],
            end=told["end"],
            reason=told["reason"],
            transferred_to=told["transferred_to"],
            notes=tuple(told["notes"]),
        )


def save_stereo(recording: CallRecording, path: Path) -> None:
    """What both sides said as one would have heard it on the line: caller left, agent right.

    Second 0 is the moment of the answer.
    """
    rate_hz = min(LISTEN_RATE_HZ, recording.received.rate_hz, recording.sent.rate_hz)
    length = max(1, round((recording.ended_s - recording.answered_s) * rate_hz))
    left = on_timeline(recording.sent, recording.answered_s, rate_hz, length)
    right = on_timeline(recording.received, recording.answered_s, rate_hz, length)
    write_stereo_wav(path, left, right, rate_hz)


def on_timeline(stream: Stream, from_s: float, rate_hz: int, length: int) -> NDArray[np.int16]:
    """The stream from ``from_s`` on, int16, shape (length,), each sample at its time.

    Frames that overlap a little are laid one over the other: the later one holds.
    """
    line = np.zeros(length, np.int16)
    if not len(stream.pcm):
        return line
    pcm = resampled(stream.pcm, stream.rate_hz, rate_hz)
    ends = np.append(stream.frame_start[1:], len(stream.pcm))
    scale = rate_hz / stream.rate_hz
    # Frames in step are copied together: only where the clock jumps does a new stretch begin.
    due = stream.at_s[0] + (stream.frame_start - stream.frame_start[0]) / stream.rate_hz
    drift = stream.at_s - due
    cuts = np.flatnonzero(np.abs(np.diff(np.round(drift / 0.04))) > 0) + 1
    for first, last in zip([0, *cuts], [*cuts, len(ends)], strict=True):
        piece = pcm[round(stream.frame_start[first] * scale) : round(ends[last - 1] * scale)]
        at = round((float(np.median(drift[first:last])) + due[first] - from_s) * rate_hz)
        begin, skipped = max(0, at), max(0, -at)
        fits = piece[skipped : skipped + max(0, length - begin)]
        line[begin : begin + len(fits)] = fits
    return line
