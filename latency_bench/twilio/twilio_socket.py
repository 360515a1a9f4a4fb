"""A WebSocket to an agent, whose messages are stamped as they came off the network."""

import asyncio
import time
from collections import deque
from typing import Any
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.frames import Frame, Opcode

from latency_bench.http_post import is_loopback, tls_context
from latency_bench.recording import CallFailed
from latency_bench.stamped_socket import StampedSocket, stamp_transport

PING_EVERY_S = 5.0
DEAD_S = 10.0
"""An agent whose WebSocket leaves a ping unanswered for so long is dead."""
CLOSE_LIMIT_S = 2.0
MESSAGE_LIMIT_BYTES = 512 << 10
"""Some 48 s of sound."""
QUEUED_MESSAGES = 256
REASON_LIMIT = 200


class StampedConnection(ClientConnection):
    """Notes when the bytes of each message came, in the order of the messages."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.arrivals_s: deque[float] = deque()
        """Monotonic; one for each message not taken yet."""
        self.stamped: StampedSocket | None = None
        """None: messages are stamped by the event loop."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Under TLS the socket belongs to the transport below.
        below = getattr(getattr(transport, "_ssl_protocol", None), "_transport", transport)
        self.stamped = stamp_transport(below)
        super().connection_made(transport)

    def process_event(self, event: Any) -> None:
        if isinstance(event, Frame) and event.opcode in (Opcode.TEXT, Opcode.BINARY):
            stamped = self.stamped
            self.arrivals_s.append(stamped.last_arrival_s if stamped else time.monotonic())
        super().process_event(event)


async def open_socket(url: str) -> StampedConnection:
    """Connects to ``url``. Raises CallFailed."""
    try:
        secure = urlsplit(url).scheme == "wss"
        connection = await connect(
            url,
            ssl=await tls_context() if secure else None,
            create_connection=StampedConnection,
            compression=None,
            open_timeout=None,
            ping_interval=PING_EVERY_S,
            ping_timeout=DEAD_S,
            close_timeout=CLOSE_LIMIT_S,
            max_size=MESSAGE_LIMIT_BYTES,
            max_queue=QUEUED_MESSAGES,
            proxy=None if is_loopback(urlsplit(url).hostname) else True,
        )
    except InvalidStatus as error:
        reply = error.response
        said = (reply.body or b"")[:REASON_LIMIT].decode(errors="replace").strip()
        reason = f"{url} refused the call: {reply.status_code} {said}"
        raise CallFailed(reason.strip(), "refused") from error
    except (OSError, InvalidURI, InvalidHandshake, ConnectionClosed) as error:
        raise CallFailed(f"{url} cannot be called: {error}") from error
    assert isinstance(connection, StampedConnection)
    return connection
