"""A reference agent's door for a carrier's WebSocket: Twilio Media Streams' messages.

Mu-law at 8 kHz in JSON, both ways in base64; the agent sends only while it speaks, since the
carrier plays whatever it is given, one after the other
(twilio.com/docs/voice/media-streams/websocket-messages).
"""

import asyncio
import base64
import json
import logging
import os
import random
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from latency_bench.reference.behaviour import Behaviour, behaviour_of
from latency_bench.reference.talk import FRAME_S, ReferenceTalk, Truth
from latency_bench.sip.g711 import decode, encode
from latency_bench.stamped_socket import StampedSocket, stamp_transport

log = logging.getLogger(__name__)

RATE_HZ = 8000
LATEST_S = 0.2
MESSAGE_BYTES = 1 << 16
CLOSE_LIMIT_S = 1.0
CALLS_LIMIT = 50


class _Call:
    """One stream."""

    def __init__(
        self, name: str, behaviour: Behaviour, seed: int, socket: ServerConnection
    ) -> None:
        self.name = name
        self.behaviour = behaviour
        self.talk = ReferenceTalk(behaviour, RATE_HZ)
        self._socket = socket
        self._stamped: StampedSocket | None = stamp_transport(socket.transport)
        self._random = random.Random(seed)
        self._stream = ""
        self._frames = 0
        self._not_before_s = 0.0
        self._free_s = 0.0

    async def run(self) -> None:
        """Until the caller's end, or the agent's misbehaviour."""
        speaking = None
        try:
            async for message in self._socket:
                at_s = time.monotonic() if self._stamped is None else self._stamped.last_arrival_s
                match json.loads(message):
                    case {"event": "start", "streamSid": str(stream)} if speaking is None:
                        self._stream = stream
                        self.talk.answered(at_s)
                        speaking = asyncio.create_task(self._speak())
                    case {"event": "media", "media": {"payload": str(payload)}}:
                        self.talk.hear(decode(base64.b64decode(payload)), at_s)
                    case {"event": "stop"}:
                        return
        except ConnectionClosed:
            # A caller that drops the line has ended the call like any other.
            return
        finally:
            if speaking is not None:
                speaking.cancel()
                await asyncio.gather(speaking, return_exceptions=True)

    async def _speak(self) -> None:
        due_s = began_s = time.monotonic()
        while True:
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            now_s = time.monotonic()
            if await self._ended(now_s - began_s):
                return
            pcm = self.talk.next_frame(now_s)
            if self.behaviour.media != "none" and np.any(pcm):
                await self._say(self._frames, encode(pcm))
            self._frames += 1
            due_s += FRAME_S
            if due_s < now_s - LATEST_S:
                due_s = now_s

    async def _say(self, index: int, payload: bytes) -> None:
        if self.behaviour.media == "wrong_codec":
            payload = b""
        if self.behaviour.jitter_s:
            # TCP keeps the order: what is held up holds up what follows.
            at_s = time.monotonic() + self._random.uniform(0, self.behaviour.jitter_s)
            self._not_before_s = max(self._not_before_s, at_s)
            await asyncio.sleep(self._not_before_s - time.monotonic())
        text = base64.b64encode(payload).decode()
        body = {"event": "media", "streamSid": self._stream, "media": {"payload": text}}
        # A carrier plays one piece after the other: after one that was late, all are.
        at_s = max(time.monotonic(), self._free_s)
        self._free_s = at_s + FRAME_S
        await self._socket.send(json.dumps(body))
        self.talk.left(index, at_s)

    async def _ended(self, since_s: float) -> bool:
        behaviour = self.behaviour
        if behaviour.exit_s is not None and since_s >= behaviour.exit_s:
            os._exit(1)
        if behaviour.hang_up_s is not None and since_s >= behaviour.hang_up_s:
            await self._socket.close()
            return True
        if behaviour.vanish_s is not None and since_s >= behaviour.vanish_s:
            self._socket.transport.abort()
            return True
        return False


class TwilioDoor:
    """Takes streams, each as its address or ``otherwise`` says; ``on_truth`` gets each ended one.

    ``?agent=name.N`` is the behaviour ``name``; the whole is the call's name.
    """

    def __init__(self, otherwise: str, seed: int, on_truth: Callable[[Truth], None]) -> None:
        self._otherwise = otherwise
        self._seed = seed
        self._on_truth = on_truth
        self._server: Server | None = None
        self._calls = 0
        self._closing = asyncio.Event()

    async def open(self, host: str, port: int) -> int:
        """Listens; returns the port."""
        self._server = await serve(
            self._stream,
            host,
            port,
            process_request=self._admit,
            max_size=MESSAGE_BYTES,
            compression=None,
            close_timeout=CLOSE_LIMIT_S,
        )
        return int(next(iter(self._server.sockets)).getsockname()[1])

    async def close(self) -> None:
        """Ends every call."""
        self._closing.set()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _admit(self, socket: ServerConnection, request: Request) -> Response | None:
        _, behaviour = self._named(request)
        if behaviour.signalling == "refuses" or self._calls >= CALLS_LIMIT:
            return Response(503, "Service Unavailable", Headers(), b"busy\n")
        if behaviour.signalling == "rings":
            await self._closing.wait()
        return None

    async def _stream(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        name, behaviour = self._named(socket.request)
        call = _Call(name, behaviour, self._seed, socket)
        self._calls += 1
        try:
            await call.run()
        finally:
            self._calls -= 1
            self._on_truth(call.talk.truth(name, "twilio"))

    def _named(self, request: Request) -> tuple[str, Behaviour]:
        asked: dict[str, Any] = parse_qs(urlsplit(request.path).query)
        name = asked.get("agent", [self._otherwise])[0]
        return name, behaviour_of(name, self._otherwise)
