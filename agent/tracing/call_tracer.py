"""One trace a call: the conversation, its turns, and their stages."""

import time
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context

from agent.engines import sampling_of
from agent.telemetry_section import TelemetryConfig
from agent.tracing.turn_spans import PROVIDER, Asked, Stage, Value, turn_span
from telephony.transport import HangupCause

if TYPE_CHECKING:
    from agent.call import Call
    from agent.records.record import CallRecord, TurnRecord


class _Open:
    """A call under way."""

    def __init__(self, span: Span, asked: Asked, clock_ns: int) -> None:
        self.span, self.asked = span, asked
        self.clock_ns = clock_ns
        """From the monotonic clock to the time since 1970, as it was when the call began: a wall
        clock that is set meanwhile moves none of its spans."""
        self.context: Context = set_span_in_context(span)

    def at_ns(self, at_s: float) -> int:
        return round(at_s * 1e9) + self.clock_ns


class CallTracer:
    """Told of every call; lives on the box's event loop. Making a span takes some microseconds:
    they are sent by a thread, from a queue that drops what does not fit."""

    def __init__(self, tracer: Tracer, settings: TelemetryConfig) -> None:
        self._tracer = tracer
        self._content = settings.content
        self._open: WeakKeyDictionary[Call, _Open] = WeakKeyDictionary()

    # -- CallWatcher

    def began(self, call: "Call") -> None:
        """A call was connected."""
        clock_ns = time.time_ns() - time.monotonic_ns()
        span = self._tracer.start_span(
            "conversation",
            # No span of this process is above it, whatever made the call.
            context=Context(),
            kind=SpanKind.CLIENT if call.origin.direction == "outbound" else SpanKind.SERVER,
            attributes=self._about(call),
            start_time=round(call.started_s * 1e9) + clock_ns,
        )
        self._open[call] = _Open(span, self._asked(call), clock_ns)

    def turn_over(self, call: "Call", turn: "TurnRecord") -> None:
        """A turn was measured and recorded."""
        opened = self._open.get(call)
        if opened is None or not opened.span.is_recording():
            return
        if (stage := turn_span(turn, opened.asked)) is not None:
            self._write(stage, opened, opened.context)

    def ended(self, call: "Call", record: "CallRecord") -> None:
        """A call is over and recorded."""
        opened = self._open.pop(call, None)
        if opened is None:
            return
        span, usage = opened.span, record.usage
        attributes: dict[str, Value] = {
            "offhook.cause": record.cause or "unknown",
            "offhook.turns": record.turns,
            "offhook.call_s": usage.call_s,
            "gen_ai.usage.input_tokens": usage.prompt_tokens,
            "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens,
            "gen_ai.usage.output_tokens": usage.generated_tokens,
        }
        if record.outcome:
            attributes["offhook.outcome"] = record.outcome
        if record.owned_usd is not None:
            attributes["offhook.owned_usd"] = float(record.owned_usd)
        for stack, usd in record.rented_usd.items():
            if usd is not None:
                attributes[f"offhook.rented_usd.{stack}"] = float(usd)
        span.set_attributes(attributes)
        if record.cause == HangupCause.FAILED.value:
            span.set_status(Status(StatusCode.ERROR, record.cause))
        span.end(opened.at_ns(call.started_s + usage.call_s))

    # -- own affairs

    def _write(self, stage: Stage, opened: _Open, parent: Context) -> None:
        span = self._tracer.start_span(
            stage.name,
            context=parent,
            attributes=dict(stage.attributes),
            start_time=opened.at_ns(stage.start_s),
        )
        below = set_span_in_context(span, parent)
        for each in stage.below:
            self._write(each, opened, below)
        span.end(opened.at_ns(stage.end_s))

    def _asked(self, call: "Call") -> Asked:
        sampling = sampling_of(call.config)
        return Asked(
            call.engines.models,
            call.engines.devices,
            {
                "gen_ai.request.max_tokens": sampling.max_tokens,
                "gen_ai.request.temperature": sampling.temperature,
                "gen_ai.request.top_p": sampling.top_p,
            },
            self._content,
        )

    def _about(self, call: "Call") -> dict[str, Value]:
        agent, origin = call.config.agent, call.origin
        about: dict[str, Value] = {
            "conversation.id": call.call_id,
            "gen_ai.conversation.id": call.call_id,
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.provider.name": PROVIDER,
            "gen_ai.agent.name": agent.name,
            "gen_ai.request.model": call.engines.models.get("llm", ""),
            "offhook.door": call.door,
            "offhook.direction": origin.direction,
            "offhook.profile": origin.profile,
            "offhook.trunk": origin.trunk,
            "offhook.workflow": agent.workflow,
            "offhook.tenant": agent.tenant,
        }
        if self._content:
            about |= {"offhook.caller": call.caller, "offhook.dialled": origin.dialled}
        return {name: value for name, value in about.items() if value != ""}
