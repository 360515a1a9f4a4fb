"""What a real box traces, taken and read by the bench's own receiver and reader; and logs."""

import asyncio
import logging
import time
from collections.abc import Iterator, Sequence

import pytest
from boxes import OpenBox
from loopback_caller import LoopbackCaller
from spoken import Question

from agent.log_context import with_call_id
from agent.tracing.export import traced
from latency_bench.tracing.otlp_receiver import OtlpReceiver
from latency_bench.tracing.span_turns import events_of
from latency_bench.tracing.spans import Span

RATE_HZ = 8000
LIMIT_S = 60.0


def named(spans: Sequence[Span], name: str) -> list[Span]:
    found = [span for span in spans if (span.text("gen_ai.operation.name") or span.name) == name]
    return sorted(found, key=lambda span: span.start_ns)


class Lines(logging.Handler):
    """Keeps what a handler for JSON would write, with the call's name on it."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.records: list[logging.LogRecord] = []
        self.addFilter(with_call_id)

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def lines() -> Iterator[list[logging.LogRecord]]:
    handler, logger = Lines(), logging.getLogger("agent")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler.records
    logger.setLevel(level)
    logger.removeHandler(handler)


async def test_every_line_of_a_call_has_its_name(
    open_box: OpenBox, question: Question, lines: list[logging.LogRecord]
) -> None:
    """Two at once, since it is then that a log needs it."""

    async def one() -> str:
        async with LoopbackCaller(box, RATE_HZ) as caller:
            await caller.turn(0)
            await caller.say(question.at(RATE_HZ))
            await caller.turn(1)
            return str(caller.run.call.call_id)  # type: ignore[union-attr]

    async with asyncio.timeout(LIMIT_S), open_box() as box:
        calls = await asyncio.gather(one(), one())
    by_call = {call: [r for r in lines if getattr(r, "call_id", "") == call] for call in calls}
    for call, records in by_call.items():
        messages = [record.getMessage() for record in records]
        assert any(message.endswith("began at the loopback door") for message in messages)
        assert messages.count("turn") == 2 and any("ended (" in message for message in messages)
        assert not [m for m in messages if m.startswith("call ") and call not in m]
    unnamed = [r.getMessage() for r in lines if not hasattr(r, "call_id")]
    assert not [m for m in unnamed if any(call in m for call in calls)]


async def test_the_bench_reads_from_traces_what_the_box_told_the_caller(
    open_box: OpenBox, question: Question
) -> None:
    async with asyncio.timeout(LIMIT_S), OtlpReceiver() as receiver:
        settings = {
            "OFFHOOK_TELEMETRY__ENDPOINT": receiver.url,
            "OFFHOOK_TELEMETRY__CONTENT": "true",
        }
        async with open_box(**settings) as box, traced(box, {}):
            assert receiver.spans == (), "nothing is sent before there was a call"
            async with LoopbackCaller(box, RATE_HZ) as caller:
                greeting = await caller.turn(0)
                await caller.say(question.at(RATE_HZ))
                turn = await caller.turn(1)
            await caller.run.over.wait()  # type: ignore[union-attr]
            call_id = caller.run.call.call_id  # type: ignore[union-attr]
        # Whatever was left was sent when the box closed.
        spans = receiver.spans
    assert len({span.trace_id for span in spans}) == 1 and {s.service for s in spans} == {"offhook"}
    (root,) = named(spans, "invoke_agent")
    assert root.name == "conversation" and root.parent_id == ""
    assert root.text("gen_ai.conversation.id") == call_id
    assert root.text("offhook.cause") == "caller hung up"
    assert root.number("offhook.owned_usd") is not None
    turns = named(spans, "turn")
    assert [span.number("turn.number") for span in turns] == [0, 1]
    assert all(span.parent_id == root.span_id for span in turns)
    below = [span for span in spans if span.parent_id == turns[1].span_id]
    stages = {span.text("gen_ai.operation.name") or span.name: span for span in below}
    assert set(stages) == {"turn_detection", "stt", "chat", "tts", "playout"}
    for span in below:
        assert turns[1].start_ns <= span.start_ns <= span.end_ns <= turns[1].end_ns
        assert root.start_ns <= span.start_ns and span.end_ns <= root.end_ns + 1_000_000
    chat, usage = stages["chat"], turn["usage"]
    first_s = chat.number("gen_ai.response.time_to_first_chunk")
    assert first_s is not None and 0 < first_s < chat.end_s - chat.start_s
    assert stages["stt"].end_s <= chat.start_s, "words come before what is made of them"
    assert chat.start_s < stages["tts"].start_s < stages["playout"].start_s
    assert chat.number("gen_ai.usage.output_tokens") == usage["generated_tokens"]
    assert chat.number("gen_ai.usage.cache_read.input_tokens") == usage["cached_tokens"]
    assert chat.text("gen_ai.request.model") == box.engines.models["llm"]
    heard_s = stages["playout"].end_s - stages["playout"].start_s
    assert heard_s == pytest.approx(usage["audio_heard_s"], abs=1.0)

    told = [event.body for event in events_of(spans, time.monotonic() - time.time())]
    assert [each["turn"] for each in told] == [0, 1]
    assert told[0]["answer"] == greeting["answer"]
    assert (told[1]["heard"], told[1]["answer"]) == (turn["heard"], turn["answer"])
    inside = told[-1]
    assert inside["interrupted"] is False
    assert inside["total_ms"] == pytest.approx(turn["total_ms"], abs=1.0)
    assert set(inside["at_ms"]) == set(turn["at_ms"])
    for step, at_ms in turn["at_ms"].items():
        expected = min(max(0.0, at_ms), turn["total_ms"])
        assert inside["at_ms"][step] == pytest.approx(expected, abs=1.0), step
