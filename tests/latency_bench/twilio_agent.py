"""An agent behind Twilio's WebSocket: does what a test tells it, and logs what it got."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from websockets.asyncio.server import Request, Response, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from latency_bench.sip.g711 import decode, encode

RATE_HZ = 8000
LOUD = 1500


def tone(duration_s: float) -> NDArray[np.int16]:
    """A sharp-edged burst, shape (samples,)."""
    t = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    return (np.cos(2 * np.pi * 440 * t) * 9000).astype(np.int16)


class TwilioAgent:
    """``act`` runs once the stream has begun, and ``loud`` at the caller's first sound of a turn.

    A turn begins with sound after ``turn_gap_s`` without any.
    """

    turn_gap_s = 0.3

    def __init__(
        self,
        act: Callable[["TwilioAgent"], Awaitable[None]] | None = None,
        loud: Callable[["TwilioAgent", float], Awaitable[None]] | None = None,
    ) -> None:
        self.got: list[dict[str, Any]] = []
        self.at_s: list[float] = []
        """When each of ``got`` came."""
        self.heard: list[NDArray[np.int16]] = []
        self.stream = ""
        self.socket: ServerConnection
        self._act, self._loud = act, loud

    def of(self, event: str) -> list[dict[str, Any]]:
        """All messages of a kind."""
        return [message for message in self.got if message["event"] == event]

    def came_s(self, event: str) -> float:
        """When the first message of a kind came."""
        return next(at for at, m in zip(self.at_s, self.got, strict=True) if m["event"] == event)

    async def send(self, event: str, **body: Any) -> float:
        """Sends a message; when."""
        at_s = time.monotonic()
        await self.socket.send(json.dumps({"event": event, "streamSid": self.stream, **body}))
        return at_s

    async def say(self, pcm: NDArray[np.int16]) -> float:
        """All of it at once, as agents do; when."""
        payload = base64.b64encode(encode(pcm)).decode()
        return await self.send("media", media={"payload": payload})

    async def serve(self, socket: ServerConnection) -> None:
        """One call."""
        self.socket = socket
        tasks: list[asyncio.Task[None]] = []
        last_loud_s = 0.0
        try:
            async for message in socket:
                now_s, body = time.monotonic(), json.loads(message)
                self.got.append(body)
                self.at_s.append(now_s)
                if body["event"] == "start":
                    self.stream = body["streamSid"]
                    if self._act is not None:
                        tasks.append(asyncio.create_task(_run(self._act(self))))
                if body["event"] != "media":
                    continue
                pcm = decode(base64.b64decode(body["media"]["payload"]))
                self.heard.append(pcm)
                if np.abs(pcm.astype(np.int32)).max() > LOUD:
                    if now_s - last_loud_s > self.turn_gap_s and self._loud is not None:
                        first = int(np.flatnonzero(np.abs(pcm.astype(np.int32)) > LOUD)[0])
                        began_s = now_s + first / RATE_HZ
                        tasks.append(asyncio.create_task(_run(self._loud(self, began_s))))
                    last_loud_s = now_s
        except ConnectionClosed:
            pass
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _run(work: Awaitable[None]) -> None:
    await work


@asynccontextmanager
async def twilio_server(agent: TwilioAgent, refusal: int | None = None) -> AsyncIterator[str]:
    """Serves the agent on a free port; yields its address."""

    def check(connection: ServerConnection, request: Request) -> Response | None:
        return connection.respond(refusal, "no place\n") if refusal is not None else None

    async with serve(agent.serve, "127.0.0.1", 0, process_request=check) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"ws://127.0.0.1:{port}/media"
