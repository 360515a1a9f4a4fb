"""The process: loads the engines once, admits calls, runs them, drains."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING

from pipecat.transports.base_transport import BaseTransport

from agent.admission import BoxFull, OverBudget
from agent.call import DIRECT, Call, Emit, Origin
from agent.call_recording import Overheard, record
from agent.call_watch import CallWatcher
from agent.capacity import places_of
from agent.config import Config
from agent.cost.bill import Bill
from agent.engines import Engines, Progress, load_engines
from agent.handover import Handover
from agent.line_transport import LineTransport
from agent.log_context import in_call
from agent.pipeline import CallRun
from agent.records.source import records_source
from agent.records.store import CallStore
from agent.text import speakable
from agent.waiting_room import WaitingRoom
from models.errors import EngineError
from telephony.recording import RecordedLine
from telephony.transport import CountsBytes, HangupCause, Line, LineEvent

if TYPE_CHECKING:
    from agent.budgets.governor import Governor
    from agent.outbound import Outbound

log = logging.getLogger(__name__)


Gate = Callable[[str, str, Origin], Origin]
"""Judges a call by its door, its caller and its origin; gives the origin that it goes on with, such
as another profile. Raises BoxFull where it is not to be admitted."""

END_LIMIT_S = 10.0
"""How long calls may take to end once they are told to."""


class Box:
    """Engines, records and the calls under way. Use as an async context manager."""

    def __init__(self, config: Config, engines: Engines, store: CallStore, bill: Bill) -> None:
        self.config = config
        self.places = places_of(config)
        self.engines = engines
        self.store = store
        self._bill = bill
        self._runs: dict[str, CallRun | None] = {}
        """Admitted calls; None while their line is being set up."""
        self._reserved = 0
        """Places kept for calls that are being answered."""
        self._tasks: set[asyncio.Task[HangupCause]] = set()
        self.watchers: list[CallWatcher] = []
        """Told of every call; those that are there when it begins."""
        self.gates: list[Gate] = []
        """Asked before a call is admitted, in order, and perhaps sooner: they change nothing."""
        self.budgets: Governor | None = None
        """Holds calls to their budgets; None where there are none."""
        self.refusals: Counter[str] = Counter()
        """Callers who got no place, by door; each door counts its own."""
        self.outbound: Outbound | None = None
        """Places calls; None where no door does."""
        self.waiting_room = WaitingRoom(
            config.calls.queue,
            config.calls.queue_limit_s,
            speakable(config.calls.queue_message),
            engines,
            self._give_back,
        )
        self._closing = False
        self._hurried = asyncio.Event()

    @classmethod
    def load(
        cls,
        config: Config,
        environ: Mapping[str, str] = MappingProxyType({}),
        progress: Progress = lambda what, share: None,
    ) -> "Box":
        """Loads everything; blocks for some seconds. Raises ModelError or ConfigError."""
        bill = Bill.load(config)
        engines = load_engines(config, environ, progress)
        return cls(config, engines, CallStore(records_source(config.records, environ)), bill)

    @property
    def bill(self) -> Bill:
        """What prices its calls."""
        return self._bill

    @property
    def active_calls(self) -> int:
        """Calls admitted and not over."""
        return len(self._runs) + self._reserved

    @contextmanager
    def reserve(self) -> Iterator[None]:
        """Keeps a place for a call whose audio is not there yet; leave it before `answer`.

        Raises BoxFull where there is no place, or the box is stopping.
        """
        self._check_room()
        self._reserved += 1
        try:
            yield
        finally:
            self._give_back()

    def _give_back(self) -> None:
        """A place that was kept is in use from now on, or free."""
        self._reserved -= 1
        # Not before whoever kept it had the time to take it.
        asyncio.get_running_loop().call_soon(self._let_in)

    def _let_in(self) -> None:
        """Gives what is free to those who wait."""
        while self.active_calls < self.places.calls and self.waiting_room.let_in():
            self._reserved += 1

    def _check_room(self, waited: bool = False) -> None:
        if self._closing:
            raise BoxFull("the box is stopping; call again in a minute")
        others_first = self.waiting_room.waiting > 0 and not waited
        if self.active_calls >= self.places.calls or others_first:
            raise BoxFull(
                f"all {self.places.calls} places are taken ({self.places.why}); call again later, "
                "or raise `max_calls` in [calls]"
            )

    def new_call(
        self,
        *,
        door: str,
        caller: str,
        rate_in_hz: int,
        rate_out_hz: int,
        origin: Origin = DIRECT,
        emit: Emit = lambda event: None,
        waited: bool = False,
    ) -> Call:
        """Admits a call. Raises BoxFull where there is no place, or the box is stopping.

        ``waited``: it goes before those who hold the line.
        """
        self._check_room(waited)
        origin = self.judged(door, caller, origin)
        try:
            call = Call(
                config=self.config.for_profile(origin.profile),
                engines=self.engines,
                store=self.store,
                bill=self._bill,
                door=door,
                caller=caller,
                rate_in_hz=rate_in_hz,
                rate_out_hz=rate_out_hz,
                origin=origin,
                emit=emit,
                watchers=self.watchers,
            )
        except EngineError as error:
            raise BoxFull(f"the language model has no place for this call: {error}") from error
        self._runs[call.call_id] = None
        return call

    def judged(self, door: str, caller: str, origin: Origin) -> Origin:
        """The origin with which the gates let a call in; for doors that can refuse it sooner.

        Raises BoxFull.
        """
        for gate in self.gates:
            origin = gate(door, caller, origin)
        return origin

    async def refuse(self, call: Call) -> None:
        """Gives back the place of a call that was admitted but never began."""
        try:
            await asyncio.to_thread(call.conversation.close)
        finally:
            self._runs.pop(call.call_id, None)
            self._let_in()

    def start(
        self,
        call: Call,
        transport: BaseTransport,
        release: Callable[[], Awaitable[None]],
        handover: Handover | None = None,
    ) -> CallRun:
        """Runs an admitted call in a task of the box's own; ``release`` closes its line."""
        folder = self.config.records.audio
        if folder is not None and call.record is None:
            overheard = Overheard(call)
            call.record = partial(record, call, folder, call.rate_in_hz, overheard.begin)
            release = overheard.close_after(release)
        run = CallRun(call, transport, release, handover)
        self._bill.utilisation.began(time.monotonic())
        self._runs[call.call_id] = run
        context = in_call(call.call_id)
        task = asyncio.create_task(run.run(), name=f"call-{call.call_id}", context=context)
        self._tasks.add(task)
        task.add_done_callback(self._over(call.call_id), context=context)
        return run

    def run_of(self, call_id: str) -> CallRun | None:
        """A call under way; None where there is none of that name."""
        return self._runs.get(call_id)

    @property
    def takes_calls(self) -> bool:
        """Whether a telephone caller would be answered now, if only to hold the line."""
        if self._closing:
            return False
        free = self.active_calls < self.places.calls and not self.waiting_room.waiting
        return free or self.waiting_room.has_room

    async def take(self, line: Line, origin: Origin, *, reserved: bool = False) -> CallRun:
        """Takes a call from a telephony line, perhaps after a wait for a place.

        ``reserved``: it had one until now, and goes before those who wait. Raises BoxFull, and
        CallGone where the caller gave up waiting.
        """
        try:
            return await self.answer(line, origin=origin, waited=reserved)
        except BoxFull as full:
            in_vain = isinstance(full, OverBudget)
            if in_vain or self._closing or not self.waiting_room.has_room:
                raise
        async with self.waiting_room.place(line):
            pass
        return await self.answer(line, origin=origin, waited=True)

    async def answer(
        self,
        line: Line,
        emit: Emit = lambda event: None,
        origin: Origin | None = None,
        *,
        waited: bool = False,
    ) -> CallRun:
        """Takes a call from a telephony line. Raises BoxFull."""
        call = self.new_call(
            door=line.door,
            caller=line.caller,
            rate_in_hz=line.sample_rate_hz,
            rate_out_hz=line.sample_rate_hz,
            origin=origin or Origin(dialled=line.dialled),
            emit=emit,
            waited=waited,
        )
        call.wire = line if isinstance(line, CountsBytes) else None
        if (folder := self.config.records.audio) is not None:
            recorded = RecordedLine(line)
            call.record = partial(record, call, folder, line.sample_rate_hz, recorded.begin)
            line = recorded
        transport = LineTransport(
            line, call.gate, lambda pcm, rate_hz, at_s: call.on_played(pcm, rate_hz, at_s)
        )
        handover = Handover(call, line, self.outbound)
        run = self.start(call, transport, line.hang_up, handover)
        run.control = line.control

        async def on_hang_up(_: BaseTransport) -> None:
            run.hang_up(line.cause)

        async def on_line_event(_: BaseTransport, event: LineEvent) -> None:
            await run.line_event(event)

        transport.add_event_handler("on_hang_up", on_hang_up)
        transport.add_event_handler("on_line_event", on_line_event)
        run.connected()
        return run

    def _over(self, call_id: str) -> Callable[[asyncio.Task[HangupCause]], None]:
        def done(task: asyncio.Task[HangupCause]) -> None:
            self._runs.pop(call_id, None)
            self._bill.utilisation.over(time.monotonic())
            self._let_in()
            self._tasks.discard(task)
            if not task.cancelled() and (error := task.exception()) is not None:
                log.error("call %s: failed", call_id, exc_info=error)

        return done

    async def __aenter__(self) -> "Box":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def drain(self) -> None:
        """Takes no new call; lets those under way finish for ``drain_s``, then ends them."""
        self._closing = True
        self.waiting_room.close()
        if self.outbound is not None:
            await self.outbound.close()
        limit_s = self.config.calls.drain_s
        if self._tasks:
            log.info("waiting up to %.0f s for %d calls", limit_s, len(self._tasks))
            await self._until_over(limit_s)
        for run in list(self._runs.values()):
            if run is not None:
                run.hang_up(HangupCause.BOX_STOPPED)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=END_LIMIT_S)

    def hurry(self) -> None:
        """Has `drain` wait no longer for calls that go on."""
        self._hurried.set()

    async def _until_over(self, limit_s: float) -> None:
        over = asyncio.create_task(asyncio.wait(set(self._tasks)), name="calls-over")
        hurried = asyncio.create_task(self._hurried.wait(), name="hurried")
        try:
            await asyncio.wait(
                (over, hurried), timeout=limit_s, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            over.cancel()
            hurried.cancel()

    async def close(self) -> None:
        """Drains, then frees engines and records."""
        await self.drain()
        await asyncio.to_thread(self.engines.close)
        await asyncio.to_thread(self.store.close)
