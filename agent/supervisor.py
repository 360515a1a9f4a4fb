"""`offhook serve --workers N`: several processes behind one edge, watched over.

The decisions are ``Fleet``'s; this is the shell that starts and ends processes, asks them how
they are, tells the edge, and writes down how things stand. SIGTERM or SIGINT: no new calls,
and the end once those under way are over, or their time is. SIGHUP: every worker is replaced
by a fresh one, one at a time.
"""

import asyncio
import contextlib
import json
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy.exc import SQLAlchemyError

from agent.capacity import share_of
from agent.config import Config
from agent.edge_link import EdgeLink
from agent.fleet import (
    ALIVE,
    Action,
    Fleet,
    GiveUp,
    Kill,
    Lost,
    Patience,
    Route,
    Start,
    State,
    Terminate,
    describe,
)
from agent.records.holder import settle
from agent.records.schema import StoreError
from agent.records.source import records_source
from agent.worker_process import WorkerPlan, WorkerProcess
from agent.worker_section import SIP_PORTS_EACH

log = logging.getLogger(__name__)

TICK_S = 1.0
KILL_MARGIN_S = 15.0
"""Over ``drain_s``: a worker ends its last calls, and frees its engines."""
STOP_LIMIT_S = 10.0
EVENTS = 1000
CUT_OFF = 1
"""Exit status where calls may have been cut off."""
CANNOT_START = 126
"""What a shell says of a program that cannot be run."""
RESERVE_ROOM = 1.25
"""Memory that must be available for the reserve, in what the largest worker takes."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A worker said how many calls it has."""

    seat: int
    process: WorkerProcess
    calls: int


@dataclass(frozen=True, slots=True)
class Exited:
    """A worker's process ended."""

    seat: int
    status: int


Event = Answered | Exited | signal.Signals


