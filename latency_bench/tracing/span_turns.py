"""Another agent's OpenTelemetry spans -> the same ``turn`` messages that ours sends. Pure.

Known are Pipecat's spans (``pipecat/utils/tracing``, read in 1.14), LiveKit Agents' (its session
trace reference) and any others that say with attributes what a turn took. docs/two-clocks.md has
the tables.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from operator import itemgetter
from typing import Any

from latency_bench.recording import Event
from latency_bench.tracing.spans import Span

GENERIC = {
    "turn": "turn.number",
    "heard": "turn.heard",
    "answer": "turn.answer",
    "interrupted": "turn.was_interrupted",
    "total_s": "turn.user_bot_latency_seconds",
    "end_of_turn_s": "turn.end_of_turn_seconds",
}
"""Attributes that any tracer may put on a span named ``turn``."""

HANG_UP_NS = 200_000_000
"""A turn that ends so shortly before its conversation was ended by the hang-up."""
SLACK_NS = 250_000_000
"""A reply may be begun before the turn is judged over, and its span just before that one's end."""


@dataclass(frozen=True, slots=True)
class _Turn:
    """A turn as its spans tell of it; times in seconds since 1970."""

    told_s: float
    heard: str
    answer: str
    interrupted: bool
    total_s: float | None
    """The caller's last word to the agent's first sound, as the agent has it."""
    speech_end_s: float | None = None
    marks_s: Mapping[str, float] = field(default_factory=dict)
    """When each step was reached."""

    @property
    def greets(self) -> bool:
        """The agent spoke without having been spoken to."""
        return not self.heard and self.total_s is None


@dataclass(frozen=True, slots=True)
class Conversation:
    """One call's spans."""

    began_s: float
    """Seconds since 1970, on the agent's clock."""
    ended_s: float
    turns: tuple[_Turn, ...]

    @property
    def speech_ends_s(self) -> list[float]:
        """When the caller stopped speaking, as the agent heard it, in seconds since 1970."""
        return [turn.speech_end_s for turn in self.turns if turn.speech_end_s is not None]

    def events(self, offset_s: float) -> list[Event]:
        """Its turns as the box would tell them; ``offset_s``: from that clock to the monotonic."""
        numbers = range(0 if self.turns and self.turns[0].greets else 1, len(self.turns) + 1)
        return [
            Event(turn.told_s + offset_s, _body(number, turn))
            for number, turn in zip(numbers, self.turns, strict=False)
        ]


def events_of(spans: Sequence[Span], offset_s: float = 0.0) -> list[Event]:
    """The turns of all calls in the order in which they were told.

    ``offset_s``: what to add to the agent's wall clock to come to the caller's monotonic clock,
    ``time.monotonic() - time.time()`` where both run on one machine.
    """
    found = (event for call in conversations_of(spans) for event in call.events(offset_s))
    return sorted(found, key=lambda event: event.at_s)


def conversations_of(spans: Sequence[Span]) -> list[Conversation]:
    """The calls that the spans tell of, in the order in which they began; empty ones left out."""
    children: dict[str, list[Span]] = defaultdict(list)
    for span in sorted(spans, key=lambda span: span.start_ns):
        children[span.parent_id].append(span)
    calls: dict[str, list[Span]] = defaultdict(list)
    for span in spans:
        calls[_call_of(span)].append(span)
    found = []
    for of_call in calls.values():
        of_call.sort(key=lambda span: span.start_ns)
        turns = _livekit(of_call, children) if _is_livekit(of_call) else _turns(of_call, children)
        if turns:
            ended_s = max(span.end_s for span in of_call)
            began_s = _began_s(of_call)
            found.append(Conversation(began_s, ended_s, tuple(turns)))
    return sorted(found, key=lambda call: call.began_s)


def _call_of(span: Span) -> str:
    # A tracer may begin a new trace for each turn; the call's own name then ties them together.
    return span.text("conversation.id") or span.trace_id


def _began_s(spans: Sequence[Span]) -> float:
    named = [span for span in spans if span.name in ("conversation", "agent_session")]
    return (named or spans)[0].start_s


def _is_livekit(spans: Sequence[Span]) -> bool:
    return any(span.name in ("agent_turn", "user_turn") for span in spans)


