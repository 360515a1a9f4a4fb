"""Work that the user may stop, or that may break."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

from loguru import logger

Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")
Broke = Callable[[Exception], None]


async def telling(broke: Broke, work: Coroutine[Any, Any, None]) -> None:
    """Does the work of a task that nobody waits for: ``broke`` is told what it raises."""
    try:
        await work
    except Exception as error:  # nobody else would hear of it
        logger.opt(exception=error).error("a call's task broke")
        broke(error)


def guarded(broke: Broke, act: Callable[Arguments, None]) -> Callable[Arguments, None]:
    """``act``, to be called by a library: ``broke`` is told what it raises, not the library."""

    def call(*arguments: Arguments.args, **named: Arguments.kwargs) -> None:
        try:
            act(*arguments, **named)
        except Exception as error:  # a library would swallow it, or end with it
            logger.opt(exception=error).error("a call's part broke")
            broke(error)

    return call


async def unless(stopped: asyncio.Event, work: Coroutine[Any, Any, Result]) -> Result | None:
    """The work's result; None where ``stopped`` comes first, the work cancelled and ended.

    Raises what the work raises.
    """
    if stopped.is_set():
        work.close()
        return None
    task = asyncio.create_task(work)
    waiting = asyncio.create_task(stopped.wait())
    try:
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        task.cancel()
        waiting.cancel()
        await asyncio.gather(task, waiting, return_exceptions=True)


async def first_of(limit_s: float, *events: asyncio.Event) -> bool:
    """Waits for any of ``events``; False where none came within the limit."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        done, _ = await asyncio.wait(waits, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        return bool(done)
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
