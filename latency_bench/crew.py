"""Callers in processes of their own, which share no interpreter with anybody."""

import asyncio
import contextlib
import logging
import multiprocessing
import signal
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from latency_bench.conversation import Conversation, Pace
from latency_bench.figures import CallFigures
from latency_bench.measures.measure import measure_call, unplaced
from latency_bench.options import RING_S
from latency_bench.part import Part, resampled
from latency_bench.place import place_call
from latency_bench.recording import CallFailed, CallRecording, Event
from latency_bench.recording_file import save, save_stereo
from latency_bench.target import Target
from latency_bench.utterance import WIRE_RATE_HZ

log = logging.getLogger(__name__)

READY, HANG_UP = "ready", "hang up"
START_LIMIT_S = 60.0
MARGIN_S = 45.0
"""Over a call's own limits: setting up, hanging up, measuring."""
END_LIMIT_S = 5.0


@dataclass(frozen=True, slots=True)
class Job:
    """One call to place."""

    call: int
    repeat: int
    scenario: str
    target: Target
    parts: Sequence[Part]
    background: NDArray[np.int16] | None
    """At ``WIRE_RATE_HZ``."""
    pace: Pace
    limit_s: float
    run_began_s: float
    """Monotonic."""
    folder: Path | None = None
    """Where the sound goes; None keeps none."""
    status_url: str | None = None
    """The HTTP address of a box of ours, which tells of calls that came over another door."""
    answer_limit_s: float = RING_S

    @property
    def most_s(self) -> float:
        """No call lasts longer, whatever goes wrong."""
        return self.answer_limit_s + self.limit_s + MARGIN_S


class CallerProcess:
    """One caller; places one call at a time."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._here, there = context.Pipe()
        self._process = context.Process(
            target=_work, args=(there,), name="offhook-bench-caller", daemon=True
        )
        self._process.start()
        there.close()

    async def ready(self) -> None:
        """Waits until it has loaded what it needs. Raises CallFailed."""
        if await self._receive(START_LIMIT_S) != READY:
            raise CallFailed("a caller's process did not start; is there memory left?")

    async def place(self, job: Job) -> CallFigures:
        """One call, whatever becomes of it. A caller that dies or hangs is a failed call."""
        if self._send(job):
            found = await self._receive(job.most_s)
            if isinstance(found, CallFigures):
                return found
        self.kill()
        return _broken(job, "the caller's own process died or hung")

    def hang_up(self) -> None:
        """Ends the call under way; without one it does nothing."""
        # A pipe of its own: what a dead process held (a lock, an event) would be held for ever.
        self._send(HANG_UP)

    @property
    def alive(self) -> bool:
        """Whether it can place another call."""
        return self._process.is_alive()

    @property
    def pid(self) -> int:
        """The process."""
        assert self._process.pid is not None
        return self._process.pid

    def kill(self) -> None:
        """Ends it at once."""
        self._process.kill()
        self._process.join(END_LIMIT_S)

    def close(self) -> None:
        """Lets it end, and insists."""
        with contextlib.suppress(OSError):
            self._here.close()
        self._process.join(END_LIMIT_S)
        if self._process.is_alive():
            self.kill()

    def _send(self, message: object) -> bool:
        try:
            self._here.send(message)
        except OSError:
            return False
        return True

    async def _receive(self, limit_s: float) -> object:
        # Not on a thread of the loop's pool: it has fewer than a large crew has callers.
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        loop.add_reader(self._here.fileno(), readable.set)
        try:
            async with asyncio.timeout(limit_s):
                await readable.wait()
            return self._here.recv()
        except (TimeoutError, EOFError, OSError):
            return None
        finally:
            loop.remove_reader(self._here.fileno())


class Crew:
    """``size`` callers; an async context manager that leaves none behind."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._stopped = asyncio.Event()
        self._callers: list[CallerProcess] = []

    async def __aenter__(self) -> "Crew":
        self._callers = [CallerProcess() for _ in range(self._size)]
        try:
            await asyncio.gather(*(caller.ready() for caller in self._callers))
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self.hang_up()
        await asyncio.gather(*(asyncio.to_thread(caller.close) for caller in self._callers))

    @property
    def pids(self) -> list[int]:
        """Its processes."""
        return [caller.pid for caller in self._callers]

    def hang_up(self) -> None:
        """Ends the calls under way; what they recorded is measured."""
        self._stopped.set()
        for caller in self._callers:
            caller.hang_up()

    async def muster(self, size: int) -> None:
        """Has at least ``size`` callers again, after `hang_up` too. For between two `work`s."""
        more = [CallerProcess() for _ in range(size - len(self._callers))]
        self._callers += more
        self._size = len(self._callers)
        await asyncio.gather(*(caller.ready() for caller in more))
        self._stopped.clear()

    async def work(
        self,
        jobs: Iterable[Job],
        done: Callable[[CallFigures], Awaitable[None]],
        delay_s: Callable[[Job], float] = lambda job: 0.0,
        lines: int | None = None,
    ) -> None:
        """Places all of them, as many at once as there are callers, in order.

        ``jobs`` may go on for ever: each is drawn as a caller is free for it. ``done`` takes each
        call as it ends; ``delay_s``: how long a caller waits before a job; ``lines``: how many of
        the callers work (all). What ``done`` raises ends the calls under way, and is raised.
        """
        waiting = iter(jobs)

        async def one(place: int) -> None:
            for job in waiting:
                await self._pause(delay_s(job))
                if self._stopped.is_set():
                    return
                caller = self._callers[place]
                if not caller.alive:
                    caller = self._callers[place] = CallerProcess()
                    await caller.ready()
                await done(await caller.place(job))

        places = range(self._size if lines is None else lines)
        tasks = [asyncio.create_task(one(place), name=f"caller {place}") for place in places]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            if not all(task.done() for task in tasks):
                self.hang_up()
            failures = await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            for task in tasks:
                task.cancel()
        for failure in failures:
            if isinstance(failure, BaseException):
                raise failure

    async def _pause(self, seconds: float) -> None:
        if seconds > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), seconds)


