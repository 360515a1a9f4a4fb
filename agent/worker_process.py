"""One worker: a process of its own with `offhook serve`, watched over HTTP."""

import asyncio
import contextlib
import json
import logging
import os
import shutil
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psutil

from telephony.edge.dispatcher import Destination

log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
STATUS_LIMIT_S = 3.0
STATUS_LARGEST_BYTES = 1 << 20
LINE_BYTES = 1 << 16
LAST_WORDS_S = 0.2


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """What a seat's process is started with."""

    number: int
    command: Sequence[str]
    sip_port: int
    http_port: int
    token: str = ""
    """What its HTTP interface asks for; empty: nothing."""
    raw_log: bool = False
    """Pass its log on as it is, instead of marking each line with its number."""

    @property
    def destination(self) -> Destination:
        """Its SIP address."""
        return Destination(LOOPBACK, self.sip_port)

    def environ(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Settings that are the worker's own, over those of the whole."""
        return {
            **environ,
            "OFFHOOK_WORKERS__COUNT": "0",
            "OFFHOOK_SIP__HOST": LOOPBACK,
            "OFFHOOK_SIP__PORT": str(self.sip_port),
            # The edge encrypts towards the outside; on loopback it speaks plain RTP.
            "OFFHOOK_SIP__SRTP": "off",
            "OFFHOOK_SERVER__HOST": LOOPBACK,
            "OFFHOOK_SERVER__PORT": str(self.http_port),
        }


class WorkerProcess:
    """A running worker."""

    def __init__(self, plan: WorkerPlan, child: asyncio.subprocess.Process) -> None:
        self.plan = plan
        self.pid = child.pid
        self._child = child
        self._log = asyncio.create_task(self._pass_log_on(), name=f"log-{plan.number}")

    @classmethod
    async def start(cls, plan: WorkerPlan, environ: Mapping[str, str]) -> "WorkerProcess":
        """Starts it, in a session of its own: Ctrl-C reaches the supervisor alone."""
        child = await asyncio.create_subprocess_exec(
            *_dies_with_parent(),
            *plan.command,
            env=plan.environ(environ),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            limit=LINE_BYTES,
        )
        return cls(plan, child)

    async def wait(self) -> int:
        """Its exit status, once it ended and its last words are out; negative: a signal."""
        status = await self._child.wait()
        # Not for long: what it started itself may hold the pipe, and calls wait for another.
        await asyncio.wait([self._log], timeout=LAST_WORDS_S)
        self._log.cancel()
        return status

    def terminate(self) -> None:
        """Tells it to finish its calls and end."""
        with contextlib.suppress(ProcessLookupError):
            self._child.terminate()

    def kill(self) -> None:
        """Kills it and whatever it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    async def calls(self) -> int | None:
        """How many calls it has; None where it does not say."""
        return await asyncio.to_thread(self._ask)

    def memory_bytes(self) -> int:
        """Resident memory; 0 once it is gone."""
        try:
            return int(psutil.Process(self.pid).memory_info().rss)
        except psutil.Error:
            return 0

    def _ask(self) -> int | None:
        url = f"http://{LOOPBACK}:{self.plan.http_port}/api/status"
        headers = {"Authorization": f"Bearer {self.plan.token}"} if self.plan.token else {}
        request = urllib.request.Request(url, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=STATUS_LIMIT_S) as answer:
                return int(json.loads(answer.read(STATUS_LARGEST_BYTES))["active_calls"])
        except (OSError, urllib.error.URLError, ValueError, KeyError, TypeError) as error:
            log.debug("worker %d says nothing: %s", self.plan.number, error)
            return None

    async def _pass_log_on(self) -> None:
        assert self._child.stdout is not None
        mark = b"" if self.plan.raw_log else f"[{self.plan.number}] ".encode()
        while True:
            try:
                line = await self._child.stdout.readline()
            except ValueError:
                # A line longer than the reader's limit is left out.
                continue
            if not line:
                return
            sys.stderr.buffer.write(mark + line.rstrip(b"\n") + b"\n")
            sys.stderr.buffer.flush()


def _dies_with_parent() -> tuple[str, ...]:
    """A prefix that has the kernel end the worker with the supervisor, where there is one."""
    setpriv = shutil.which("setpriv")
    return (setpriv, "--pdeathsig", "TERM", "--") if setpriv else ()
