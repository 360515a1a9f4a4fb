"""The OTLP receiver against the real exporter, and against what no exporter sends."""

import asyncio
import gzip
import json
import socket
import time
from pathlib import Path

import httpx2
import pytest
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from latency_bench.tracing import otlp_receiver
from latency_bench.tracing.otlp_receiver import OtlpReceiver, ReceiverError

CAPTURED = Path(__file__).with_name("captured") / "pipecat-1.14.spans.jsonl"


async def post(url: str, body: bytes, **headers: str) -> int:
    async with httpx2.AsyncClient(timeout=10) as http:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return (await http.post(url, content=body, headers=named)).status_code


@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip])
async def test_the_real_exporter_is_understood(compression: Compression) -> None:
    async with OtlpReceiver() as receiver:
        exporter = OTLPSpanExporter(endpoint=receiver.url, compression=compression, timeout=10)
        provider = TracerProvider(resource=Resource.create({"service.name": "agent"}))
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        tracer = provider.get_tracer("pipecat.turn")

        def work() -> None:
            with tracer.start_as_current_span("conversation"):
                with tracer.start_as_current_span("turn", attributes={"turn.number": 1}):
                    pass

        async with asyncio.timeout(20):
            await asyncio.to_thread(work)
            spans = await receiver.until_quiet(0.2, 5.0)
        await asyncio.to_thread(provider.shutdown)
    turn, conversation = spans
    assert (turn.name, turn.scope, turn.service) == ("turn", "pipecat.turn", "agent")
    assert turn.parent_id == conversation.span_id
    assert turn.attributes == {"turn.number": 1}
    assert abs(turn.start_s - time.time()) < 60


async def test_json_is_taken_plain_and_zipped() -> None:
    lines = CAPTURED.read_bytes().splitlines()
    async with OtlpReceiver() as receiver:
        assert await post(receiver.url, lines[0], Content_Type="application/json") == 200
        zipped = gzip.compress(lines[1])
        kind = "application/json; charset=utf-8"
        assert await post(receiver.url, zipped, Content_Type=kind, Content_Encoding="gzip") == 200
        assert len(receiver.spans) == 12


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{}", {"Content_Type": "text/plain"}, 415),
        (b"{}", {}, 415),
        (b"{oops", {"Content_Type": "application/json"}, 400),
        (b"\xff\xff\xff", {"Content_Type": "application/x-protobuf"}, 400),
        (b"{}", {"Content_Type": "application/json", "Content_Encoding": "gzip"}, 400),
        (
            gzip.compress(b"{}")[:-6],
            {"Content_Type": "application/json", "Content_Encoding": "gzip"},
            400,
        ),
        (b"{}", {"Content_Type": "application/json", "Content_Encoding": "br"}, 415),
        (b" " * 5_000_000, {"Content_Type": "application/json"}, 413),
        (
            gzip.compress(b" " * 50_000_000),
            {"Content_Type": "application/json", "Content_Encoding": "gzip"},
            413,
        ),
    ],
    ids=lambda value: None if isinstance(value, dict | bytes) else str(value),
)
async def test_what_no_exporter_sends_is_refused(
    body: bytes, headers: dict[str, str], status: int
) -> None:
    async with OtlpReceiver() as receiver:
        assert await post(receiver.url, body, **headers) == status
        assert receiver.spans == ()


async def test_it_keeps_no_more_than_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp_receiver, "SPANS_LIMIT", 4)
    async with OtlpReceiver() as receiver:
        for line in CAPTURED.read_bytes().splitlines():
            assert await post(receiver.url, line, Content_Type="application/json") == 200
        assert len(receiver.spans) == 4


async def test_a_taken_port_is_named_with_the_remedy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ReceiverError, match=rf"127\.0\.0\.1:{port}.*--otlp-port"):
            async with OtlpReceiver(port):
                pass


async def test_it_listens_on_loopback_alone_and_stops_when_left() -> None:
    async with OtlpReceiver() as receiver:
        url = receiver.url
        assert url.startswith("http://127.0.0.1:")
    with pytest.raises(httpx2.ConnectError):
        await post(url, b"{}", Content_Type="application/json")


def test_the_captured_spans_are_those_of_a_json_exporter() -> None:
    """What the other tests stand on: ids in hexadecimal, numbers as texts."""
    line = json.loads(CAPTURED.read_text().splitlines()[0])
    span = line["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    assert len(bytes.fromhex(span["traceId"])) == 16
    assert span["startTimeUnixNano"].isdigit()
