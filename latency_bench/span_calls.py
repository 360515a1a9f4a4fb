"""Which of the calls in the spans is which of the bench's, and what that adds to its figures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from latency_bench.figures import CallFigures
from latency_bench.recording import CallRecording, Event
from latency_bench.span_turns import Conversation, conversations_of
from latency_bench.spans import Span
from latency_bench.traces import traces_of

EARLY_S = 2.0
"""A conversation may begin so long before the caller dialled: clocks differ."""


@dataclass(frozen=True, slots=True)
class _Call:
    place: int
    dialled_s: float
    ended_s: float


def with_spans(
    calls: Sequence[CallFigures],
    recording_of: Callable[[CallFigures], CallRecording | None],
    spans: Sequence[Span],
    offset_s: float,
) -> list[CallFigures]:
    """The same calls with what the agent's spans tell of each turn.

    ``recording_of`` loads a call's recording, None where none was kept; one is held at a time.
    ``offset_s`` is added to the agent's wall clock to come to the recordings' monotonic clock:
    ``time.monotonic() - time.time()`` on the bench's machine, if the agent's clock is right.
    A call that cannot be told from another, or of which no span came, stays as it was.
    """
    told = conversations_of(spans)
    found = list(calls)
    if not told:
        return found
    placed = []
    for place, call in enumerate(calls):
        if (recording := recording_of(call)) is not None:
            placed.append(_Call(place, recording.dialled_s, recording.ended_s))
    for one, conversation in assigned(placed, told, offset_s):
        call = calls[one.place]
        if (recording := recording_of(call)) is not None:
            found[one.place] = _with_turns(call, recording, conversation.events(offset_s))
    return found


def assigned(
    calls: Sequence[_Call], told: Sequence[Conversation], offset_s: float
) -> list[tuple[_Call, Conversation]]:
    """Each call with the first conversation that began in it and is no other call's."""
    left = sorted(told, key=lambda conversation: conversation.began_s)
    pairs = []
    for call in sorted(calls, key=lambda call: call.dialled_s):
        for conversation in left:
            began_s = conversation.began_s + offset_s
            if call.dialled_s - EARLY_S <= began_s <= call.ended_s:
                left.remove(conversation)
                pairs.append((call, conversation))
                break
    return pairs


def _with_turns(
    call: CallFigures, recording: CallRecording, events: Sequence[Event]
) -> CallFigures:
    """What the agent told over the call itself goes first: it needs no clock to be matched."""
    if any(event.body.get("type") == "turn" for event in recording.events):
        return call
    began_s = [recording.answered_s + turn.began_s for turn in call.turns]
    traces = traces_of(events, began_s, [turn.over_agent for turn in call.turns])
    turns = tuple(
        replace(
            turn,
            heard=trace.heard,
            answer=trace.answer,
            stages_ms=trace.stages_ms,
            inside_ms=trace.inside_ms,
        )
        for turn, trace in zip(call.turns, traces, strict=True)
    )
    return replace(call, turns=turns)
