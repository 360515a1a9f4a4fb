"""A trunk's registration: made, watched for as long as the door is open, and made again."""

import asyncio
import logging
from contextlib import suppress

from baresip import BaresipError, Event, RuntimeDead, StackEvent, StaleHandleError, UserAgent

log = logging.getLogger(__name__)

REGISTERED = "registered"
RETRY_S = (2.0, 5.0, 15.0, 60.0)
"""The last one is kept to."""


class Registration:
    """That of one trunk; ``keep`` holds it up until cancelled.

    The stack refreshes it by itself, and says by an event whether that went well.
    """

    def __init__(self, name: str, agent: UserAgent) -> None:
        self.state = "not registered yet"
        """``registered``, or ``not registered`` and why."""
        self._name = name
        self._agent = agent
        self._stands = asyncio.Event()
        self._lost = asyncio.Event()

    async def keep(self) -> None:
        """Registers, and again whenever that fails or is lost. Returns where it cannot be."""
        self._agent.on(self._on_event)
        try:
            await self._keep()
        except (RuntimeDead, StaleHandleError) as error:
            self._is_lost(str(error))
            log.error("trunk %s: %s", self._name, self.state)
        finally:
            self._agent.off(self._on_event)

    async def _keep(self) -> None:
        attempt, joined = 0, False
        while True:
            if not (joined and self._stands.is_set()):
                joined = await self._join() or joined
            if self._stands.is_set():
                log.info("trunk %s: registered", self._name)
                attempt = 0
                await self._lost.wait()
            wait_s = RETRY_S[min(attempt, len(RETRY_S) - 1)]
            attempt += 1
            log.error("trunk %s: %s; again in %g s", self._name, self.state, wait_s)
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._stands.wait()

    async def _join(self) -> bool:
        self._lost.clear()
        try:
            await self._agent.register()
        except (RuntimeDead, StaleHandleError):
            raise
        except BaresipError as error:
            if not self._lost.is_set():
                # No event said it before, and better.
                self._is_lost(str(error))
            return False
        self._is_registered()
        return True

    def _on_event(self, event: StackEvent) -> None:
        if event.event is Event.REGISTER_OK:
            self._is_registered()
        elif event.event is Event.REGISTER_FAIL:
            self._is_lost(event.text or "no reason given")

    def _is_registered(self) -> None:
        self.state = REGISTERED
        self._stands.set()
        self._lost.clear()

    def _is_lost(self, reason: str) -> None:
        self.state = f"not registered: {reason}"
        self._stands.clear()
        self._lost.set()
