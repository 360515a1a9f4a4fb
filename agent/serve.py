"""`offhook serve`: the box with its doors open, until it is told to stop."""

import asyncio
import signal
import sys
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from agent.box import Box
from agent.config import Config
from agent.engines import Progress as ReportProgress
from agent.web.server import WebServer


@dataclass(frozen=True, slots=True)
class Serving:
    """A box with its doors open."""

    box: Box
    url: str
    """The page's address."""


@asynccontextmanager
async def open_box(
    config: Config,
    environ: Mapping[str, str],
    progress: ReportProgress = lambda what, share: None,
) -> AsyncIterator[Serving]:
    """Loads a box and opens its doors; on exit drains calls and frees everything.

    The port is taken before the models are loaded, so that a port in use is told at once.
    Raises PortInUse, ConfigError or ModelError.
    """
    async with WebServer(config.server) as server:
        box = await _load_in_thread(config, environ, progress)
        async with box:
            await server.start(box)
            try:
                yield Serving(box, server.url)
            finally:
                await box.drain()
                await server.stop()


@asynccontextmanager
async def stop_signal() -> AsyncIterator[asyncio.Event]:
    """An event that SIGINT or SIGTERM sets; the handlers go with the context."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    signals = (signal.SIGINT, signal.SIGTERM)
    for number in signals:
        loop.add_signal_handler(number, stopped.set)
    try:
        yield stopped
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


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
        # A second signal, while calls may finish, is not held up by this one.
        async with stop_signal() as stopped:
            print_address(console, serving)
            await stopped.wait()
        console.print("stopping: calls under way may finish")
    return 0


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
