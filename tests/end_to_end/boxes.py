"""How these tests open a box, and its HTTP door."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from agent.box import Box
from agent.web.server import WebServer

OpenBox = Callable[..., AbstractAsyncContextManager[Box]]


@asynccontextmanager
async def web(box: Box) -> AsyncIterator[WebServer]:
    """The box's HTTP door on a free port."""
    async with WebServer(box.config.server) as server:
        await server.start(box)
        yield server
        await box.drain()
