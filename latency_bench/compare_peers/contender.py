"""Who is compared: a box of the bench's own, or another agent; started fresh for each trial."""

import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from latency_bench.own_box import own_box
from latency_bench.peers import running
from latency_bench.target import Door, Target

SELF = "self"
READY_LIMIT_S = 300.0
"""For an agent that loads the services of many calls ahead."""


@dataclass(frozen=True, slots=True)
class Running:
    """An agent that is up."""

    target_of: Callable[[Door], Target]
    pid: int
    """The first of its processes."""
    check: Callable[[], None]
    """Raises BoxFailed or PeerFailed where it has ended."""
    box_url: str | None = None
    """Where a box of ours tells of its calls; None of another agent."""
    token: str | None = None


Start = Callable[[int, Path], AbstractAsyncContextManager[Running]]
"""(calls at once, a folder for its log) -> the agent, warm. Raises BoxFailed, PeerFailed and
TargetError."""


@dataclass(frozen=True, slots=True)
class Contender:
    """One of those that are compared."""

    name: str
    doors: tuple[Door, ...]
    start: Start


def box_contender(
    config: Path | None, token: str | None, doors: tuple[Door, ...], codec: str | None
) -> Contender:
    """Offhook with the user's settings, and with room for every call."""

    @contextlib.asynccontextmanager
    async def start(calls: int, folder: Path) -> AsyncIterator[Running]:
        async with own_box(config, {}, token=token, max_calls=calls, log=folder / "box.log") as box:
            yield Running(
                target_of=lambda door: box.target(door, codec),
                pid=box.process.pid,
                check=box.process.check,
                box_url=box.process.url,
                token=token,
            )

    return Contender(SELF, doors, start)


def peer_contender(name: str, config: Path | None) -> Contender:
    """A peer of `latency_bench.peers`, with the box's models, words and limits, over WebRTC."""

    @contextlib.asynccontextmanager
    async def start(calls: int, folder: Path) -> AsyncIterator[Running]:
        async with running(
            name,
            config=config,
            arguments=("--calls", str(calls)),
            ready_limit_s=READY_LIMIT_S,
        ) as peer:
            yield Running(lambda door: peer.target, peer.pid, peer.check)

    return Contender(name, ("webrtc",), start)
