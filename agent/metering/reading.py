"""What the machine's counters show at one moment, and what was spent between two. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reading:
    """Counters since whenever they began; only the growth between two readings means anything."""

    at_s: float
    """When, on the monotonic clock."""
    process_s: float
    """Processor seconds of the box and of the processes that it began."""
    machine_s: float
    """Processor seconds of everything on the machine."""
    memory_bytes: int = 0
    """What the box and the processes that it began hold now (resident)."""
    cpu_j: float | None = None
    """Joules of the processors' packages; None: no counter can be read."""
    gpu_s: float = 0.0
    """Seconds that the GPUs were busy, of several the sum."""
    gpu_j: float | None = None
    """Joules of the GPUs; None: no counter can be read."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What the machine spent in an interval."""

    seconds: float
    process_s: float
    machine_s: float
    """No less than ``process_s``."""
    cpu_j: float | None = None
    gpu_s: float = 0.0
    gpu_j: float | None = None


def spent_between(before: Reading, after: Reading) -> Spent:
    """The growth of each counter; none falls, whatever a counter that was reset shows."""
    process_s = max(0.0, after.process_s - before.process_s)
    return Spent(
        seconds=max(0.0, after.at_s - before.at_s),
        process_s=process_s,
        # The two are read one after the other, in steps of a clock tick.
        machine_s=max(process_s, after.machine_s - before.machine_s),
        cpu_j=_grown(before.cpu_j, after.cpu_j),
        gpu_s=max(0.0, after.gpu_s - before.gpu_s),
        gpu_j=_grown(before.gpu_j, after.gpu_j),
    )


def _grown(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else max(0.0, after - before)
