"""A turn's marks -> spans: the turn, and below it what each stage did and when. Pure.

Attributes follow OpenTelemetry's conventions for generative AI where those have a name
(``gen_ai.*``), the bench's (docs/two-clocks.md) and Pipecat's where they do not (``turn.*``,
``metrics.ttfb``), and are under ``offhook.`` else.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.records.record import TurnRecord
from agent.usage import Usage

Value = str | bool | int | float

PROVIDER = "offhook"
"""``gen_ai.provider.name`` of what runs in the box; an endpoint is ``openai``-compatible."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A span to be; times in seconds of ``time.monotonic()``."""

    name: str
    start_s: float
    end_s: float
    attributes: Mapping[str, Value]
    below: tuple["Stage", ...] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """What is the same for every turn of a call."""

    models: Mapping[str, str]
    devices: Mapping[str, str]
    request: Mapping[str, Value] = field(default_factory=dict)
    """``gen_ai.request.*``: how the language model was asked."""
    content: bool = False
    """Whether words are in the spans."""


def turn_span(record: TurnRecord, asked: Asked) -> Stage | None:
    """The turn with its stages below it; None where not one of its marks is known."""
    trace = record.trace
    stages = tuple(stage for stage in _stages(record, asked) if stage is not None)
    marks = [mark for mark in (trace.speech_end_s, trace.end_of_turn_s) if mark is not None]
    begins = [stage.start_s for stage in stages] + marks
    if not begins:
        return None
    attributes: dict[str, Value] = {
        "conversation.id": record.call_id,
        "gen_ai.conversation.id": record.call_id,
        "turn.number": record.turn,
        "turn.was_interrupted": record.interrupted,
        **_usage(record.usage),
    }
    if trace.total_ms is not None:
        attributes["turn.user_bot_latency_seconds"] = trace.total_ms / 1000
    if trace.speech_end_s is not None and trace.end_of_turn_s is not None:
        attributes["turn.end_of_turn_seconds"] = trace.end_of_turn_s - trace.speech_end_s
    if record.owned_usd is not None:
        attributes["offhook.owned_usd"] = float(record.owned_usd)
    if asked.content:
        attributes |= {"turn.heard": record.heard, "turn.answer": record.answer}
    ends = [stage.end_s for stage in stages] + marks
    return Stage("turn", min(begins), max(ends), attributes, stages)


def _stages(record: TurnRecord, asked: Asked) -> tuple[Stage | None, ...]:
    trace = record.trace
    return (
        _span("turn_detection", trace.speech_end_s, trace.end_of_turn_s),
        _recognition(record, asked),
        _generation(record, asked),
        _synthesis(record, asked),
        _span("playout", trace.first_packet_s, trace.last_packet_s),
    )


def _recognition(record: TurnRecord, asked: Asked) -> Stage | None:
    trace = record.trace
    attributes: dict[str, Value] = {
        **_of_stage("stt", asked),
        "offhook.audio_s": record.usage.audio_in_s,
        "offhook.busy_s": record.usage.stt_busy_s,
    }
    if trace.transcript_s is not None and trace.speech_end_s is not None:
        # As Pipecat counts it: from the caller's last word to the words.
        attributes["metrics.ttfb"] = trace.transcript_s - trace.speech_end_s
    if asked.content:
        attributes["transcript"] = record.heard
    return _span("stt", _either(trace.decode_s, trace.speech_end_s), trace.transcript_s, attributes)


def _generation(record: TurnRecord, asked: Asked) -> Stage | None:
    trace, usage = record.trace, record.usage
    attributes: dict[str, Value] = {
        **_of_stage("llm", asked),
        **asked.request,
        "gen_ai.operation.name": "chat",
        "gen_ai.output.type": "text",
        "gen_ai.usage.input_tokens": usage.prompt_tokens,
        "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens,
        "gen_ai.usage.output_tokens": usage.generated_tokens,
        "offhook.discarded_tokens": usage.discarded_tokens,
        "offhook.busy_s": usage.llm_busy_s,
    }
    if trace.asked_s is not None and trace.first_token_s is not None:
        first_s = trace.first_token_s - trace.asked_s
        attributes |= {"metrics.ttfb": first_s, "gen_ai.response.time_to_first_chunk": first_s}
    if asked.content:
        attributes["output"] = record.answer
    name = f"chat {asked.models.get('llm', '')}".strip()
    return _span(name, trace.asked_s, _either(trace.answered_s, trace.first_token_s), attributes)


def _synthesis(record: TurnRecord, asked: Asked) -> Stage | None:
    trace = record.trace
    begun_s = _either(trace.first_clause_s, trace.first_audio_s)
    attributes: dict[str, Value] = {
        **_of_stage("tts", asked),
        "metrics.character_count": record.usage.characters,
        "offhook.audio_s": record.usage.audio_out_s,
        "offhook.busy_s": record.usage.tts_busy_s,
    }
    if begun_s is not None and trace.first_audio_s is not None:
        attributes["metrics.ttfb"] = trace.first_audio_s - begun_s
    if asked.content:
        attributes["text"] = record.answer
    ended_s = _either(trace.last_audio_s, trace.first_audio_s)
    return _span("tts", begun_s, ended_s, attributes)


def _of_stage(stage: str, asked: Asked) -> dict[str, Value]:
    device = asked.devices.get(stage, "")
    return {
        "gen_ai.operation.name": stage,
        "gen_ai.provider.name": "openai" if device == "remote" else PROVIDER,
        "gen_ai.request.model": asked.models.get(stage, ""),
        "offhook.device": device,
    }


def _usage(usage: Usage) -> dict[str, Value]:
    busy = {f"offhook.busy_s.{stage}": s for stage, s in usage.busy_s.items()}
    return {**busy, "offhook.wasted_s": sum(usage.wasted_s.values())}


def _span(
    name: str,
    start_s: float | None,
    end_s: float | None,
    attributes: Mapping[str, Value] | None = None,
) -> Stage | None:
    """None where either end is not known."""
    if start_s is None or end_s is None:
        return None
    return Stage(name, start_s, max(start_s, end_s), attributes or {})


def _either(first: float | None, second: float | None) -> float | None:
    return second if first is None else first
