"""What runs next on the shared processor. Pure: time is an argument, and nothing runs here.

Every job has a deadline, the moment its caller would hear silence, and the nearest goes first
(earliest deadline first; Liu and Layland 1973). Beyond that:

* Jobs that can share one run of their engine and are about equally urgent do, as long as no
  caller who could have been served in time waits too long for it.
* A kind declared exclusive has one run at a time, so that no worker merely waits for an
  engine's lock.
* Work that can wait never takes the last free worker: whatever comes next may be urgent, and
  nothing that runs is interrupted. That is work whose deadline is far, such as the rest of an
  utterance whose beginning is still being played; and guesses, of which nobody knows yet
  whether they are wanted. A guess besides runs only where no other job waits.
* The queue is bounded. At its limit guesses are dropped first, and then new work is refused.
"""

import math
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from itertools import count
from typing import Generic, TypeVar

from models.job_costs import JobCosts
from models.job_figures import JobFigures

P = TypeVar("P")


class QueueFull(RuntimeError):
    """Work that cannot be done in time is better refused than piled up."""


@dataclass(eq=False, slots=True)
class Job(Generic[P]):
    """One piece of engine work."""

    payload: P
    deadline_s: float
    """When its caller would hear silence, on the clock of ``now_s``."""
    kind: str = ""
    guess: bool = False
    """Whether it may turn out to be unwanted."""
    together: object | None = None
    """Jobs with the very same object may share a run."""
    most: int = 1
    """Jobs in a run, at most."""
    order: int = field(init=False, default=-1)
    added_s: float = field(init=False, default=0.0)


@dataclass(eq=False, slots=True)
class Run(Generic[P]):
    """Jobs that a worker has taken to do in one go, most urgent first."""

    jobs: tuple[Job[P], ...]
    began_s: float
    can_wait: bool
    """Whether it left a worker free for what is urgent."""

    @property
    def kind(self) -> str:
        """The kind of all its jobs."""
        return self.jobs[0].kind


@dataclass(frozen=True, slots=True)
class QueueRules:
    """How the queue decides."""

    workers: int = 2
    limit: int = 256
    """Jobs waiting, at most."""
    exclusive: Collection[str] = frozenset()
    """Kinds of which one run at a time is under way."""
    equally_urgent_s: float = 0.15
    """Deadlines so near each other may share a run; all that are past count as now."""
    far_s: float = 1.0
    """A deadline further off can wait."""

    def __post_init__(self) -> None:
        if self.workers < 1 or self.limit < 1:
            raise ValueError("a queue needs at least one worker and room for one job")


