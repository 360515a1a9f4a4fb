"""Spans of calls: what is in them, when they begin and end, and what they never do."""

import asyncio
import logging
import socket
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from scripted_door import QuietBox, a_store

from agent.call import Origin
from agent.config import Config, ConfigError, load_config
from agent.latency import TurnTrace
from agent.records.record import CallRecord, TurnRecord
from agent.telemetry_section import TelemetryConfig
from agent.tracing import export
from agent.tracing.call_tracer import CallTracer
from agent.tracing.turn_spans import Asked, Stage, turn_span
from agent.usage import Usage

LIMIT_S = 30.0
ASKED = Asked({"stt": "w", "llm": "s", "tts": "p"}, {"stt": "cpu", "llm": "remote", "tts": "cpu"})
MARKS = TurnTrace(
    turn=1,
    speech_end_s=100.0,
    end_of_turn_s=100.3,
    transcript_s=100.2,
    first_token_s=100.28,
    first_clause_s=100.4,
    first_audio_s=100.5,
    first_packet_s=100.52,
    decode_s=100.1,
    asked_s=100.25,
    answered_s=100.9,
    last_audio_s=101.0,
    last_packet_s=102.5,
)
USAGE = Usage(prompt_tokens=90, cached_tokens=60, generated_tokens=12, llm_busy_s=0.4)
TURN = TurnRecord("c", 1, "where is it", "over there", False, MARKS, USAGE, Decimal("0.5"))


def below(stage: Stage) -> dict[str, tuple[float, float]]:
    return {each.name: (each.start_s, each.end_s) for each in stage.below}


def test_a_stage_lasts_from_its_own_beginning_to_its_own_end() -> None:
    stage = turn_span(TURN, ASKED)
    assert stage is not None
    assert (stage.start_s, stage.end_s) == (100.0, 102.5)
    assert below(stage) == {
        "turn_detection": (100.0, 100.3),
        "stt": (100.1, 100.2),
        # A guess: asked before the turn was judged over.
        "chat s": (100.25, 100.9),
        "tts": (100.4, 101.0),
        "playout": (100.52, 102.5),
    }
    chat = next(each for each in stage.below if each.name == "chat s")
    assert chat.attributes["gen_ai.provider.name"] == "openai"
    assert chat.attributes["gen_ai.usage.cache_read.input_tokens"] == 60
    assert chat.attributes["metrics.ttfb"] == pytest.approx(0.03)
    assert stage.attributes["turn.user_bot_latency_seconds"] == pytest.approx(0.52)
    assert stage.attributes["turn.end_of_turn_seconds"] == pytest.approx(0.3)
    assert stage.attributes["offhook.owned_usd"] == 0.5


def test_words_are_in_them_only_where_that_is_asked_for() -> None:
    def texts(stage: Stage | None) -> set[object]:
        assert stage is not None
        return {value for each in (stage, *stage.below) for value in each.attributes.values()}

    words = {TURN.heard, TURN.answer}
    assert not texts(turn_span(TURN, ASKED)) & words
    assert words <= texts(turn_span(TURN, replace(ASKED, content=True)))


def test_a_greeting_has_no_hearing_and_no_model() -> None:
    greeting = TurnTrace(turn=0, first_audio_s=5.0, first_packet_s=5.1, last_packet_s=7.0)
    stage = turn_span(replace(TURN, turn=0, trace=greeting), ASKED)
    assert stage is not None
    assert below(stage) == {"tts": (5.0, 5.0), "playout": (5.1, 7.0)}
    assert "turn.user_bot_latency_seconds" not in stage.attributes


def test_a_turn_of_which_nothing_is_known_has_no_span() -> None:
    assert turn_span(replace(TURN, trace=TurnTrace(turn=3)), ASKED) is None


def a_call(config: Config) -> Any:
    engines = SimpleNamespace(models=ASKED.models, devices=ASKED.devices)
    return Talked(
        call_id="c",
        config=config,
        engines=engines,
        door="sip",
        caller="+15551234567",
        origin=Origin(dialled="+15557654321", trunk="carrier"),
        started_s=99.0,
    )


class Talked(SimpleNamespace):
    """Stands in for a call: what a watcher reads of it."""

    __hash__ = object.__hash__


