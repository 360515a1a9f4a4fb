"""Worker threads that do engine work in the order that the queue says.

The rules are in `models.job_queue`. The language model batches its callers on a thread of its
own and is not here.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from models.busy_share import BusyShare
from models.job_figures import JobFigures
from models.job_queue import Job, JobQueue, QueueFull, QueueRules
from models.thread_name import name_thread
from models.thread_priority import give_way

log = logging.getLogger(__name__)

T = TypeVar("T")
I = TypeVar("I")  # noqa: E741 - item
R = TypeVar("R")


class GuessDropped(RuntimeError):
    """The outcome of a guess that gave way to other work in a full queue."""


@dataclass(frozen=True, slots=True, eq=False)
class Batched(Generic[I, R]):
    """Engine work of which several items can be done in one go.

    Items are put together only within one ``Batched``: keep it, and use it for all of them.
    """

    run: Callable[[Sequence[I]], Sequence[R]]
    """Gives one result for each item, in their order."""
    limit: int
    """Items in one go, at most."""
    kind: str


class Scheduled(Future[T]):
    """A job's result. ``cancel`` takes back what has not begun, at once."""

    def __init__(self, schedule: "Schedule") -> None:
        super().__init__()
        self._schedule = schedule
        self.job: Job[_Task] | None = None

    def cancel(self) -> bool:
        """Takes the job back unless it has begun; says whether it could be."""
        cancelled = super().cancel()
        if cancelled:
            self._schedule._forget(self)
        return cancelled

    def confirm(self, deadline_s: float) -> bool:
        """The guess is wanted: it is ordinary work from now on, with this deadline.

        Returns False where it is over already, or was cancelled or dropped.
        """
        return self._schedule._confirm(self, deadline_s)


@dataclass(frozen=True, slots=True, eq=False)
class _Task:
    """What a job of the queue stands for."""

    future: Scheduled[Any]
    run: Callable[[Sequence[Any]], Sequence[Any]]
    item: Any


class Schedule:
    """A fixed set of worker threads over one queue.

    The queue holds at most ``limit`` jobs. Of each kind in ``exclusive`` one run at a time is
    under way: name those whose engine serves one thread at a time.
    """

    def __init__(
        self, workers: int = 2, limit: int = 256, *, exclusive: Collection[str] = ("stt",)
    ) -> None:
        rules = QueueRules(workers=workers, limit=limit, exclusive=frozenset(exclusive))
        self._queue: JobQueue[_Task] = JobQueue(rules)
        self._busy = BusyShare(workers)
        self._ready = threading.Condition()
        self._closing = False
        self._threads = [
            threading.Thread(target=self._work, name=f"engine-{n}", daemon=True)
            for n in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    def submit(
        self, job: Callable[[], T], deadline_s: float, *, kind: str = "", guess: bool = False
    ) -> Scheduled[T]:
        """Queues ``job``; ``deadline_s`` is on ``time.monotonic()``'s clock.

        A guess runs only when nothing else waits, and may end with GuessDropped. Raises
        QueueFull, a RuntimeError, where too much waits, and RuntimeError once closed.
        """
        future: Scheduled[T] = Scheduled(self)
        task = _Task(future, lambda items: [job()], None)
        return self._add(future, Job(task, deadline_s, kind, guess))

    def submit_to(
        self, batched: Batched[I, R], item: I, deadline_s: float, *, guess: bool = False
    ) -> Scheduled[R]:
        """Queues ``item``, which may be done together with others of the same ``batched``.

        Where a run of several raises, each is done again by itself, so that an error reaches
        its own caller alone. Raises as ``submit`` does.
        """
        future: Scheduled[R] = Scheduled(self)
        task = _Task(future, batched.run, item)
        job = Job(task, deadline_s, batched.kind, guess, together=batched, most=batched.limit)
        return self._add(future, job)

    @property
    def waiting(self) -> int:
        """Jobs not yet started."""
        with self._ready:
            return self._queue.waiting

    @property
    def waiting_by_kind(self) -> dict[str, int]:
        """The same by kind; kinds of which none waits are left out."""
        with self._ready:
            return self._queue.waiting_by_kind

    @property
    def running(self) -> int:
        """Runs under way, one a worker."""
        with self._ready:
            return self._queue.running

    @property
    def rules(self) -> QueueRules:
        """How many workers there are, and how many jobs may wait."""
        return self._queue.rules

    def load(self, now_s: float) -> float:
        """The share of the last seconds that the workers worked, 0 to 1."""
        with self._ready:
            return self._busy.at(now_s)

    def figures(self) -> dict[str, JobFigures]:
        """Totals since the start, by kind of job."""
        with self._ready:
            return {kind: replace(figures) for kind, figures in self._queue.figures.items()}

    def close(self) -> None:
        """Cancels what waits, lets what runs finish, and ends the threads."""
        with self._ready:
            self._closing = True
            waiting = self._queue.clear()
            self._ready.notify_all()
        for job in waiting:
            job.payload.future.cancel()
        for thread in self._threads:
            thread.join()

    def _add(self, future: Scheduled[T], job: Job[_Task]) -> Scheduled[T]:
        future.job = job
        with self._ready:
            if self._closing:
                raise RuntimeError("the engine schedule is closed")
            try:
                dropped = self._queue.add(job, time.monotonic())
            except QueueFull as error:
                raise QueueFull(f"the engine schedule is full: {error}") from None
            self._ready.notify()
        if dropped is not None and dropped.payload.future.set_running_or_notify_cancel():
            dropped.payload.future.set_exception(
                GuessDropped("the engine schedule was full, and other work more urgent")
            )
        return future

    def _forget(self, future: Scheduled[Any]) -> None:
        with self._ready:
            if future.job is not None and self._queue.cancel(future.job):
                # A guess may have waited for it.
                self._ready.notify()

    def _confirm(self, future: Scheduled[Any], deadline_s: float) -> bool:
        with self._ready:
            if future.job is None or not self._queue.confirm(future.job, deadline_s):
                return False
            self._ready.notify()
            return True

    def _work(self) -> None:
        name_thread(threading.current_thread().name)
        give_way()
        while True:
            with self._ready:
                while (run := self._queue.take(now_s := time.monotonic())) is None:
                    if self._closing:
                        return
                    # 0 where the job waits for another run's end, which wakes this worker.
                    self._ready.wait(self._queue.urgent_in_s(now_s) or None)
            tasks = [job.payload for job in run.jobs]
            _do([task for task in tasks if task.future.set_running_or_notify_cancel()])
            with self._ready:
                now_s = time.monotonic()
                self._busy.spent(self._queue.done(run, now_s), now_s)
                # Others of an exclusive kind, and what may not take the last worker.
                self._ready.notify_all()


def _do(tasks: Sequence[_Task]) -> None:
    """Runs ``tasks`` in one go and hands each its result."""
    if not tasks:
        return
    try:
        results = tasks[0].run([task.item for task in tasks])
        if len(results) != len(tasks):
            raise RuntimeError(f"{len(tasks)} items gave {len(results)} results")
    except BaseException as error:  # handed to whoever waits, who knows the call
        if len(tasks) == 1:
            tasks[0].future.set_exception(error)
            return
        log.warning("%d jobs failed together (%s); each is done by itself", len(tasks), error)
        for task in tasks:
            _do([task])
        return
    for task, result in zip(tasks, results, strict=True):
        task.future.set_result(result)
