"""Calls made of tones whose times are known to the sample."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latency_bench.recording import (
    CallEnd,
    CallRecording,
    Event,
    Frame,
    Packets,
    Said,
    stream_of,
)

RATE_HZ = 8_000
FRAME = RATE_HZ // 50
ANSWERED_S = 50.0
"""On the caller's clock; the times below are since then."""

Spoken = tuple[float, float] | tuple[float, float, dict[str, Any]]
"""From, for how long, and other fields of `Said`."""


def tone(samples: int, level: float = 0.3, hz: float = 440, rate_hz: int = RATE_HZ) -> NDArray[Any]:
    t = np.arange(samples) / rate_hz
    return (np.cos(2 * np.pi * hz * t) * level * 32767).astype(np.int16)


def frames(pcm: NDArray[np.int16], late_s: float = 0.0, rate_hz: int = RATE_HZ) -> list[Frame]:
    """20 ms frames, each handed over on the dot, or arriving ``late_s`` after that."""
    size = rate_hz // 50
    return [
        Frame(pcm[at : at + size], ANSWERED_S + at / rate_hz + late_s, at)
        for at in range(0, len(pcm), size)
    ]


def packets(
    at_s: Sequence[float] | NDArray[np.float64],
    sequence: Sequence[int] | None = None,
    timestamp: Sequence[int] | None = None,
) -> Packets:
    """Of 20 ms each, numbered on end unless told otherwise."""
    count = len(at_s)
    numbers = np.arange(count) if sequence is None else np.array(sequence)
    stamps = numbers * FRAME if timestamp is None else np.array(timestamp)
    return Packets(
        np.array(at_s, np.float64), numbers.astype(np.int64), stamps.astype(np.int64), RATE_HZ
    )


def call(
    said: Sequence[Spoken] = (),
    agent: Sequence[tuple[float, float]] = (),
    *,
    duration_s: float = 20.0,
    late_s: float = 0.0,
    events: tuple[Event, ...] = (),
    received: NDArray[np.int16] | None = None,
    end: CallEnd = "completed",
    **changes: Any,
) -> CallRecording:
    """What the caller said and the agent answered: (from, for how long), in seconds.

    ``received`` takes the place of the agent's tones.
    """
    total = round(duration_s * RATE_HZ)
    sent = np.zeros(total, np.int16)
    parts = []
    for number, (from_s, for_s, *fields) in enumerate(said):
        first, length = round(from_s * RATE_HZ), round(for_s * RATE_HZ)
        part = Said(
            **{
                "part": number,
                "step": number,
                "kind": "speech",
                "over_agent": False,
                "continues": False,
                "owes_answer": True,
                "first": first,
                "last": first + length - 1,
                "text": f"question {number}",
                **(fields[0] if fields else {}),
            }
        )
        if part.kind in ("speech", "noise"):
            sent[first : first + length] = tone(length, hz=330)
        parts.append(part)
    if received is None:
        received = np.zeros(total, np.int16)
        for from_s, for_s in agent:
            first, length = round(from_s * RATE_HZ), round(for_s * RATE_HZ)
            received[first : first + length] = tone(length)
    arrived = frames(received, late_s)
    return CallRecording(
        **{
            "door": "sip",
            "codec": "PCMU/8000",
            "sent": stream_of(frames(sent), RATE_HZ),
            "received": stream_of(arrived, RATE_HZ),
            "packets": packets([frame.at_s for frame in arrived]),
            "said": tuple(parts),
            "missed": (),
            "events": events,
            "dialled_s": ANSWERED_S - 0.5,
            "answered_s": ANSWERED_S,
            "ended_s": ANSWERED_S + duration_s,
            "end": end,
            **changes,
        }
    )


def turn_event(at_s: float, turn: int, **body: Any) -> Event:
    """The agent's word on a turn, ``at_s`` after the answer."""
    return Event(ANSWERED_S + at_s, {"type": "turn", "turn": turn, **body})


def event(at_s: float, kind: str, **body: Any) -> Event:
    return Event(ANSWERED_S + at_s, {"type": kind, **body})
