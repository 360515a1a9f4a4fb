"""Engine threads are below the threads that carry calls."""

import os
import sys
import threading
import time
from pathlib import Path

import pytest

from models.schedule import Schedule
from models.thread_name import thread_named
from models.thread_priority import ENGINE_NICE, give_way, lower_threads_named

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a nice value a thread is Linux's")


def nice(thread: int | None = None) -> int:
    return os.getpriority(os.PRIO_PROCESS, thread or threading.get_native_id())


def test_engine_workers_are_niced_and_whoever_asks_them_is_not() -> None:
    mine = nice()
    schedule = Schedule(2)
    try:
        theirs = [schedule.submit(nice, time.monotonic()).result(timeout=10) for _ in range(4)]
    finally:
        schedule.close()
    assert set(theirs) == {max(mine, ENGINE_NICE)}
    assert nice() == mine


def test_giving_way_lasts_and_is_inherited() -> None:
    found: list[int] = []

    def child() -> None:
        found.append(nice())

    def parent() -> None:
        give_way()
        give_way()
        thread = threading.Thread(target=child)
        thread.start()
        thread.join(10)

    thread = threading.Thread(target=parent)
    thread.start()
    thread.join(10)
    assert found == [max(nice(), ENGINE_NICE)]


def test_threads_of_a_library_are_found_by_their_name() -> None:
    ready, done = threading.Event(), threading.Event()
    ids: list[int] = []

    def work() -> None:
        ids.append(threading.get_native_id())
        ready.set()
        done.wait(10)

    with thread_named("some-library"):
        thread = threading.Thread(target=work, name="some-library")
        thread.start()
    assert ready.wait(10)
    try:
        # Python names its threads itself from 3.14 on.
        comm = f"/proc/self/task/{ids[0]}/comm"
        name = Path(comm).read_text().strip()
        lower_threads_named(name)
        assert nice(ids[0]) >= ENGINE_NICE
    finally:
        done.set()
        thread.join(10)
