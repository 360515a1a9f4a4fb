"""How well what an agent tells of a call fits the call that the bench recorded. Pure."""

import statistics
from collections.abc import Sequence

from latency_bench.recording import CallRecording


def misfit_s(recording: CallRecording, heard_s: Sequence[float]) -> float | None:
    """By how much the ends of speech that the agent heard lie from the caller's own, typically.

    ``heard_s``: monotonic times. Two calls through one door seldom agree in this to 0.2 s, and an
    agent hears its caller's last word within 0.3 s of where it was. None where either side has
    nothing to compare.
    """
    ended_s = [recording.sent.time_s(said.last) for said in recording.said]
    if not ended_s or not heard_s:
        return None
    return statistics.median(min(abs(heard - ended) for ended in ended_s) for heard in heard_s)