class JobQueue(Generic[P]):
    """The jobs that wait and the runs under way. Not thread-safe."""

    def __init__(self, rules: QueueRules | None = None) -> None:
        self.rules = rules or QueueRules()
        self.costs = JobCosts()
        self.figures: dict[str, JobFigures] = {}
        self._order = count()
        self._ordinary: list[tuple[float, int, Job[P]]] = []
        self._guesses: list[tuple[float, int, Job[P]]] = []
        self._running: list[Run[P]] = []

    @property
    def waiting(self) -> int:
        """Jobs not yet taken."""
        return len(self._ordinary) + len(self._guesses)

    @property
    def waiting_by_kind(self) -> dict[str, int]:
        """The same by kind; kinds of which none waits are left out."""
        return dict(Counter(entry[2].kind for entry in (*self._ordinary, *self._guesses)))

    @property
    def running(self) -> int:
        """Runs under way."""
        return len(self._running)

    def add(self, job: Job[P], now_s: float) -> Job[P] | None:
        """Queues ``job``; returns the guess that was dropped for it, if any.

        Raises QueueFull, and ValueError for a deadline that is no number.
        """
        if math.isnan(job.deadline_s):
            raise ValueError("a job's deadline is no number")
        dropped = None
        if self.waiting >= self.rules.limit:
            if job.guess or not self._guesses:
                self._figures(job.kind).refused += 1
                raise QueueFull(f"{self.rules.limit} jobs wait already")
            dropped = self._guesses.pop()[2]
            self._figures(dropped.kind).dropped += 1
        job.order, job.added_s = next(self._order), now_s
        self._insert(job)
        return dropped

    def take(self, now_s: float) -> Run[P] | None:
        """What a free worker does next; None where nothing may begin now.

        The run is under way until ``done`` is told.
        """
        if len(self._running) >= self.rules.workers:
            return None
        first = self._first(now_s)
        if first is None:
            return None
        jobs = (first, *self._companions(first, now_s))
        for job in jobs:
            self._remove(job)
            self._figures(job.kind).taken(now_s - job.added_s, job.guess)
        run = Run(jobs, now_s, first.guess or self._is_far(first, now_s))
        self._figures(first.kind).runs += 1
        self._running.append(run)
        return run

    def done(self, run: Run[P], now_s: float) -> float:
        """Ends ``run``, whether it succeeded or not; returns the seconds that it took."""
        self._running.remove(run)
        busy_s = max(0.0, now_s - run.began_s)
        self.costs.record(run.kind, len(run.jobs), busy_s)
        guessed = sum(job.guess for job in run.jobs) / len(run.jobs)
        self._figures(run.kind).done(busy_s, guessed)
        return busy_s

    def cancel(self, job: Job[P]) -> bool:
        """Forgets ``job`` if it still waits; says whether it did."""
        if not self._remove(job):
            return False
        self._figures(job.kind).cancelled += 1
        return True

    def confirm(self, job: Job[P], deadline_s: float) -> bool:
        """A guess turned out to be wanted: it is ordinary work from now on.

        Returns whether it still waits or runs; what is over stays as it was.
        """
        if self._remove(job):
            job.guess, job.deadline_s = False, deadline_s
            self._insert(job)
            return True
        for run in self._running:
            if job in run.jobs:
                job.guess = False
                run.can_wait = False
                return True
        return False

    def urgent_in_s(self, now_s: float) -> float | None:
        """Seconds until the first job that can wait no longer can; None without any."""
        if not self._ordinary:
            return None
        return max(0.0, self._ordinary[0][0] - self.rules.far_s - now_s)

    def clear(self) -> list[Job[P]]:
        """Forgets all that waits, and returns it."""
        left = [entry[2] for entry in (*self._ordinary, *self._guesses)]
        self._ordinary.clear()
        self._guesses.clear()
        return left

    def _first(self, now_s: float) -> Job[P] | None:
        """The most urgent job that may begin."""
        busy = {run.kind for run in self._running}.intersection(self.rules.exclusive)
        waiting = self._ordinary or self._guesses
        for _, _, job in waiting:
            if job.kind in busy:
                continue
            # All that follow can wait too.
            if (job.guess or self._is_far(job, now_s)) and not self._spare_worker():
                return None
            return job
        return None

    def _spare_worker(self) -> bool:
        """Whether, with one more run that can wait, a worker is left to what is urgent."""
        workers = self.rules.workers
        return workers == 1 or sum(run.can_wait for run in self._running) < workers - 1

    def _companions(self, first: Job[P], now_s: float) -> list[Job[P]]:
        """Who shares the run of ``first``."""
        # A run of several guesses would keep a worker longer than a guess may.
        if first.guess or first.together is None or first.most < 2:
            return []
        alike: list[Job[P]] = []
        rival: Job[P] | None = None
        # Whatever is late is as urgent as anything can be.
        latest_s = max(first.deadline_s, now_s) + self.rules.equally_urgent_s
        for deadline_s, _, job in self._ordinary:
            if job is first:
                continue
            if job.together is first.together and deadline_s <= latest_s:
                alike.append(job)
            elif rival is None:
                rival = job
            if deadline_s > latest_s:
                break
        most = min(first.most, len(alike) + 1)
        if first.kind not in self.rules.exclusive:
            # Workers that are free do their part beside this one.
            free = self.rules.workers - len(self._running)
            most = min(most, math.ceil((len(alike) + 1) / free))
        jobs = 1
        while jobs < most and self._bearable(first, rival, jobs + 1, now_s):
            jobs += 1
        return alike[: jobs - 1]

    def _bearable(self, first: Job[P], rival: Job[P] | None, jobs: int, now_s: float) -> bool:
        """Whether ``first``, and the next in line, can bear a run of so many jobs."""
        expected_s = self.costs.expected_s
        done_s = now_s + expected_s(first.kind, jobs)
        alone_s = now_s + expected_s(first.kind)
        if alone_s <= first.deadline_s:
            if done_s > first.deadline_s:
                return False
        elif not self.costs.worth_waiting(first.kind, jobs):
            return False
        if rival is None:
            return True
        latest_s = rival.deadline_s - expected_s(rival.kind)
        return done_s <= latest_s or alone_s > latest_s

    def _is_far(self, job: Job[P], now_s: float) -> bool:
        return job.deadline_s - now_s > self.rules.far_s

    def _line(self, job: Job[P]) -> list[tuple[float, int, Job[P]]]:
        return self._guesses if job.guess else self._ordinary

    def _insert(self, job: Job[P]) -> None:
        insort(self._line(job), (job.deadline_s, job.order, job))

    def _remove(self, job: Job[P]) -> bool:
        line = self._line(job)
        at = bisect_left(line, (job.deadline_s, job.order))
        if at == len(line) or line[at][2] is not job:
            return False
        del line[at]
        return True

    def _figures(self, kind: str) -> JobFigures:
        return self.figures.setdefault(kind, JobFigures())