def _work(orders: Connection) -> None:
    """The caller's process: a call for each job, until the other end closes."""
    # Ctrl-C is the bench's to handle; it tells by HANG_UP.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    orders.send(READY)
    while True:
        try:
            job = orders.recv()
        except (EOFError, OSError):
            return
        if job == HANG_UP:
            continue
        try:
            figures = asyncio.run(place(job, orders))
        except Exception as error:  # of whatever kind, one call fails and not its crew
            # The call's row in the report says it; the way there is for who looks for it.
            log.debug("call %d", job.call, exc_info=True)
            figures = _broken(job, f"the caller itself failed: {error!r}")
        try:
            orders.send(figures)
        except OSError:
            return


async def place(job: Job, orders: Connection) -> CallFigures:
    """One call, measured; its sound is kept where the job says.

    HANG_UP in ``orders``, or their end, ends it.
    """
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()

    def told() -> None:
        loop.remove_reader(orders.fileno())
        with contextlib.suppress(EOFError, OSError):
            orders.recv()
        stopped.set()

    loop.add_reader(orders.fileno(), told)
    began_s = time.monotonic() - job.run_began_s
    try:
        recording = await place_call(
            job.target,
            lambda rate_hz: _conversation(job, rate_hz),
            limit_s=job.limit_s,
            stop=stopped,
            answer_limit_s=job.answer_limit_s,
        )
    except CallFailed as error:
        return unplaced(job.call, job.scenario, job.target.door, error, began_s, repeat=job.repeat)
    finally:
        loop.remove_reader(orders.fileno())
    recording = await _with_inside(recording, job)
    figures = measure_call(
        recording, call=job.call, scenario=job.scenario, began_s=began_s, repeat=job.repeat
    )
    return _kept(figures, recording, job.folder)


def _broken(job: Job, reason: str) -> CallFigures:
    return CallFigures(
        call=job.call,
        scenario=job.scenario,
        door=job.target.door,
        outcome="failed",
        reason=reason,
        began_s=time.monotonic() - job.run_began_s,
        repeat=job.repeat,
    )


def _conversation(job: Job, rate_hz: int) -> Conversation:
    background = job.background
    if background is not None:
        background = resampled(background, WIRE_RATE_HZ, rate_hz)
    return Conversation(job.parts, rate_hz, job.pace, background)


def _kept(figures: CallFigures, recording: CallRecording, folder: Path | None) -> CallFigures:
    if folder is None:
        return figures
    name = f"{figures.call:04d}"
    save(recording, folder / f"{name}.npz")
    save_stereo(recording, folder / f"{name}.wav")
    return replace(figures, audio=f"{folder.name}/{name}.wav")


async def _with_inside(recording: CallRecording, job: Job) -> CallRecording:
    """The box's own turns beside the call's, where they do not come over the call itself."""
    if job.status_url is None or job.target.door == "webrtc":
        return recording
    from latency_bench.tracing.inside import inside_events

    told: Sequence[Event] = await inside_events(job.status_url, job.target.token, recording)
    return replace(recording, events=(*recording.events, *told))
