"""A thread's name as the system shows it, so that `top -H` and `ps -L` tell who is busy."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LONGEST = 15
"""Bytes of a name that Linux keeps (prctl(2), PR_SET_NAME)."""


def name_thread(name: str) -> None:
    """Names the calling thread; where there is no /proc, it goes without."""
    with suppress(OSError):
        _own().write_text(name[:LONGEST], encoding="ascii", errors="replace")


@contextmanager
def thread_named(name: str) -> Iterator[None]:
    """Names the calling thread for a while: threads that a library begins meanwhile keep it."""
    try:
        before = _own().read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        before = threading.current_thread().name
    name_thread(name)
    try:
        yield
    finally:
        name_thread(before)


def _own() -> Path:
    return Path(f"/proc/self/task/{threading.get_native_id()}/comm")
