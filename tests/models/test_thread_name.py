"""Threads are seen by name from outside, and so are those that a library begins."""

import sys
import threading
from pathlib import Path

import pytest

from models.schedule import Schedule
from models.thread_name import name_thread, thread_named

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux shows names in /proc")


def shown() -> str:
    return Path(f"/proc/self/task/{threading.get_native_id()}/comm").read_text().strip()


def in_thread(job: threading.Thread) -> None:
    job.start()
    job.join(10)


def test_a_named_thread_is_seen_and_its_children_keep_the_name() -> None:
    seen: list[str] = []

    def child() -> None:
        seen.append(shown())

    def parent() -> None:
        name_thread("before")
        with thread_named("a-name-that-is-far-too-long"):
            seen.append(shown())
            in_thread(threading.Thread(target=child))
        seen.append(shown())

    in_thread(threading.Thread(target=parent))
    assert seen == ["a-name-that-is-", "a-name-that-is-", "before"]


def test_the_workers_of_a_schedule_have_names() -> None:
    schedule = Schedule(workers=1)
    try:
        assert schedule.submit(shown, 0.0).result(10) == "engine-0"
    finally:
        schedule.close()
