"""OTLP in protobuf and JSON, as exporters and the Collector write it."""

import json
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from latency_bench.tracing.spans import SpansError, from_json, from_protobuf, read_spans

CAPTURED = Path(__file__).with_name("captured") / "pipecat-1.14.spans.jsonl"
ONE = {
    "resourceSpans": [
        {
            "resource": {
                "attributes": [{"key": "service.name", "value": {"stringValue": "agent"}}]
            },
            "scopeSpans": [
                {
                    "scope": {"name": "pipecat.turn"},
                    "spans": [
                        {
                            "traceId": "5B8EFFF798038103D269B633813FC60C",
                            "spanId": "EEE19B7EC3C1B174",
                            "parentSpanId": "EEE19B7EC3C1B173",
                            "name": "turn",
                            "kind": 1,
                            "startTimeUnixNano": "1544712660000000000",
                            "endTimeUnixNano": "1544712661500000000",
                            "attributes": [
                                {"key": "turn.number", "value": {"intValue": "2"}},
                                {"key": "turn.was_interrupted", "value": {"boolValue": True}},
                                {"key": "took", "value": {"doubleValue": 0.5}},
                                {"key": "list", "value": {"arrayValue": {"values": []}}},
                            ],
                            "unknownField": 1,
                        }
                    ],
                }
            ],
        }
    ]
}


def test_json_of_otlp_is_read() -> None:
    (span,) = from_json(json.dumps(ONE))
    assert span.trace_id == "5b8efff798038103d269b633813fc60c"
    assert (span.span_id, span.parent_id) == ("eee19b7ec3c1b174", "eee19b7ec3c1b173")
    assert (span.name, span.scope, span.service) == ("turn", "pipecat.turn", "agent")
    assert (span.start_s, span.end_s) == (1544712660.0, 1544712661.5)
    assert span.attributes == {"turn.number": 2, "turn.was_interrupted": True, "took": 0.5}


def test_protobuf_and_json_say_the_same() -> None:
    from_file = from_json(json.dumps(ONE))
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add()
    service = scope.resource.attributes.add(key="service.name")
    service.value.string_value = "agent"
    spans = scope.scope_spans.add()
    spans.scope.name = "pipecat.turn"
    sent = spans.spans.add(
        trace_id=bytes.fromhex("5B8EFFF798038103D269B633813FC60C"),
        span_id=bytes.fromhex("EEE19B7EC3C1B174"),
        parent_span_id=bytes.fromhex("EEE19B7EC3C1B173"),
        name="turn",
        start_time_unix_nano=1544712660000000000,
        end_time_unix_nano=1544712661500000000,
    )
    sent.attributes.add(key="turn.number").value.int_value = 2
    sent.attributes.add(key="turn.was_interrupted").value.bool_value = True
    sent.attributes.add(key="took").value.double_value = 0.5
    assert from_protobuf(request.SerializeToString()) == from_file


def test_attributes_are_taken_by_type() -> None:
    (span,) = from_json(json.dumps(ONE))
    assert span.number("nothing", "turn.number") == 2.0
    assert span.number("turn.was_interrupted") is None
    assert span.flag("turn.was_interrupted") and not span.flag("turn.number")
    assert span.text("turn.number") == ""


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        "[" * 100_000,
        '{"resourceSpans": [1]}',
        '{"resourceSpans": 7}',
        '{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "xyz"}]}]}]}',
        '{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": 5}]}]}]}',
        '{"resourceSpans": [{"scopeSpans": [{"spans": [{"startTimeUnixNano": "soon"}]}]}]}',
    ],
)
def test_what_is_no_otlp_is_refused(text: str) -> None:
    with pytest.raises(SpansError):
        from_json(text)


def test_bytes_that_are_no_protobuf_are_refused() -> None:
    with pytest.raises(SpansError, match="protobuf"):
        from_protobuf(b"\xff\xff\xff\xff")


def test_a_file_of_json_lines_is_read_whole() -> None:
    spans = read_spans(CAPTURED)
    assert {span.name for span in spans} == {"conversation", "turn", "stt", "llm", "tts"}
    assert sum(span.name == "turn" for span in spans) == 4


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "spans.jsonl"
    path.write_text(json.dumps(ONE) + "\n\n{oops\n")
    with pytest.raises(SpansError, match=r"spans\.jsonl, line 3: not JSON"):
        read_spans(path)
    with pytest.raises(SpansError, match=r"missing: cannot be read"):
        read_spans(tmp_path / "missing")
