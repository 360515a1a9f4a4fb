"""The meter of the machine: reads its counters, and tells each call what is its part.

It reads once a second, as a turn is closed and as a call ends, on a thread of its own: a counter
may take milliseconds.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent.metering.counters import Counters, MachineCounters
from agent.metering.reading import Reading, spent_between
from agent.metering.sharing import Part, Sharing
from agent.usage import Usage

if TYPE_CHECKING:
    from agent.box import Box
    from agent.call import Call
    from agent.records.record import CallRecord, TurnRecord

log = logging.getLogger(__name__)

NOTHING = Usage()
EVERY_S = 1.0
FRESH_S = 0.02
"""A reading so young is good enough for another turn that is closed."""


@dataclass(slots=True)
class _Followed:
    """A call, and what it was last seen to have done."""

    call: "Call"
    since_s: float
    work_s: dict[str, float] = field(default_factory=dict)

    def worked(self) -> dict[str, float]:
        """Seconds by stage since the last time."""
        grown = {}
        for stage, seconds in self.call.work_s.items():
            before_s = self.work_s.get(stage, 0.0)
            grown[stage] = max(0.0, seconds - before_s)
            self.work_s[stage] = max(before_s, seconds)
        return grown


class Meter:
    """Watches the calls of one box; an async context manager, open while calls are.

    ``devices``: where each stage's engine runs, as `Engines.devices` has it.
    """

    def __init__(
        self, counters: Counters, devices: Mapping[str, str], *, every_s: float = EVERY_S
    ) -> None:
        self.sharing = Sharing()
        self._counters = counters
        self._devices = devices
        self._every_s = every_s
        self._calls: dict[str, _Followed] = {}
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="meter")
        self._reading = asyncio.Lock()
        self._last: Reading | None = None
        self._ticking: asyncio.Task[None] | None = None
        self._closed = False

    async def __aenter__(self) -> "Meter":
        self._last = await self._read()
        self._ticking = asyncio.create_task(self._tick(), name="meter")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closed = True
        if self._ticking is not None:
            self._ticking.cancel()
            await asyncio.gather(self._ticking, return_exceptions=True)
        self._reader.shutdown(wait=False, cancel_futures=True)

    # -- CallWatcher

    def began(self, call: "Call") -> None:
        """A call was connected: from here on it has a part."""
        self._calls[call.call_id] = _Followed(call, time.monotonic())
        call.settle = self.settle

    def turn_over(self, call: "Call", turn: "TurnRecord") -> None:
        """Nothing: the call settled before."""

    def ended(self, call: "Call", record: "CallRecord") -> None:
        """A call is over."""
        self._calls.pop(call.call_id, None)

    async def settle(self) -> None:
        """Reads, and tells every call its part until now."""
        asked_s = time.monotonic()
        async with self._reading:
            if self._closed or self._last is None or self._last.at_s > asked_s - FRESH_S:
                return
            self._take(self._last, await self._read())

    async def _read(self) -> Reading:
        return await asyncio.get_running_loop().run_in_executor(self._reader, self._counters.read)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            try:
                await self.settle()
            except Exception:  # calls go on without their part of this second
                log.exception("the machine could not be metered")

    def _take(self, before: Reading, after: Reading) -> None:
        self._last = after
        parts = {}
        for call_id, followed in self._calls.items():
            parts[call_id] = self._part(followed, before.at_s, after.at_s)
            call = followed.call
            call.peak_memory_bytes = max(call.peak_memory_bytes, after.memory_bytes)
        for call_id, usage in self.sharing.take(spent_between(before, after), parts).items():
            if usage != NOTHING:
                self._calls[call_id].call.metered(usage)

    def _part(self, followed: _Followed, since_s: float, until_s: float) -> Part:
        worked = followed.worked()
        here = {s: seconds for s, seconds in worked.items() if self._device(s) != "remote"}
        return Part(
            present_s=max(0.0, until_s - max(since_s, followed.since_s)),
            cpu_work_s=sum(here.values()),
            gpu_work_s=sum(seconds for s, seconds in here.items() if self._device(s) == "cuda"),
        )

    def _device(self, stage: str) -> str:
        return self._devices.get(stage, "cpu")


@asynccontextmanager
async def metering(box: "Box", environ: Mapping[str, str]) -> AsyncIterator[Meter]:
    """Meters the calls that a box takes from now on."""
    devices = box.engines.devices
    # Looking for a GPU may take a second.
    counters = await asyncio.to_thread(
        MachineCounters, gpu="cuda" in devices.values(), environ=environ
    )
    async with Meter(counters, devices) as meter:
        told = ", ".join(f"{what} {source}" for what, source in counters.sources.items())
        log.info("calls are metered by: %s", told)
        box.watchers.append(meter)
        yield meter
