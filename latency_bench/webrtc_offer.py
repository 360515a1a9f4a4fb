"""The offer of a call over HTTP, as Pipecat's SmallWebRTC and this box take it."""

import asyncio
import json
import ssl
from typing import Any
from urllib.parse import urlsplit

import httpx2

from latency_bench.recording import CallFailed

ANSWER_LIMIT_BYTES = 1 << 20
REASON_LIMIT = 200
LOOPBACK = ("127.0.0.1", "localhost", "::1")


async def post_offer(
    url: str, offer: dict[str, str], token: str | None, limit_s: float
) -> dict[str, Any]:
    """Posts ``{"sdp", "type"}`` and returns the answer, an object. Raises CallFailed.

    No candidates are trickled: the offer holds them all.
    """
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        async with asyncio.timeout(limit_s):
            status, body = await _post(url, offer, headers)
    except TimeoutError:
        raise CallFailed(f"{url} did not answer within {limit_s:.0f} s", "unanswered") from None
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        said = str(error) or type(error).__name__
        raise CallFailed(f"{url} cannot be called: {said}") from error
    if status >= 300:
        raise CallFailed(f"{url} refused the call: {status} {_reason(body)}".strip(), "refused")
    try:
        answer = json.loads(body)
    except ValueError as error:
        raise CallFailed(f"{url} gave no SDP answer, but {body[:40]!r}") from error
    if not isinstance(answer, dict):
        raise CallFailed(f"{url} gave no SDP answer")
    return answer


async def _post(url: str, offer: dict[str, str], headers: dict[str, str]) -> tuple[int, bytes]:
    parts = urlsplit(url)
    # Loading the certificates blocks for tens of milliseconds.
    secure = parts.scheme == "https"
    verify = await asyncio.to_thread(ssl.create_default_context) if secure else False
    async with (
        httpx2.AsyncClient(
            verify=verify,
            timeout=None,
            follow_redirects=True,
            trust_env=parts.hostname not in LOOPBACK,
        ) as client,
        client.stream("POST", url, json=offer, headers=headers) as response,
    ):
        body = b""
        async for piece in response.aiter_bytes():
            body += piece
            if len(body) > ANSWER_LIMIT_BYTES:
                raise CallFailed(f"{url} gave no SDP answer, but over {ANSWER_LIMIT_BYTES} bytes")
        return response.status_code, body


def _reason(body: bytes) -> str:
    """What the refusal says, in the words of this box, FastAPI or plain text."""
    try:
        said = json.loads(body)
        reason = said.get("error") or said.get("detail") if isinstance(said, dict) else said
    except ValueError:
        reason = body.decode(errors="replace")
    return str(reason or "").strip()[:REASON_LIMIT]
