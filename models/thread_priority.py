"""Engine threads give way to the threads that carry calls.

A wire needs a few per cent of a core, but now: a frame every 20 ms. An engine needs all that is
left, whenever. With equal priority the wire waits its turn behind every engine that computes, and
callers hear holes; niced, the engines take what the wire leaves (sched(7), setpriority(2): on
Linux each thread has a nice value of its own). Others on the machine go before them, too.
"""

import os
import threading
from pathlib import Path

ENGINE_NICE = 10
"""About a tenth of a normal thread's weight (sched_prio_to_weight in the kernel)."""


def give_way() -> None:
    """Lowers the calling thread; threads that it begins are as low. Nothing off Linux."""
    _lower(threading.get_native_id())


def lower_threads_named(name: str) -> None:
    """Lowers threads of this process that a library began and the system knows as ``name``."""
    for task in Path("/proc/self/task").glob("[0-9]*"):
        try:
            if (task / "comm").read_text(encoding="ascii", errors="replace").strip() == name:
                _lower(int(task.name))
        except (FileNotFoundError, ProcessLookupError):
            # Ended meanwhile.
            continue


def _lower(thread: int) -> None:
    if not Path("/proc/self/task").is_dir():
        return
    if os.getpriority(os.PRIO_PROCESS, thread) < ENGINE_NICE:
        os.setpriority(os.PRIO_PROCESS, thread, ENGINE_NICE)
