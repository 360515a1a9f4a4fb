"""Recordings for tests that are about when things happened, not about sound."""

from collections.abc import Sequence

import numpy as np

from latency_bench.recording import CallRecording, Event, Packets, Said
from latency_bench.wire import Stream

RATE_HZ = 8000


def recording(
    spoke_s: Sequence[tuple[float, float]],
    *,
    answered_s: float = 100.0,
    ended_s: float = 130.0,
    door: str = "sip",
    events: tuple[Event, ...] = (),
) -> CallRecording:
    """A call in which the caller spoke from and until these seconds after the answer."""
    samples = round((ended_s - answered_s) * RATE_HZ)
    silence = Stream(np.zeros(samples, np.int16), np.array([0]), np.array([answered_s]), RATE_HZ)
    none = np.zeros(0)
    said = tuple(
        Said(
            part=place,
            step=place,
            kind="speech",
            over_agent=False,
            continues=False,
            owes_answer=True,
            first=round(began * RATE_HZ),
            last=round(ended * RATE_HZ),
        )
        for place, (began, ended) in enumerate(spoke_s)
    )
    return CallRecording(
        door=door,
        codec="PCMU/8000",
        sent=silence,
        received=silence,
        packets=Packets(none, none.astype(np.int64), none.astype(np.int64), RATE_HZ),
        said=said,
        missed=(),
        events=events,
        dialled_s=answered_s - 0.1,
        answered_s=answered_s,
        ended_s=ended_s,
        end="completed",
    )