# -- Pipecat, and whoever names its spans so


def _turns(spans: Sequence[Span], children: Mapping[str, Sequence[Span]]) -> list[_Turn]:
    turns = [span for span in spans if span.name == "turn"]
    turns.sort(key=lambda span: (span.number(GENERIC["turn"]) or 0, span.start_ns))
    hung_up_ns = max((s.end_ns for s in spans if s.name == "conversation"), default=0)
    found = []
    for span in turns:
        # The hang-up ends the last turn, which Pipecat then calls interrupted.
        hung_up = span.flag("turn.ended_by_conversation_end") or (
            0 <= hung_up_ns - span.end_ns <= HANG_UP_NS
        )
        turn = _pipecat(span, _below(span, children), hung_up=hung_up)
        if turn.heard or turn.answer or turn.total_s is not None:
            found.append(turn)
    return found


def _pipecat(turn: Span, below: Sequence[Span], *, hung_up: bool) -> _Turn:
    """Services are children: ``stt`` from the caller's first word to the transcript, ``llm`` from
    the request, ``tts`` from the sentence; ``metrics.ttfb`` is from their start, and of ``stt``
    from the caller's last word."""
    stt = [span for span in below if _operation(span) == "stt"]
    llm = [span for span in below if _operation(span) in ("llm", "chat")]
    heard = " ".join(filter(None, (span.text("transcript").strip() for span in stt)))
    # A turn that the caller took up again is asked about more than once; the last one is answered.
    asked = llm[-1] if llm else None
    tts = [s for s in below if _operation(s) == "tts" and (not asked or s.end_ns > asked.start_ns)]
    answer = " ".join(filter(None, (span.text("text").strip() for span in tts)))
    total_s = turn.number(GENERIC["total_s"])
    marks: dict[str, float] = {}
    if stt:
        marks["transcript"] = stt[-1].end_s
    if asked is not None:
        marks["end_of_turn"] = asked.start_s
        if (ttfb_s := asked.number("metrics.ttfb")) is not None:
            marks["first_token"] = asked.start_s + ttfb_s
    if tts:
        if asked is not None:
            marks["first_clause"] = tts[0].start_s
        if (ttfb_s := tts[0].number("metrics.ttfb")) is not None:
            marks["first_audio"] = tts[0].start_s + ttfb_s
    waited_s = stt[-1].number("metrics.ttfb") if stt else None
    speech_end_s = None
    if waited_s is not None:
        speech_end_s = stt[-1].end_s - waited_s
    elif total_s is not None and "first_audio" in marks:
        speech_end_s = marks["first_audio"] - total_s
    if speech_end_s is not None and total_s is not None:
        marks["first_packet"] = speech_end_s + total_s
    decided_s = turn.number(GENERIC["end_of_turn_s"])
    if speech_end_s is not None and decided_s is not None:
        # Told, since a model that guesses is asked before the turn is judged over.
        marks["end_of_turn"] = speech_end_s + decided_s
    interrupted = turn.flag(GENERIC["interrupted"]) and not hung_up
    spoke_s = max(marks.values(), default=turn.start_s)
    return _Turn(
        told_s=turn.end_s if interrupted else min(spoke_s, turn.end_s),
        heard=heard or turn.text(GENERIC["heard"]),
        answer=answer or (asked.text("output") if asked else "") or turn.text(GENERIC["answer"]),
        interrupted=interrupted,
        total_s=total_s,
        speech_end_s=speech_end_s,
        marks_s=marks,
    )


def _operation(span: Span) -> str:
    return span.text("gen_ai.operation.name") or span.name


# -- LiveKit Agents


def _livekit(spans: Sequence[Span], children: Mapping[str, Sequence[Span]]) -> list[_Turn]:
    """``user_turn`` ends where the caller is judged to have finished; ``agent_turn`` is the reply,
    with ``llm_node``, ``tts_node`` and ``agent_speaking`` below it."""
    asked = [span for span in spans if span.name == "user_turn" and _transcript(span)]
    replies = [span for span in spans if span.name == "agent_turn"]
    found = []
    for place, reply in enumerate(replies):
        before = replies[place - 1].start_ns if place else 0
        said = [span for span in asked if before < span.end_ns <= reply.start_ns + SLACK_NS]
        below = _below(reply, children)
        if said or _answer_of(reply, below):
            found.append(_reply(reply, said, below))
    return found


