"""A box in a process of its own, watched from outside."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO

import psutil

from latency_bench.leash import leashed

STOP_LIMIT_S = 15.0
STATUS_LIMIT_S = 2.0
TAIL_LINES = 20


class BoxFailed(Exception):
    """The box did not come up, or died; the message ends with its last words."""


class BoxProcess:
    """``offhook serve`` as a child; an async context manager that leaves nothing running, not even
    where this process is killed.

    ``arguments``: what precedes ``serve``, such as ``--config FILE``. ``environ`` is added to
    this process's environment. What the box prints goes to ``log``.
    """

    def __init__(
        self,
        url: str,
        log: Path,
        arguments: tuple[str, ...] = (),
        environ: Mapping[str, str] | None = None,
        program: tuple[str, ...] = (sys.executable, "-m", "agent.cli"),
    ) -> None:
        self.url = url
        self.log = log
        self.ready_s = 0.0
        """Seconds from the start of the process to its first answer on ``/api/status``."""
        self._command = leashed((*program, *arguments, "serve"))
        self._environ = {**os.environ, **(environ or {})}
        self._child: subprocess.Popen[bytes] | None = None
        self._started_s = 0.0
        self._output: IO[bytes] | None = None

    async def __aenter__(self) -> "BoxProcess":
        self._output = self.log.open("wb")
        self._started_s = time.monotonic()
        # In a session of its own: Ctrl-C reaches the bench alone, which then ends the box. Popen
        # returns at once, and the end is awaited on a thread.
        self._child = subprocess.Popen(  # noqa: ASYNC220
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            env=self._environ,
            start_new_session=True,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.shield(asyncio.to_thread(self._stop))

    @property
    def pid(self) -> int:
        """The first of its processes."""
        return self._process.pid

    async def until_ready(self, limit_s: float) -> float:
        """Waits for ``/api/status``; returns ``ready_s``. Raises BoxFailed."""
        while not await asyncio.to_thread(_answers, f"{self.url}/api/status"):
            self.check()
            if time.monotonic() - self._started_s > limit_s:
                raise BoxFailed(f"the box was not ready after {limit_s:.0f} s{self._tail()}")
            await asyncio.sleep(0.05)
        self.check()
        self.ready_s = time.monotonic() - self._started_s
        return self.ready_s

    def check(self) -> None:
        """Raises BoxFailed where the box has ended."""
        status = self._process.poll()
        if status is not None:
            raise BoxFailed(f"the box ended with exit status {status}{self._tail()}")

    async def cpu(self, duration_s: float) -> float:
        """The box's processor time over the next ``duration_s``, as a share of one core."""
        before_s, began_s = self._cpu_s(), time.monotonic()
        await asyncio.sleep(duration_s)
        return (self._cpu_s() - before_s) / (time.monotonic() - began_s)

    def rss_mb(self) -> float:
        """Resident memory of the box and its children, in MiB."""
        return float(sum(p.memory_info().rss for p in self._family()) / 2**20)

    @property
    def _process(self) -> subprocess.Popen[bytes]:
        assert self._child is not None, "use the box as a context manager"
        return self._child

    def _family(self) -> list[psutil.Process]:
        box = psutil.Process(self._process.pid)
        return [box, *box.children(recursive=True)]

    def _cpu_s(self) -> float:
        times = (p.cpu_times() for p in self._family())
        return float(sum(t.user + t.system for t in times))

    def _stop(self) -> None:
        """Asks, waits, then insists."""
        child = self._process
        if child.poll() is None:
            child.send_signal(signal.SIGINT)
            try:
                child.wait(STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait(STOP_LIMIT_S)
        if self._output is not None:
            self._output.close()

    def _tail(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-TAIL_LINES:]
        return "; it said:\n  " + "\n  ".join(lines) if lines else " and said nothing"


def free_port(host: str = "127.0.0.1") -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=STATUS_LIMIT_S) as response:
            return bool(response.status == 200)
    except urllib.error.HTTPError as error:
        error.close()
        # A box that asks for its token first is up.
        return error.code in (401, 403)
    except OSError:
        return False
