"""OpenTelemetry spans as the bench reads them, from OTLP in protobuf or JSON. Pure but for files.

Formats: https://opentelemetry.io/docs/specs/otlp/#otlphttp
"""

import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

LINE_LIMIT_BYTES = 16 * 1024 * 1024
FILE_SPANS_LIMIT = 1_000_000
_IDS = ("traceId", "spanId", "parentSpanId")

Value = str | bool | int | float
"""Of an attribute; lists, maps and bytes are left out."""


class SpansError(Exception):
    """No spans could be read; the message says from where and why."""


@dataclass(frozen=True, slots=True)
class Span:
    """One span. Times are of the wall clock of whoever sent it, in nanoseconds since 1970."""

    trace_id: str
    span_id: str
    parent_id: str
    """Empty: a root."""
    name: str
    start_ns: int
    end_ns: int
    attributes: Mapping[str, Value] = field(default_factory=dict)
    scope: str = ""
    """The library that made it, such as ``pipecat.turn``."""
    service: str = ""

    @property
    def start_s(self) -> float:
        """Seconds since 1970."""
        return self.start_ns / 1e9

    @property
    def end_s(self) -> float:
        """Seconds since 1970."""
        return self.end_ns / 1e9

    def text(self, *names: str) -> str:
        """The first of these attributes that is a text; empty where none is."""
        found = (self.attributes.get(name) for name in names)
        return next((value for value in found if isinstance(value, str)), "")

    def number(self, *names: str) -> float | None:
        """The first of these attributes that is a number."""
        for name in names:
            value = self.attributes.get(name)
            if isinstance(value, int | float) and not isinstance(value, bool):
                return float(value)
        return None

    def flag(self, *names: str) -> bool:
        """Whether any of these attributes is true."""
        return any(self.attributes.get(name) is True for name in names)


def from_protobuf(body: bytes) -> list[Span]:
    """An ``ExportTraceServiceRequest`` as sent. Raises SpansError."""
    request = ExportTraceServiceRequest()
    try:
        request.ParseFromString(body)
    except DecodeError as error:
        raise SpansError(f"no ExportTraceServiceRequest in protobuf: {error}") from error
    return _spans(request)


def from_json(text: str | bytes) -> list[Span]:
    """The same as OTLP has it in JSON (ids in hexadecimal). Raises SpansError."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SpansError(f"not JSON: {error}") from error
    if not isinstance(body, dict):
        raise SpansError('no ExportTraceServiceRequest: it must be {"resourceSpans": [...]}')
    try:
        request = ParseDict(
            _with_ids(body), ExportTraceServiceRequest(), ignore_unknown_fields=True
        )
    except (ParseError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise SpansError(f"no ExportTraceServiceRequest in JSON: {error}") from error
    return _spans(request)


def read_spans(path: Path) -> list[Span]:
    """A file of OTLP JSON lines, as the OpenTelemetry Collector's file exporter writes it.

    Raises SpansError naming file and line.
    """
    spans: list[Span] = []
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(LINE_LIMIT_BYTES + 1):
                number += 1
                if len(line) > LINE_LIMIT_BYTES:
                    raise SpansError(f"{path}, line {number}: over {LINE_LIMIT_BYTES >> 20} MiB")
                if line.strip():
                    spans += from_json(line)
                if len(spans) > FILE_SPANS_LIMIT:
                    raise SpansError(f"{path}: over {FILE_SPANS_LIMIT} spans; cut it to the run")
    except OSError as error:
        raise SpansError(f"{path}: cannot be read: {error.strerror}") from error
    except SpansError as error:
        if str(error).startswith(str(path)):
            raise
        raise SpansError(f"{path}, line {number}: {error}") from error
    return spans


def _with_ids(body: dict[str, Any]) -> dict[str, Any]:
    """Ids as protobuf's own JSON wants them: OTLP writes them in hexadecimal."""
    for resource in body.get("resourceSpans", []):
        for scope in resource.get("scopeSpans", []):
            for span in scope.get("spans", []):
                span.pop("links", None)
                for name in _IDS:
                    if name in span:
                        try:
                            raw = binascii.unhexlify(span[name])
                        except binascii.Error as error:
                            raise ValueError(f"{name} {span[name]!r}: {error}") from error
                        span[name] = base64.b64encode(raw).decode()
    return body


def _spans(request: ExportTraceServiceRequest) -> list[Span]:
    return [
        Span(
            trace_id=span.trace_id.hex(),
            span_id=span.span_id.hex(),
            parent_id=span.parent_span_id.hex(),
            name=span.name,
            start_ns=span.start_time_unix_nano,
            end_ns=span.end_time_unix_nano,
            attributes=_attributes(span.attributes),
            scope=scope.scope.name,
            service=str(_attributes(resource.resource.attributes).get("service.name", "")),
        )
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def _attributes(pairs: Iterable[KeyValue]) -> dict[str, Value]:
    found = ((pair.key, _value(pair.value)) for pair in pairs)
    return {key: value for key, value in found if value is not None}


def _value(value: AnyValue) -> Value | None:
    match value.WhichOneof("value"):
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case "int_value":
            return value.int_value
        case "double_value":
            return value.double_value
    return None
