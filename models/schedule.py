"""Whose work runs next on the shared processor: the most urgent job first.

Every engine call is a job with a deadline, the moment its caller would hear silence. A few
worker threads always take the job whose deadline is nearest (earliest deadline first, Liu and
Layland 1973). The language model batches its callers on a thread of its own and is not here.
"""

import heapq
import itertools
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from models.thread_name import name_thread

T = TypeVar("T")


class Schedule:
    """A fixed set of worker threads over one queue ordered by deadline.

    The queue holds at most ``limit`` jobs; one more is refused, since work that cannot be
    done in time is better refused than piled up.
    """

    def __init__(self, workers: int = 2, limit: int = 256) -> None:
        self._limit = limit
        self._ready = threading.Condition()
        self._heap: list[tuple[float, int, Future[Any], Callable[[], Any]]] = []
        self._order = itertools.count()
        self._closing = False
        self._threads = [
            threading.Thread(target=self._work, name=f"engine-{n}", daemon=True)
            for n in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, job: Callable[[], T], deadline_s: float) -> Future[T]:
        """Queues ``job``; ``deadline_s`` is on ``time.monotonic()``'s clock.

        The future can be cancelled until the job starts. Raises RuntimeError when the
        schedule is closed or full.
        """
        future: Future[T] = Future()
        with self._ready:
            if self._closing:
                raise RuntimeError("the engine schedule is closed")
            if len(self._heap) >= self._limit:
                raise RuntimeError(f"the engine schedule is full ({self._limit} jobs waiting)")
            heapq.heappush(self._heap, (deadline_s, next(self._order), future, job))
            self._ready.notify()
        return future

    @property
    def waiting(self) -> int:
        """Jobs not yet started."""
        with self._ready:
            return len(self._heap)

    def close(self) -> None:
        """Cancels what waits, lets what runs finish, and ends the threads."""
        with self._ready:
            self._closing = True
            for _, _, future, _ in self._heap:
                future.cancel()
            self._heap.clear()
            self._ready.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        name_thread(threading.current_thread().name)
        while True:
            with self._ready:
                while not self._heap and not self._closing:
                    self._ready.wait()
                if self._closing:
                    return
                _, _, future, job = heapq.heappop(self._heap)
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = job()
            except BaseException as error:  # handed to whoever waits, who knows the call
                future.set_exception(error)
            else:
                future.set_result(result)
