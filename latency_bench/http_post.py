"""One POST of a caller, bounded in time and size."""

import asyncio
import json
import logging
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx2

from latency_bench.recording import CallFailed

REPLY_LIMIT_BYTES = 1 << 20
REASON_LIMIT = 200
# It tells of every request, in the middle of a run's progress.
logging.getLogger("httpx2").setLevel(logging.WARNING)
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def is_loopback(host: str | None) -> bool:
    """Whether ``host`` is this machine by its usual names."""
    return host in _LOOPBACK


async def tls_context() -> ssl.SSLContext:
    """One that checks certificates; loading them blocks for tens of milliseconds."""
    return await asyncio.to_thread(ssl.create_default_context)


async def post(
    url: str,
    *,
    limit_s: float,
    headers: Mapping[str, str],
    body: Any = None,
    form: Mapping[str, str] | None = None,
) -> bytes:
    """Posts ``body`` as JSON, or ``form``; the reply. Raises CallFailed, by what went wrong."""
    try:
        async with asyncio.timeout(limit_s):
            status, reply = await _post(url, headers, body, form)
    except TimeoutError:
        raise CallFailed(f"{url} did not answer within {limit_s:.0f} s", "unanswered") from None
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
        said = str(error) or type(error).__name__
        raise CallFailed(f"{url} cannot be called: {said}") from error
    if status >= 300:
        reason = f"{url} refused the call: {status} {_reason(reply)}"
        raise CallFailed(reason.strip(), "refused")
    return reply


async def _post(
    url: str, headers: Mapping[str, str], body: Any, form: Mapping[str, str] | None
) -> tuple[int, bytes]:
    parts = urlsplit(url)
    async with (
        httpx2.AsyncClient(
            verify=await tls_context() if parts.scheme == "https" else False,
            timeout=None,
            follow_redirects=True,
            trust_env=not is_loopback(parts.hostname),
        ) as client,
        client.stream("POST", url, json=body, data=form, headers=headers) as response,
    ):
        reply = b""
        async for piece in response.aiter_bytes():
            reply += piece
            if len(reply) > REPLY_LIMIT_BYTES:
                raise CallFailed(f"{url} answered with over {REPLY_LIMIT_BYTES >> 20} MiB")
        return response.status_code, reply


def _reason(body: bytes) -> str:
    """What the refusal says, in the words of this box, FastAPI or plain text."""
    try:
        said = json.loads(body)
        reason = said.get("error") or said.get("detail") if isinstance(said, dict) else said
    except (ValueError, RecursionError):
        reason = body.decode(errors="replace")
    return str(reason or "").strip()[:REASON_LIMIT]
