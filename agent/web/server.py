"""The HTTP interface: the page, offers, status and call records."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlsplit

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles

from agent.admission import BoxFull
from agent.box import Box
from agent.config import Config, ServerConfig, is_loopback
from agent.records.record import to_text
from agent.web.body import read_body
from agent.web.budgets_api import budgets_routes
from agent.web.calls_api import calls_routes
from agent.web.carrier_messages import MESSAGE_LIMIT_BYTES
from agent.web.carriers import WEBHOOKS, carrier_routes
from agent.web.control_api import control_routes
from agent.web.listener import listen
from agent.web.login import Access
from agent.web.long_answer import long_answer
from agent.web.metrics_api import metrics_routes
from agent.web.operator_api import operator_routes
from agent.web.records_api import records_routes
from agent.web.webrtc import BadOffer, answer_offer

log = logging.getLogger(__name__)

BODY_LIMIT_BYTES = 256 * 1024
"""An SDP offer takes a few kilobytes."""
SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; media-src 'self' blob:; connect-src 'self'; img-src 'self' data:; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "microphone=(self)",
    "Cache-Control": "no-cache",
}
GUARDED = ("/api/", "/v1/", "/metrics")
"""What the token opens, where there is one."""
LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})

Next = Callable[[Request], Awaitable[Response]]


def make_app(box: Box) -> FastAPI:
    """The application over one box."""
    app = FastAPI(title="Offhook", version=version("offhook"), docs_url=None, redoc_url=None)
    config = box.config
    access = Access(config.server)

    @app.middleware("http")
    async def guard(request: Request, call_next: Next) -> Response:
        refused = _refusal(request, config, access)
        response = refused if refused is not None else await call_next(request)
        for name, value in SECURITY_HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    @app.get("/api/status")
    async def status() -> dict[str, object]:
        return {
            "agent": config.agent.name,
            "models": box.engines.models,
            "devices": box.engines.devices,
            "active_calls": box.active_calls,
            "max_calls": box.places.calls,
            "max_calls_from": box.places.why,
            "version": version("offhook"),
        }

    @app.post("/api/offer")
    async def offer(request: Request) -> Response:
        body = await read_body(request, BODY_LIMIT_BYTES)
        if body is None:
            return _error(413, f"the body is over {BODY_LIMIT_BYTES // 1024} KiB")
        try:
            fields = json.loads(body)
            sdp, kind = fields["sdp"], fields["type"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return _error(400, 'the body must be JSON: {"sdp": "v=0...", "type": "offer"}')
        if kind != "offer" or not isinstance(sdp, str):
            return _error(400, f'`type` must be "offer" and `sdp` a text, not {kind!r}')
        caller = request.client.host if request.client else "unknown"
        try:
            return JSONResponse(await answer_offer(box, sdp, caller))
        except BadOffer as error:
            return _error(400, str(error))
        except BoxFull as error:
            box.refusals["webrtc"] += 1
            return _error(503, str(error), error.headers)

    @app.get("/api/calls")
    async def calls(limit: int = 20) -> Response:
        def found() -> Response:
            records = box.store.recent_calls(max(1, min(limit, 500)))
            now = to_text(datetime.now(UTC))
            return long_answer({"calls": [record.to_json() for record in records], "now": now})

        return await asyncio.to_thread(found)

    app.include_router(access.routes())
    app.include_router(records_routes(box))
    app.include_router(operator_routes(box))
    app.include_router(budgets_routes(box))
    app.include_router(carrier_routes(box))
    app.include_router(calls_routes(box))
    app.include_router(control_routes(box))
    app.include_router(metrics_routes(box))
    app.mount("/", StaticFiles(directory=str(_static()), html=True), name="page")
    return app


class WebServer:
    """Serves the application on the running event loop, without touching signals.

    As a context manager it holds the port; ``start`` opens the door over a box.
    """

    def __init__(self, config: ServerConfig) -> None:
        self._socket = listen(config.host, config.port)
        self.port: int = self._socket.getsockname()[1]
        host = "127.0.0.1" if config.host in ("0.0.0.0", "::") else config.host
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{self.port}/"
        self._server: _QuietServer | None = None
        self._serving: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "WebServer":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        self._socket.close()

    async def start(self, box: Box) -> None:
        """Opens the door."""
        server = self._server = _QuietServer(
            uvicorn.Config(
                make_app(box),
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=2,
                ws_max_size=MESSAGE_LIMIT_BYTES,
                # Audio gains nothing by it, and costs a compressor a call.
                ws_per_message_deflate=False,
            )
        )
        self._serving = asyncio.create_task(server.serve(sockets=[self._socket]), name="web")
        while not server.started:
            if self._serving.done():
                self._serving.result()
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """Closes the door and waits for requests under way."""
        if self._server is not None and self._serving is not None:
            self._server.should_exit = True
            await self._serving
            self._serving = None


class _QuietServer(uvicorn.Server):
    """Signals belong to the box."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _refusal(request: Request, config: Config, access: Access) -> Response | None:
    """Why this request is not served, if so.

    On loopback the Host header must name loopback, or a hostile page could reach the box
    through a name that it makes resolve here (DNS rebinding); nor may such a page take the
    box's places by posting offers from its own origin. Off loopback the interface asks
    for the token, or a session that began with it; the pages themselves, which hold no secret,
    are open. A carrier's webhook comes by the name of the proxy before the box, and is let in by
    its signature alone.
    """
    if request.method == "POST" and request.url.path in WEBHOOKS:
        return None
    names = LOOPBACK_NAMES | {config.server.host}
    if is_loopback(config.server.host) and request.url.hostname not in names:
        return _error(403, f"this box answers to localhost, not to {request.url.hostname}")
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("Host"):
        return _error(403, f"this box answers its own page, not one of {origin}")
    if request.url.path.startswith(GUARDED):
        return access.refusal(request)
    return None


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": message}, status_code=status, headers=headers)


def _static() -> Path:
    return Path(str(files("agent.web") / "static"))