def a_record(cause: str = "caller hung up") -> CallRecord:
    began = datetime(2026, 1, 2, tzinfo=UTC)
    return CallRecord(
        "c", began, "sip", "+15551234567", "Joe", cause=cause, usage=Usage(call_s=10.0),
        owned_usd=Decimal("0.25"), rented_usd={"known": Decimal(1), "unknown": None},
    )  # fmt: skip


def spans_of(settings: TelemetryConfig, cause: str = "caller hung up") -> list[ReadableSpan]:
    kept = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    tracer = CallTracer(provider.get_tracer("test"), settings)
    call = a_call(Config())
    tracer.began(call)
    tracer.turn_over(call, TURN)
    tracer.ended(call, a_record(cause))
    return list(kept.get_finished_spans())


def test_a_call_is_one_trace_on_one_clock() -> None:
    spans = spans_of(TelemetryConfig())
    (root,) = [span for span in spans if span.parent is None]
    assert root.name == "conversation" and root.status.is_unset
    assert len({span.context.trace_id for span in spans}) == 1 and len(spans) == 7
    assert root.end_time - root.start_time == 10_000_000_000  # type: ignore[operator]
    turn = next(span for span in spans if span.name == "turn")
    assert turn.start_time - root.start_time == 1_000_000_000  # type: ignore[operator]
    about = root.attributes or {}
    assert about["offhook.rented_usd.known"] == 1.0 and about["offhook.owned_usd"] == 0.25
    assert "offhook.rented_usd.unknown" not in about
    numbers = [value for value in about.values() if "+1555" in str(value)]
    assert not numbers, "a caller's number is content"
    (root,) = [s for s in spans_of(TelemetryConfig(content=True)) if s.parent is None]
    assert (root.attributes or {})["offhook.caller"] == "+15551234567"


def test_a_call_that_failed_is_an_error() -> None:
    (root,) = [s for s in spans_of(TelemetryConfig(), cause="failed") if s.parent is None]
    assert not root.status.is_ok and root.status.description == "failed"


async def test_a_collector_that_never_answers_costs_spans_and_no_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, value in (("QUEUE", 40), ("BATCH", 20), ("REQUEST_LIMIT_S", 0.3)):
        monkeypatch.setattr(export, name, value)
    monkeypatch.setattr(export, "STOP_LIMIT_S", 0.3)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}/v1/traces"
        config = Config.model_validate({"telemetry": {"endpoint": endpoint}})
        box = QuietBox(config, a_store(tmp_path))
        before = list(box.watchers)
        with caplog.at_level(logging.WARNING):
            async with asyncio.timeout(LIMIT_S), export.traced(box, {}):
                (tracer,) = [each for each in box.watchers if each not in before]
                call = a_call(config)
                tracer.began(call)
                for number in range(100):
                    tracer.turn_over(call, replace(TURN, turn=number))
                tracer.ended(call, a_record())
    assert "Queue full" in caplog.text
    assert box.watchers == before
    await asyncio.to_thread(box.store.close)


async def test_without_an_endpoint_nothing_watches(tmp_path: Path) -> None:
    box = QuietBox(Config(), a_store(tmp_path))
    async with export.traced(box, {}):
        assert not any(isinstance(watcher, CallTracer) for watcher in box.watchers)
    await asyncio.to_thread(box.store.close)


def test_headers_come_from_a_variable() -> None:
    settings = TelemetryConfig(headers_env="KEYS")
    given = {"KEYS": "authorization=Bearer a=b, x-team = voice ,"}
    assert settings.headers(given) == {"authorization": "Bearer a=b", "x-team": "voice"}
    assert TelemetryConfig().headers(given) == {}


@pytest.mark.parametrize(
    ("text", "environ", "message"),
    [
        ("endpoint = 'localhost:4318'", {}, "`endpoint` in [telemetry] must be like pattern"),
        ("headers_env = 'KEYS'", {}, "names KEYS, which is not set"),
        ("headers_env = 'KEYS'", {"KEYS": "secret"}, "which must hold name=value pairs"),
        ("headers_env = 'KEYS'", {"KEYS": "a=b\nc"}, "which must hold name=value pairs"),
        ("sample = 0", {}, "`sample` in [telemetry] must be greater than 0"),
    ],
)
def test_a_mistake_is_told_without_the_secret(
    text: str, environ: dict[str, str], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "offhook.toml"
    path.write_text(f"[telemetry]\n{text}\n")
    with pytest.raises(ConfigError) as raised:
        load_config(path, environ)
    assert message in str(raised.value)
    assert "secret" not in str(raised.value)
