"""Tells a webhook that a budget is nearly, or wholly, spent; no call waits for it.

The body is signed where there is a secret: ``Offhook-Signature: t=UNIX_TIME,v1=HEX`` with the
HMAC-SHA256 of ``UNIX_TIME.BODY``. What is not taken is tried again, with the same ``id``.
"""

import asyncio
import hashlib
import hmac
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx2

from agent.budgets.ledger import Standing

log = logging.getLogger(__name__)

WAITING = 100
"""Messages that wait to be sent; the next one is dropped, and the log says so."""
PAUSES_S = (1.0, 5.0, 30.0)
"""Before each new try."""
LIMIT_S = 10.0
SIGNATURE = "Offhook-Signature"


@dataclass(frozen=True, slots=True)
class Message:
    """What one webhook is told."""

    url: str
    secret: str
    body: bytes

    @classmethod
    def of(cls, standing: Standing, url: str, secret: str, agent: str) -> "Message":
        """``agent``: the box's name of itself. Its ``id`` is the same from every process."""
        told = {"id": standing.key, "type": "budget", "agent": agent, **standing.to_json()}
        return cls(url, secret, json.dumps(told).encode())

    def headers(self, unix_s: float) -> dict[str, str]:
        """What goes with the body when it is sent at ``unix_s``."""
        headers = {"Content-Type": "application/json"}
        if self.secret:
            headers[SIGNATURE] = f"t={unix_s:.0f},v1={sign(self.secret, unix_s, self.body)}"
        return headers


def sign(secret: str, unix_s: float, body: bytes) -> str:
    """The signature's ``v1``, for who makes it and who checks it."""
    signed = f"{unix_s:.0f}.".encode() + body
    return hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


class Webhooks:
    """Sends messages one after another. Use as an async context manager."""

    def __init__(
        self,
        pauses_s: tuple[float, ...] = PAUSES_S,
        transport: httpx2.AsyncBaseTransport | None = None,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._pauses_s = pauses_s
        self._transport = transport
        self._now_s = now_s
        self._waiting: asyncio.Queue[Message] = asyncio.Queue(WAITING)
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Webhooks":
        self._task = asyncio.create_task(self._run(), name="budget-webhooks")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait([self._task])
        if left := self._waiting.qsize():
            log.warning("budget webhooks: %d not sent before the box stopped", left)

    def tell(self, message: Message) -> None:
        """Queues a message; returns at once."""
        try:
            self._waiting.put_nowait(message)
        except asyncio.QueueFull:
            log.error("budget webhooks: %d wait already; one is dropped", WAITING)

    async def settled(self) -> None:
        """Waits until everything was sent or given up."""
        await self._waiting.join()

    async def _run(self) -> None:
        # No redirects: what is signed is for the address in the settings alone.
        async with httpx2.AsyncClient(timeout=LIMIT_S, transport=self._transport) as http:
            while True:
                message = await self._waiting.get()
                try:
                    await self._send(http, message)
                finally:
                    self._waiting.task_done()

    async def _send(self, http: httpx2.AsyncClient, message: Message) -> None:
        fault = ""
        for pause_s in (0.0, *self._pauses_s):
            await asyncio.sleep(pause_s)
            try:
                answer = await http.post(
                    message.url, content=message.body, headers=message.headers(self._now_s())
                )
            except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
                fault = f"{type(error).__name__}: {error}"
                continue
            if answer.is_success:
                return
            fault = f"HTTP {answer.status_code}"
        # Without its path and its query, which may hold a key.
        host = httpx2.URL(message.url).host
        log.error("budget webhooks: %s was not told: %s", host, fault)
