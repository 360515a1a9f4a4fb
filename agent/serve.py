"""`offhook serve`: the box with its doors open, until it is told to stop."""

import asyncio
import logging
import sys
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from agent.box import Box
from agent.budgets.opening import budgeted
from agent.config import Config
from agent.engines import Progress as ReportProgress
from agent.heap import settled_heap
from agent.logs import redact_logs
from agent.metering.meter import metering
from agent.records.retention import swept_daily
from agent.stop_signal import stop_signal
from agent.tracing.export import traced
from agent.web.server import WebServer
from telephony.sip_error import SipError, refuse_other_systems

if TYPE_CHECKING:
    from agent.phone import Phone

log = logging.getLogger(__name__)

EXIT_STACK_DIED = 70
"""Exit status when the SIP stack died, which no process survives: EX_SOFTWARE."""


@dataclass(frozen=True, slots=True)
class Serving:
    """A box with its doors open."""

    box: Box
    url: str
    """The page's address."""
    phone: "Phone | None"
    """The telephone door; None where it is closed."""


@asynccontextmanager
async def open_box(
    config: Config,
    environ: Mapping[str, str],
    progress: ReportProgress = lambda what, share: None,
) -> AsyncIterator[Serving]:
    """Loads a box and opens its doors; on exit drains calls and frees everything.

    A signal while it drains ends the calls under way at once, and closes the doors as it should.
    Ports are looked at before the models are loaded, so that one in use is told at once.
    Raises PortInUse, SipError, ConfigError or ModelError.
    """
    async with WebServer(config.server) as server:
        phone = _phone(config, environ)
        box = await _load_in_thread(config, environ, progress)
        swept = swept_daily(config.records, environ)
        traces = traced(box, environ)
        async with box, metering(box, environ), budgeted(box, environ), swept, traces:
            redact_logs(config.records.redact)
            with settled_heap():
                await server.start(box)
                try:
                    if phone is not None:
                        await phone.open(box)
                    yield Serving(box, server.url, phone)
                finally:
                    async with stop_signal() as again:
                        await _close_doors(box, phone, server, again)


async def _close_doors(
    box: Box, phone: "Phone | None", server: WebServer, again: asyncio.Event
) -> None:
    """Each is closed whatever becomes of those before it: a trunk must be told of the end."""
    hurrying = asyncio.create_task(_hurry(box, again), name="hurry")
    try:
        await box.drain()
    finally:
        hurrying.cancel()
        try:
            if phone is not None:
                await phone.close()
        finally:
            await server.stop()


async def _hurry(box: Box, again: asyncio.Event) -> None:
    await again.wait()
    log.warning("told to stop again: calls under way end now")
    box.hurry()


def _phone(config: Config, environ: Mapping[str, str]) -> "Phone | None":
    """The telephone door, still closed.

    A box whose settings do not speak of SIP serves its page where another program has the
    port; one that was told a port must have it.
    """
    if not config.sip.enabled:
        return None
    try:
        refuse_other_systems(sys.platform)
        # Not even imported elsewhere: it binds functions of the stack's Linux library.
        from agent.phone import Phone

        phone = Phone(config, environ)
        phone.stack.check()
    except SipError as error:
        if config.sip.model_fields_set or config.trunks:
            raise
        log.warning("no telephone door: %s", error)
        return None
    return phone


@asynccontextmanager
async def loading_bar(console: Console) -> AsyncIterator[ReportProgress]:
    """A progress bar for loading; plain lines where the output is no terminal."""
    if not console.is_terminal:
        yield lambda what, share: console.print(f"[{share:4.0%}] {what}", highlight=False)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("loading", total=1.0)
        yield lambda what, share: bar.update(task, description=what, completed=share)


async def serve(config: Config, environ: Mapping[str, str]) -> int:
    """Serves until SIGINT or SIGTERM; returns the exit status."""
    console = Console(file=sys.stderr)
    async with AsyncExitStack() as doors:
        async with loading_bar(console) as progress:
            serving = await doors.enter_async_context(open_box(config, environ, progress))
        async with stop_signal() as stopped:
            print_address(console, serving)
            died = await _until(stopped, serving.phone)
        console.print("stopping: calls under way may finish; Ctrl-C ends them")
    return EXIT_STACK_DIED if died else 0


async def _until(stopped: asyncio.Event, phone: "Phone | None") -> bool:
    """Waits for either; True where the telephone door died."""
    waiting = [asyncio.create_task(stopped.wait(), name="stopped")]
    if phone is not None:
        waiting.append(asyncio.create_task(phone.stack.dead.wait(), name="sip-dead"))
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
    return phone is not None and phone.stack.dead.is_set()


def _load_in_thread(
    config: Config, environ: Mapping[str, str], progress: ReportProgress
) -> asyncio.Future[Box]:
    """Loads on a thread that Ctrl-C need not wait for, as it would for one of a pool."""
    loop = asyncio.get_running_loop()
    loaded: asyncio.Future[Box] = loop.create_future()

    def settle(box: Box | None, error: BaseException | None) -> None:
        if loaded.done():
            return
        if box is not None:
            loaded.set_result(box)
        elif error is not None:
            loaded.set_exception(error)

    def load() -> None:
        box, error = None, None
        try:
            box = Box.load(config, environ, progress)
        except BaseException as fault:  # told to whoever waits
            error = fault
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, box, error)

    threading.Thread(target=load, name="load", daemon=True).start()
    return loaded


def print_address(console: Console, serving: Serving) -> None:
    """Says where to go."""
    models = ", ".join(f"{stage} {name}" for stage, name in serving.box.engines.models.items())
    console.print(f"Offhook is ready ({models}).", highlight=False)
    console.print(f"Open [bold]{serving.url}[/bold] and press Start. Ctrl-C stops the box.")
    places = serving.box.places
    console.print(f"Up to {places.calls} calls at once: {places.why}.", highlight=False)
    if places.warning is not None:
        log.warning("%s", places.warning)
    if serving.phone is not None:
        transports = ", ".join(serving.phone.stack.transports).upper()
        console.print(
            f"Or dial [bold]{serving.phone.address}[/bold] from any softphone ({transports})."
        )
