"""Takes the spans that a measured agent exports: OTLP over HTTP, ``POST /v1/traces``."""

import asyncio
import logging
import socket
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import uvicorn
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from agent.web.body import read_body
from latency_bench.tracing.spans import Span, SpansError, from_json, from_protobuf

log = logging.getLogger(__name__)

BODY_LIMIT_BYTES = 4 * 1024 * 1024
"""Of a request as it comes, and again once it is unpacked: an exporter sends 512 spans."""
SPANS_LIMIT = 200_000
CONNECTIONS_LIMIT = 32
PROTOBUF, JSON = "application/x-protobuf", "application/json"


class ReceiverError(Exception):
    """Spans cannot be taken there; the message says why, and what to do."""


class OtlpReceiver:
    """An async context manager; keeps what comes while it is open.

    ``port`` 0 takes any free port. Raises ReceiverError on the way in.
    """

    def __init__(self, port: int = 0, host: str = "127.0.0.1") -> None:
        self._host = host
        self._port = port
        self._spans: list[Span] = []
        self._came = asyncio.Event()
        self._full = False
        self._socket: socket.socket | None = None
        self._server: _QuietServer | None = None
        self._serving: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """What an exporter is given as its endpoint for traces."""
        assert self._socket is not None, "use the receiver as a context manager"
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._socket.getsockname()[1]}/v1/traces"

    @property
    def spans(self) -> Sequence[Span]:
        """All that came so far."""
        return tuple(self._spans)

    async def until_quiet(self, quiet_s: float, limit_s: float) -> Sequence[Span]:
        """All spans, once none has come for ``quiet_s``, or after ``limit_s``.

        Agents export in batches, a call's last turn some time after its end.
        """
        loop = asyncio.get_running_loop()
        until_s = loop.time() + limit_s
        while (left_s := until_s - loop.time()) > 0:
            self._came.clear()
            try:
                await asyncio.wait_for(self._came.wait(), min(quiet_s, left_s))
            except TimeoutError:
                break
        return self.spans

    async def __aenter__(self) -> "OtlpReceiver":
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        try:
            self._socket = socket.create_server((self._host, self._port), family=family)
        except OSError as error:
            raise ReceiverError(
                f"cannot take spans on {self._host}:{self._port}: {error.strerror}; "
                "choose another --otlp-port"
            ) from error
        route = Route("/v1/traces", self._take, methods=["POST"])
        server = self._server = _QuietServer(
            uvicorn.Config(
                Starlette(routes=[route]),
                log_config=None,
                access_log=False,
                limit_concurrency=CONNECTIONS_LIMIT,
                timeout_graceful_shutdown=1,
                lifespan="off",
            )
        )
        self._serving = asyncio.create_task(server.serve(sockets=[self._socket]), name="otlp")
        while not server.started:
            if self._serving.done():
                self._serving.result()
            await asyncio.sleep(0.01)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None and self._serving is not None:
            self._server.should_exit = True
            await self._serving
        if self._socket is not None:
            self._socket.close()

    async def _take(self, request: Request) -> Response:
        kind = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind not in (PROTOBUF, JSON):
            return _error(415, f"send {PROTOBUF} or {JSON}, not {kind[:60]!r}")
        body = await read_body(request, BODY_LIMIT_BYTES)
        encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
        if body is not None and encoding == "gzip":
            try:
                body = _unzipped(body)
            except zlib.error as error:
                return _error(400, f"no gzip: {error}")
        elif encoding not in ("identity", "gzip"):
            return _error(415, f"Content-Encoding must be gzip, not {encoding[:60]!r}")
        if body is None:
            return _error(413, f"over {BODY_LIMIT_BYTES >> 20} MiB; export smaller batches")
        try:
            # Calls may be under way on this event loop, and a large batch takes milliseconds.
            spans = await asyncio.to_thread(from_json if kind == JSON else from_protobuf, body)
        except SpansError as error:
            return _error(400, str(error))
        self._keep(spans)
        if kind == JSON:
            return JSONResponse({})
        return Response(ExportTraceServiceResponse().SerializeToString(), media_type=PROTOBUF)

    def _keep(self, spans: Sequence[Span]) -> None:
        room = SPANS_LIMIT - len(self._spans)
        self._spans += spans[:room]
        self._came.set()
        if len(spans) > room and not self._full:
            self._full = True
            log.warning("over %d spans came; what follows is not kept", SPANS_LIMIT)


class _QuietServer(uvicorn.Server):
    """Signals belong to the bench."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _unzipped(body: bytes) -> bytes | None:
    """None where it unpacks to more than the limit. Raises zlib.error."""
    unpacking = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    unpacked = unpacking.decompress(body, BODY_LIMIT_BYTES)
    if unpacking.unconsumed_tail:
        return None
    if not unpacking.eof:
        raise zlib.error("it ends too early")
    return unpacked


def _error(status: int, message: str) -> JSONResponse:
    return JSONResponse({"error": message}, status_code=status)
