"""Sends the box's traces to an OpenTelemetry collector, over OTLP/HTTP."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from urllib.parse import urlsplit

from agent.box import Box

log = logging.getLogger(__name__)

QUEUE = 4096
"""Spans that wait to be sent; what is over is dropped, and the log says so. Some 600 turns."""
BATCH = 256
EVERY_MS = 2000.0
REQUEST_LIMIT_S = 5.0
"""For one batch, tries of it again included."""
STOP_LIMIT_S = 5.0
"""How long a stopping box may take to send what is left."""


@asynccontextmanager
async def traced(box: Box, environ: Mapping[str, str]) -> AsyncIterator[None]:
    """Traces the box's calls as [telemetry] says; does nothing where it names no endpoint.

    Raises ConfigError.
    """
    settings = box.config.telemetry
    if settings.endpoint is None:
        yield
        return
    # Not even imported elsewhere: a third of a second.
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

    from agent.tracing.call_tracer import CallTracer

    # A password may stand before it.
    where = urlsplit(settings.endpoint).netloc.rpartition("@")[2]
    exporter: SpanExporter = OTLPSpanExporter(
        settings.endpoint,
        headers=settings.headers(environ),
        timeout=REQUEST_LIMIT_S,
        compression=Compression.Gzip,
    )
    provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(settings.sample)),
        resource=Resource.create(
            {"service.name": settings.service, "service.version": version("offhook")}
        ),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(
        BatchSpanProcessor(
            exporter,
            max_queue_size=QUEUE,
            schedule_delay_millis=EVERY_MS,
            max_export_batch_size=BATCH,
        )
    )
    tracer = CallTracer(provider.get_tracer("offhook", version("offhook")), settings)
    box.watchers.append(tracer)
    log.info("calls are traced to %s", where)
    try:
        yield
    finally:
        box.watchers.remove(tracer)
        stopping = asyncio.create_task(asyncio.to_thread(provider.shutdown), name="last-spans")
        if not (await asyncio.wait([stopping], timeout=STOP_LIMIT_S))[0]:
            log.warning("%s did not take all traces in time; the rest is dropped", where)
            # Ends the waits between its tries.
            exporter.shutdown()
        await stopping
