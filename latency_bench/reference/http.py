"""As much of HTTP as an offer needs: one POST in, one JSON object out (RFC 9112)."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)

REQUEST_LIMIT_S = 5.0
REQUEST_BYTES = 1 << 18

Answer = Callable[[str, bytes], Awaitable[tuple[str, dict[str, str]]]]
"""A request's path and body -> the status line's end, and the object to send back."""


async def serve_json(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answer
) -> None:
    """Serves one connection and closes it."""
    try:
        async with asyncio.timeout(REQUEST_LIMIT_S):
            path, body = await _request(reader)
        status, reply = await answer(path, body)
        data = json.dumps(reply).encode()
        writer.write(
            f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(data)}\r\nConnection: close\r\n\r\n".encode()
            + data
        )
        await writer.drain()
    except (OSError, ValueError, KeyError, EOFError, asyncio.LimitOverrunError) as error:
        log.warning("a request came to nothing: %r", error)
    finally:
        writer.close()


async def _request(reader: asyncio.StreamReader) -> tuple[str, bytes]:
    """A request's path and body. Raises ValueError, EOFError."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *headers = head.split("\r\n")
    method, path, _ = first.split(" ", 2)
    if method != "POST":
        raise ValueError(f"{method} {path}")
    lengths = [h.partition(":")[2] for h in headers if h.lower().startswith("content-length:")]
    length = int(lengths[0]) if lengths else 0
    if not 0 <= length <= REQUEST_BYTES:
        raise ValueError(f"{length} bytes")
    return path, await reader.readexactly(length)
