"""Which call of the spans is which of the bench's."""

from call_factory import recording
from span_factory import EPOCH_S, span

from latency_bench.measures.traces import traces_of
from latency_bench.recording import CallRecording, Event
from latency_bench.tracing.span_calls import with_spans
from latency_bench.tracing.span_turns import conversations_of
from latency_bench.tracing.spans import Span

OFFSET_S = 100.0 - EPOCH_S
"""The spans' second 0 is the monotonic clock's 100."""


def conversation(trace: str, began_s: float, *turns: tuple[float, str]) -> list[Span]:
    """A call whose answers began then, to those words."""
    spans = [span("conversation", began_s, began_s + 40, id=trace, trace=trace)]
    for number, (answered_s, heard) in enumerate(turns, 1):
        spans.append(
            span(
                "turn",
                began_s,
                answered_s,
                trace=trace,
                parent=trace,
                id=f"{trace}{number}",
                attributes={
                    "turn.number": number,
                    "turn.heard": heard,
                    "turn.user_bot_latency_seconds": 0.9,
                },
            )
        )
        spans.append(
            span(
                "stt",
                answered_s - 2,
                answered_s - 0.5,
                trace=trace,
                parent=f"{trace}{number}",
                attributes={"transcript": heard, "metrics.ttfb": 0.4},
            )
        )
    return spans


def heard_in(recordings: list[CallRecording], spans: list[Span]) -> list[list[str]]:
    """What the agent is taken to have heard in each part of each call."""
    told = conversations_of(spans)
    found = [with_spans(one, told, OFFSET_S) for one in recordings]
    return [
        [
            trace.heard
            for trace in traces_of(
                one.events,
                [one.sent.time_s(said.first) for said in one.said],
                [said.over_agent for said in one.said],
            )
        ]
        for one in found
    ]


def test_turns_are_laid_beside_the_parts_that_they_answer() -> None:
    spans = conversation("a", 0.2, (4.9, "first"), (12.9, "second"))
    assert heard_in([recording([(2, 4), (10, 12)])], spans) == [["first", "second"]]


def test_calls_at_the_same_time_each_get_their_own() -> None:
    calls = [
        recording([(2, 4)], answered_s=100.0, ended_s=110.0),
        recording([(2, 4.4)], answered_s=100.2, ended_s=110.0),
        recording([(2, 4)], answered_s=103.0, ended_s=113.0),
        recording([(2, 4)], answered_s=120.0, ended_s=128.0),
    ]
    spans = [
        *conversation("d", 20.3, (24.9, "fourth")),
        # Begun in the other order than the calls were answered.
        *conversation("b", 0.1, (5.5, "second")),
        *conversation("a", 0.3, (4.9, "first")),
        *conversation("c", 3.2, (7.9, "third")),
    ]
    assert heard_in(calls, spans) == [["first"], ["second"], ["third"], ["fourth"]]


def test_spans_of_another_time_are_nobodys() -> None:
    call = recording([(2, 4)])
    for spans in (conversation("a", 500.0, (504.0, "later")), conversation("a", -90.0), []):
        assert with_spans(call, conversations_of(spans), OFFSET_S) == call


def test_what_the_agent_told_over_the_call_itself_stays_alone() -> None:
    own = Event(105.0, {"type": "turn", "turn": 1, "heard": "told", "total_ms": 500.0})
    call = recording([(2, 4)], events=(own,))
    told = conversations_of(conversation("a", 0.2, (4.9, "spans")))
    assert with_spans(call, told, OFFSET_S).events == (own,)


def test_without_words_to_compare_the_nearest_beginning_decides() -> None:
    spans = [*conversation("a", 0.2, (4.9, "near")), *conversation("b", 2.0, (6.0, "far"))]
    found = with_spans(recording([]), conversations_of(spans), OFFSET_S)
    assert [event.body["heard"] for event in found.events] == ["near"]
