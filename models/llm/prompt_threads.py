"""How many threads read a prompt: more while the machine has nothing else to do. Pure.

A second thread reads a prompt in little more than half the time. On a busy machine it costs:
each operation of each layer ends with both threads waiting for the one that is not running.
"""

from dataclasses import dataclass

WINDOW_S = 0.5
"""Shorter than this, the work that led to the prompt itself would look like load."""
ROOM = 0.4
"""Share of all cores in use up to which there is room for another thread."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What the clocks showed."""

    at_s: float
    process_s: float
    """Processor time of this process so far, all threads."""
    machine_busy_s: float
    """Processor time of the whole machine so far, all cores."""


class PromptThreads:
    """Chooses between ``threads`` and ``most`` on ``cores`` cores."""

    def __init__(self, threads: int, most: int, cores: int) -> None:
        self._threads = threads
        self._most = max(threads, most)
        self._cores = cores
        self._before: Reading | None = None
        self._room = False

    def choose(self, now: Reading) -> int:
        """Threads for the prompt that is evaluated at ``now``."""
        before = self._before
        if before is None or now.at_s - before.at_s >= WINDOW_S:
            if before is not None:
                spent_s = max(
                    now.process_s - before.process_s, now.machine_busy_s - before.machine_busy_s
                )
                self._room = spent_s / ((now.at_s - before.at_s) * self._cores) <= ROOM
            self._before = now
        return self._most if self._room else self._threads