class Supervisor:
    """Runs ``count`` workers with ``command``, which is `offhook serve` but in tests."""

    def __init__(
        self,
        config: Config,
        environ: Mapping[str, str],
        command: Sequence[str],
        raw_log: bool = False,
    ) -> None:
        settings = config.workers
        token = config.server.token.get_secret_value() if config.server.token else ""
        shared_by = {"OFFHOOK_WORKERS__SHARED_BY": str(max(1, settings.count))}
        self._environ = {**environ, **share_of(config), **shared_by}
        self._reserve = settings.reserve
        self._records = records_source(config.records, environ)
        self._status = status_file(config)
        self._edge = EdgeLink(settings.edge.expanduser() if settings.edge else None)
        leave_s = config.calls.drain_s + KILL_MARGIN_S
        patience = Patience(hang_s=settings.hang_s, leave_s=leave_s)
        self.fleet = Fleet(settings.count, settings.reserve != "no", patience)
        self._plans = {
            seat.number: WorkerPlan(
                seat.number,
                command,
                settings.sip_port + (seat.number - 1) * SIP_PORTS_EACH,
                settings.http_port + seat.number - 1,
                token,
                raw_log,
            )
            for seat in self.fleet.seats
        }
        self._processes: dict[int, WorkerProcess] = {}
        self._watches: set[asyncio.Task[None]] = set()
        self._events: asyncio.Queue[Event] = asyncio.Queue(EVENTS)
        self._status_code = 0
        self._given_up = False

    async def run(self) -> int:
        """Until it is told to stop and every worker is gone; returns the exit status."""
        async with self._signals(), self._probing():
            try:
                await self._do(self.fleet.tick(time.monotonic()))
                while not (self.fleet.over or self._given_up):
                    await self._next_event()
            finally:
                await self._end_all()
                await asyncio.to_thread(self._write_status)
        return self._status_code

    # -- events

    async def _next_event(self) -> None:
        actions: list[Action] = []
        try:
            async with asyncio.timeout(TICK_S):
                event = await self._events.get()
        except TimeoutError:
            event = None
        now_s = time.monotonic()
        match event:
            # Not what the process that sat there before still said.
            case Answered(seat, process, calls) if self._processes.get(seat) is process:
                was = self.fleet.seats[seat - 1].state
                actions = self.fleet.answered(seat, calls, now_s)
                if was is State.STARTING:
                    log.info("worker %d is ready", seat)
            case Exited(seat, status):
                self._processes.pop(seat, None)
                log.info("worker %d ended: %s", seat, describe(status))
                actions = self.fleet.exited(seat, status, now_s)
            case signal.SIGHUP:
                log.info("replacing every worker, one at a time")
                self.fleet.renew()
            case signal.SIGINT | signal.SIGTERM if not self.fleet.stopping:
                log.info("stopping: calls under way may finish; a second signal ends them")
                actions = self.fleet.stop(now_s)
            case signal.SIGINT | signal.SIGTERM:
                log.warning("told a second time: ending at once")
                self._status_code, self._given_up = CUT_OFF, True
        self.fleet.room_for_reserve = await asyncio.to_thread(self._has_room)
        await self._do(actions + self.fleet.tick(now_s))
        await self._edge.retry()
        await asyncio.to_thread(self._write_status)

    def _tell(self, event: "Event") -> None:
        try:
            self._events.put_nowait(event)
        except asyncio.QueueFull:
            log.error("the supervisor cannot keep up; lost: %s", event)

    # -- actions

    async def _do(self, actions: Sequence[Action]) -> None:
        for action in actions:
            match action:
                case Start(seat):
                    await self._start(seat)
                case Terminate(seat):
                    # None where it could not start; that it is down is in the queue.
                    if process := self._processes.get(seat):
                        log.info("worker %d: told to finish its calls and end", seat)
                        process.terminate()
                case Kill(seat, why):
                    if process := self._processes.get(seat):
                        log.error("worker %d is killed: %s", seat, why)
                        process.kill()
                case Route(serving, leaving):
                    await self._route(serving, leaving)
                case Lost(seat, why, again_in_s):
                    await self._lost(seat, why, again_in_s)
                case GiveUp(status):
                    log.error("no worker can start: %s; its own words are above", describe(status))
                    self._status_code = status
                    self._given_up = True

    async def _start(self, seat: int) -> None:
        plan = self._plans[seat]
        try:
            process = await WorkerProcess.start(plan, self._environ)
        except OSError as error:
            log.error("worker %d cannot start: %s", seat, error)
            await self._events.put(Exited(seat, CANNOT_START))
            return
        self._processes[seat] = process
        log.info(
            "worker %d starts: pid %d, SIP port %d, HTTP port %d",
            seat,
            process.pid,
            plan.sip_port,
            plan.http_port,
        )
        watch = asyncio.create_task(self._watch(seat, process), name=f"worker-{seat}")
        self._watches.add(watch)
        watch.add_done_callback(self._watches.discard)

    async def _watch(self, seat: int, process: WorkerProcess) -> None:
        status = await process.wait()
        await self._events.put(Exited(seat, status))

    async def _route(self, serving: Sequence[int], leaving: Sequence[int]) -> None:
        log.info("calls go to workers: %s", ", ".join(map(str, serving)) or "none")
        takes = [self._plans[seat].destination for seat in serving]
        others = [self._plans[seat].destination for seat in leaving]
        await self._edge.lead(
            takes + [type(each)(each.host, each.port, takes_calls=False) for each in others]
        )

    async def _lost(self, seat: int, why: str, again_in_s: float | None) -> None:
        again = "" if again_in_s is None else f"; a new one starts in {again_in_s:g} s"
        log.error("worker %d is lost (%s)%s", seat, why, again)
        await self._edge.end_calls(self._plans[seat].destination)
        try:
            ended = await asyncio.to_thread(settle, self._records)
        except (StoreError, OSError, SQLAlchemyError) as error:
            log.warning("call records: the calls of worker %d stay open: %s", seat, error)
            return
        if ended:
            log.warning("call records: calls that worker %d left unfinished: %d", seat, ended)

    async def _end_all(self) -> None:
        """Whatever made this end, no worker outlives it."""
        for process in self._processes.values():
            process.kill()
        if self._watches:
            await asyncio.wait(self._watches, timeout=STOP_LIMIT_S)

    # -- how things are

    @asynccontextmanager
    async def _probing(self) -> AsyncIterator[None]:
        """Asks every worker each second how it is."""

        async def ask(seat: int, process: WorkerProcess) -> None:
            calls = await process.calls()
            if calls is not None:
                self._tell(Answered(seat, process, calls))

        async def probe() -> None:
            while True:
                await asyncio.gather(*(ask(s, p) for s, p in list(self._processes.items())))
                await asyncio.sleep(TICK_S)

        task = asyncio.create_task(probe(), name="probing")
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    @asynccontextmanager
    async def _signals(self) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        for number in numbers:
            loop.add_signal_handler(number, self._tell, number)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)

    def _has_room(self) -> bool:
        if self._reserve == "yes":
            return True
        largest = max((p.memory_bytes() for p in list(self._processes.values())), default=0)
        # One that waits in reserve has taken its room already.
        kept = any(seat.state is State.RESERVE for seat in self.fleet.seats)
        return kept or psutil.virtual_memory().available > largest * RESERVE_ROOM

    def _write_status(self) -> None:
        new = self._status.with_name(f"{self._status.name}.new")
        try:
            new.parent.mkdir(parents=True, exist_ok=True)
            new.write_text(json.dumps(self.report(), indent=2) + "\n")
            os.replace(new, self._status)
        except OSError as error:
            log.warning("%s cannot be written: %s", self._status, error.strerror)

    def report(self) -> dict[str, Any]:
        """How things are, as the status file says it."""
        now_s = time.monotonic()
        seats = []
        for seat in self.fleet.seats:
            plan, process = self._plans[seat.number], self._processes.get(seat.number)
            alive = seat.state in ALIVE
            seats.append(
                {
                    "worker": seat.number,
                    "state": str(seat.state),
                    "for_s": round(now_s - seat.since_s, 1) if seat.starts else None,
                    "pid": process.pid if process else None,
                    "sip": plan.destination.uri,
                    "http": f"http://{plan.destination.host}:{plan.http_port}/",
                    "calls": seat.calls if alive else 0,
                    "starts": seat.starts,
                    "last_exit": seat.last_exit or None,
                }
            )
        return {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "pid": os.getpid(),
            "state": "stopping" if self.fleet.stopping else "serving",
            "serving": self.fleet.serving,
            "wanted": self.fleet.workers,
            "edge": self._edge.problem or None,
            "workers": seats,
        }


def status_file(config: Config) -> Path:
    """Where a supervisor with these settings writes how things are."""
    given = config.workers.status
    return given.expanduser() if given else config.records.path.with_name("workers.json")
