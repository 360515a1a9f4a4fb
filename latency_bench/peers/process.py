"""A peer in a process of its own, from its start until nothing of it is left."""

import asyncio
import os
import signal
import sys
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from latency_bench.leash import leashed
from latency_bench.target import Target

Peer = Literal["stock-pipecat"]
PeerDoor = Literal["webrtc", "twilio"]
PEERS: Mapping[str, str] = {"stock-pipecat": "latency_bench.peers.stock_pipecat"}
"""Peers by name, and the module that runs each."""

READY = "ready "
READY_LIMIT_S = 90.0
STOP_LIMIT_S = 10.0
TAIL_LINES = 20
ADDRESSES: Mapping[PeerDoor, str] = {
    "webrtc": "http://127.0.0.1:{port}/api/offer",
    "twilio": "ws://127.0.0.1:{port}/ws",
}


class PeerFailed(Exception):
    """The peer did not come up, or died; the message ends with its last words."""


@dataclass(frozen=True, slots=True)
class PeerProcess:
    """A peer that is up and warm."""

    name: str
    target: Target
    """Whom to call."""
    _child: asyncio.subprocess.Process
    _tail: deque[str] = field(default_factory=deque)

    @property
    def pid(self) -> int:
        """The first of its processes."""
        return self._child.pid

    def check(self) -> None:
        """Raises PeerFailed where it has ended."""
        if self._child.returncode is not None:
            raise PeerFailed(
                f"{self.name} ended with exit status {self._child.returncode}{_said(self._tail)}"
            )


@asynccontextmanager
async def start(
    name: str,
    *,
    door: PeerDoor = "webrtc",
    otlp_url: str | None = None,
    config: Path | None = None,
    arguments: Sequence[str] = (),
    ready_limit_s: float = READY_LIMIT_S,
) -> AsyncIterator[Target]:
    """Runs the peer on loopback and yields whom to call once it is warm: `running`."""
    async with running(
        name,
        door=door,
        otlp_url=otlp_url,
        config=config,
        arguments=arguments,
        ready_limit_s=ready_limit_s,
    ) as peer:
        yield peer.target


@asynccontextmanager
async def running(
    name: str,
    *,
    door: PeerDoor = "webrtc",
    otlp_url: str | None = None,
    config: Path | None = None,
    arguments: Sequence[str] = (),
    ready_limit_s: float = READY_LIMIT_S,
) -> AsyncIterator[PeerProcess]:
    """Runs the peer on loopback and yields it once it is warm.

    ``otlp_url`` is where it sends its spans, such as ``http://127.0.0.1:4318/v1/traces``;
    ``config`` a configuration of the box, whose models, words and limits the peer then has.
    Raises PeerFailed. Nothing of the peer runs afterwards.
    """
    if name not in PEERS:
        raise PeerFailed(f"no peer is called {name!r}; there are: {', '.join(PEERS)}")
    command = [sys.executable, "-m", PEERS[name], "--port", "0", "--door", door, *arguments]
    if otlp_url is not None:
        command += ["--otlp", otlp_url]
    if config is not None:
        command += ["--config", str(config)]
    # A session of its own: Ctrl-C reaches the bench alone, and the peer's own children can be
    # ended with it.
    child = await asyncio.create_subprocess_exec(
        *leashed(command),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    assert child.stdout is not None
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    reading = asyncio.create_task(_read(child.stdout, tail, ready), name=f"{name}-output")
    try:
        try:
            async with asyncio.timeout(ready_limit_s):
                port = await ready
        except TimeoutError as error:
            raise PeerFailed(
                f"{name} was not ready after {ready_limit_s:.0f} s{_said(tail)}"
            ) from error
        if not port:
            raise PeerFailed(f"{name} ended before it was ready{_said(tail)}")
        yield PeerProcess(name, Target(door, ADDRESSES[door].format(port=port)), child, tail)
    finally:
        await asyncio.shield(_stop(child, reading))


async def _read(
    output: asyncio.StreamReader, tail: deque[str], ready: "asyncio.Future[int]"
) -> None:
    """Keeps what it says last; tells the port, or 0 where it ended without one."""
    async for raw in output:
        line = raw.decode(errors="replace").rstrip()
        if line.startswith(READY) and line.removeprefix(READY).isdigit() and not ready.done():
            ready.set_result(int(line.removeprefix(READY)))
        tail.append(line)
    if not ready.done():
        ready.set_result(0)


async def _stop(child: asyncio.subprocess.Process, reading: "asyncio.Task[None]") -> None:
    """Asks, waits, then insists, with its whole process group."""
    with suppress(ProcessLookupError):
        child.send_signal(signal.SIGINT)
    try:
        async with asyncio.timeout(STOP_LIMIT_S):
            await child.wait()
    except TimeoutError:
        pass
    # What it started dies with it, whether it came to end that by itself or not.
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    await child.wait()
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)


def _said(tail: Sequence[str]) -> str:
    return "; it said:\n  " + "\n  ".join(tail) if tail else " and said nothing"