def _reply(reply: Span, said: Sequence[Span], below: Sequence[Span]) -> _Turn:
    marks: dict[str, float] = {}
    speech_end_s = None
    last = said[-1] if said else None
    if last is not None:
        delay_s = last.number("lk.end_of_turn_delay", "lk.end_of_utterance_delay")
        if delay_s is not None:
            # The span ends as soon as the delay is known.
            speech_end_s = last.end_s - delay_s
            marks["end_of_turn"] = last.end_s
            if (heard_s := last.number("lk.transcription_delay")) is not None:
                marks["transcript"] = speech_end_s + heard_s
    for mark, node, names in (
        ("first_token", "llm_node", ("lk.response.ttft", "gen_ai.response.time_to_first_chunk")),
        ("first_audio", "tts_node", ("lk.response.ttfb",)),
    ):
        span = next((span for span in below if span.name == node), None)
        if span is not None and (took_s := _first_number(span, below, names)) is not None:
            marks[mark] = span.start_s + took_s
    total_s = reply.number("lk.e2e_latency") if last is not None else None
    speaking = next((span for span in below if span.name == "agent_speaking"), None)
    if speech_end_s is not None and total_s is not None:
        marks["first_packet"] = speech_end_s + total_s
    elif speaking is not None:
        marks["first_packet"] = speaking.start_s
    interrupted = reply.flag("lk.interrupted")
    spoke_s = max(marks.values(), default=reply.start_s)
    return _Turn(
        told_s=reply.end_s if interrupted else min(spoke_s, reply.end_s),
        heard=" ".join(map(_transcript, said)),
        answer=_answer_of(reply, below),
        interrupted=interrupted,
        total_s=total_s,
        speech_end_s=speech_end_s,
        marks_s=marks,
    )


def _transcript(span: Span) -> str:
    return span.text("lk.pii.user_transcript", "lk.user_transcript").strip()


def _answer_of(reply: Span, below: Sequence[Span]) -> str:
    names = ("lk.pii.response.text", "lk.response.text")
    nodes = (span.text(*names) for span in below if span.name == "llm_node")
    return (reply.text(*names) or " ".join(filter(None, nodes))).strip()


def _first_number(node: Span, below: Sequence[Span], names: Sequence[str]) -> float | None:
    """Of the node, or of the request inside it, which begins with it."""
    inside = (span for span in below if span.parent_id == node.span_id)
    found = (span.number(*names) for span in (node, *inside))
    return next((number for number in found if number is not None), None)


# -- both


def _below(span: Span, children: Mapping[str, Sequence[Span]]) -> list[Span]:
    """All spans under this one, in the order of their start."""
    found: list[Span] = []
    seen = {span.span_id}
    waiting = [span.span_id]
    while waiting:
        for child in children.get(waiting.pop(), ()):
            # Spans come from outside: what calls itself its own parent must end nothing.
            if child.span_id not in seen and child.trace_id == span.trace_id:
                seen.add(child.span_id)
                found.append(child)
                waiting.append(child.span_id)
    return sorted(found, key=lambda child: child.start_ns)


def _body(number: int, turn: _Turn) -> dict[str, Any]:
    at_ms: dict[str, float] = {}
    stages_ms: dict[str, float] = {}
    if turn.speech_end_s is not None:
        known = sorted(turn.marks_s.items(), key=itemgetter(1))
        at_ms = {step: max(0.0, (at_s - turn.speech_end_s) * 1000) for step, at_s in known}
        if turn.total_s is not None:
            # What the agent calls the whole is the end of it: no step is later.
            at_ms = {step: min(at, turn.total_s * 1000) for step, at in at_ms.items()}
        reached = [0.0, *at_ms.values()]
        steps = zip(at_ms, pairwise(reached), strict=True)
        stages_ms = {step: after - before for step, (before, after) in steps}
    return {
        "type": "turn",
        "turn": number,
        "heard": turn.heard,
        "answer": turn.answer,
        "interrupted": turn.interrupted,
        "at_ms": at_ms,
        "stages_ms": stages_ms,
        "total_ms": None if turn.total_s is None else turn.total_s * 1000,
    }
