"""What one kind of job has asked of the workers so far. Pure."""

from dataclasses import dataclass


@dataclass(slots=True)
class JobFigures:
    """Totals since the start."""

    jobs: int = 0
    """Jobs taken."""
    guesses: int = 0
    """Of these, how many were guesses when they began."""
    runs: int = 0
    """Fewer than ``jobs`` where some shared one."""
    busy_s: float = 0.0
    """Seconds of a worker's time."""
    guess_busy_s: float = 0.0
    """Of these, seconds of guesses that nobody had confirmed by their end."""
    waited_s: float = 0.0
    """Seconds between being queued and being taken, of all jobs together."""
    longest_wait_s: float = 0.0
    cancelled: int = 0
    """Jobs taken back before they began."""
    dropped: int = 0
    """Guesses that gave way to other work in a full queue."""
    refused: int = 0
    """Jobs that a full queue did not take."""

    @property
    def batch(self) -> float:
        """Jobs in a run, on average; 0 without any."""
        return self.jobs / self.runs if self.runs else 0.0

    def taken(self, waited_s: float, guess: bool) -> None:
        """Counts a job that a worker takes."""
        self.jobs += 1
        self.guesses += guess
        self.waited_s += waited_s
        self.longest_wait_s = max(self.longest_wait_s, waited_s)

    def done(self, busy_s: float, guessed: float) -> None:
        """Counts a run's end, of which the share ``guessed`` was for guesses."""
        self.busy_s += busy_s
        self.guess_busy_s += busy_s * guessed
