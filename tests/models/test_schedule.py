"""The schedule runs the most urgent job first; no test here measures time."""

import threading
from concurrent.futures import CancelledError

import pytest

from models.schedule import Schedule

LIMIT_S = 5


@pytest.fixture
def held() -> "tuple[Schedule, threading.Event]":
    """One worker, busy until the event is set."""
    schedule, release, busy = Schedule(workers=1, limit=8), threading.Event(), threading.Event()

    def hold() -> None:
        busy.set()
        release.wait(LIMIT_S)

    schedule.submit(hold, 0.0)
    assert busy.wait(LIMIT_S)
    yield schedule, release
    release.set()
    schedule.close()


def test_the_nearest_deadline_goes_first(held: "tuple[Schedule, threading.Event]") -> None:
    schedule, release = held
    order: list[str] = []
    futures = [
        schedule.submit(lambda name=name: order.append(name), deadline)
        for name, deadline in (("late", 9.0), ("soon", 1.0), ("next", 5.0), ("soon too", 1.0))
    ]
    release.set()
    for future in futures:
        future.result(LIMIT_S)
    assert order == ["soon", "soon too", "next", "late"]


def test_a_cancelled_job_never_runs(held: "tuple[Schedule, threading.Event]") -> None:
    schedule, release = held
    ran: list[int] = []
    cancelled = schedule.submit(lambda: ran.append(1), 1.0)
    after = schedule.submit(lambda: ran.append(2), 2.0)
    assert cancelled.cancel()
    release.set()
    after.result(LIMIT_S)
    assert ran == [2]


def test_an_error_reaches_its_caller_and_no_one_else(
    held: "tuple[Schedule, threading.Event]",
) -> None:
    schedule, release = held
    bad = schedule.submit(lambda: 1 // 0, 1.0)
    good = schedule.submit(lambda: "fine", 2.0)
    release.set()
    assert good.result(LIMIT_S) == "fine"
    with pytest.raises(ZeroDivisionError):
        bad.result(LIMIT_S)


def test_a_full_schedule_refuses(held: "tuple[Schedule, threading.Event]") -> None:
    schedule, _ = held
    for _ in range(8):
        schedule.submit(lambda: None, 1.0)
    with pytest.raises(RuntimeError, match="full"):
        schedule.submit(lambda: None, 1.0)
    assert schedule.waiting == 8


def test_close_cancels_what_waits_and_ends_the_threads() -> None:
    before = threading.active_count()
    schedule, release, busy = Schedule(workers=1), threading.Event(), threading.Event()
    running = schedule.submit(lambda: (busy.set(), release.wait(LIMIT_S)), 0.0)
    waiting = schedule.submit(lambda: None, 1.0)
    assert busy.wait(LIMIT_S)
    closer = threading.Thread(target=schedule.close)
    closer.start()
    with pytest.raises(CancelledError):
        waiting.result(LIMIT_S)
    release.set()
    closer.join(LIMIT_S)
    assert running.done()
    assert threading.active_count() == before
    with pytest.raises(RuntimeError, match="closed"):
        schedule.submit(lambda: None, 1.0)
