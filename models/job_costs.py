"""What a run of each kind of job has taken of late, and so what the next one will. Pure."""

from dataclasses import dataclass

MEMORY = 0.2
"""The latest run's weight: some ten runs are remembered."""
HOPED_EXTRA = 0.5
"""What one more job in a run is hoped to cost, as a share of a job alone, until it was tried.

Low enough that it is tried; tiny Whisper takes about 0.5 (a batch of 8 in 4.8 times the time
of one).
"""
BEARABLE = 1.1


@dataclass(slots=True)
class _Cost:
    alone_s: float
    extra_s: float | None = None


class JobCosts:
    """Expected seconds of a run, by kind and number of jobs: ``alone + extra * (jobs - 1)``."""

    def __init__(self) -> None:
        self._costs: dict[str, _Cost] = {}

    def record(self, kind: str, jobs: int, busy_s: float) -> None:
        """Counts a run of ``jobs`` jobs that took ``busy_s`` seconds."""
        cost = self._costs.get(kind)
        if cost is None:
            self._costs[kind] = _Cost(busy_s / (1 + HOPED_EXTRA * (jobs - 1)))
        elif jobs == 1:
            cost.alone_s += MEMORY * (busy_s - cost.alone_s)
        else:
            extra_s = max(0.0, busy_s - cost.alone_s) / (jobs - 1)
            was_s = extra_s if cost.extra_s is None else cost.extra_s
            cost.extra_s = was_s + MEMORY * (extra_s - was_s)

    def expected_s(self, kind: str, jobs: int = 1) -> float:
        """How long a run of ``jobs`` jobs will take; 0 for a kind that never ran."""
        cost = self._costs.get(kind)
        if cost is None:
            return 0.0
        extra_s = HOPED_EXTRA * cost.alone_s if cost.extra_s is None else cost.extra_s
        return cost.alone_s + extra_s * (jobs - 1)

    def worth_waiting(self, kind: str, jobs: int) -> bool:
        """Whether ``jobs`` jobs in one run wait hardly longer, on average, than one by one.

        One by one, the n-th is done after n times the time of one: (n + 1) / 2 on average.
        Together they cost less, and so whoever comes next waits less.
        """
        return self.expected_s(kind, jobs) <= BEARABLE * self.expected_s(kind) * (jobs + 1) / 2
