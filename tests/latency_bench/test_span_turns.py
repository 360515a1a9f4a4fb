"""Turns out of Pipecat's and LiveKit's spans."""

from pathlib import Path

import pytest
from span_factory import EPOCH_S, span

from latency_bench.tracing.span_turns import conversations_of, events_of
from latency_bench.tracing.spans import Span, read_spans

CAPTURED = Path(__file__).with_name("captured") / "pipecat-1.14.spans.jsonl"


def test_real_spans_of_pipecat_become_turns() -> None:
    """Recorded from the stock peer: greeting, three questions, hang-up during the last answer."""
    offset_s = -1795333089.0
    events = events_of(read_spans(CAPTURED), offset_s)
    bodies = [event.body for event in events]
    assert [body["turn"] for body in bodies] == [0, 1, 2, 3]
    greeting, first, second, last = bodies
    assert greeting["answer"] == "Hello, this is Offhook. How can I help you?"
    assert (greeting["heard"], greeting["total_ms"], greeting["stages_ms"]) == ("", None, {})
    assert first["heard"] == "Where's the nearest train station?"
    assert first["answer"].startswith("The nearest train station is")
    assert second["heard"] == "What time do you open on Saturday?"
    assert [round(body["total_ms"]) for body in bodies[1:]] == [3840, 3454, 4086]
    for body in bodies[1:]:
        assert list(body["stages_ms"]) == [
            *("transcript", "end_of_turn", "first_token"),
            *("first_clause", "first_audio", "first_packet"),
        ]
        assert min(body["stages_ms"].values()) >= 0
        assert sum(body["stages_ms"].values()) == pytest.approx(body["total_ms"])
    assert first["at_ms"]["transcript"] == pytest.approx(1843.07, abs=0.1)
    # A hang-up ends the last turn; nobody interrupted it.
    assert not any(body["interrupted"] for body in bodies)
    # Told as the answer begins: after the question it answers, before the next one.
    assert [round(event.at_s, 1) for event in events] == [0.6, 9.6, 22.9, 37.6]


def pipecat_turn(
    number: int, began_s: float, ended_s: float, *inside: Span, **attributes: str | bool | float
) -> list[Span]:
    turn = span(
        "turn",
        began_s,
        ended_s,
        id=f"turn{number}",
        parent="call",
        attributes={
            "turn.number": number,
            **{f"turn.{name}": value for name, value in attributes.items()},
        },
    )
    return [turn, *inside]


def test_a_turn_that_was_taken_up_again_is_one_turn_with_the_last_answer() -> None:
    first = {"transcript": "I would like", "metrics.ttfb": 0.4}
    second = {"transcript": "a table for two", "metrics.ttfb": 0.5}
    spoken = {"text": "Of course.", "metrics.ttfb": 0.25}
    spans = pipecat_turn(
        2,
        10.0,
        20.0,
        span("stt", 10, 11.4, parent="turn2", attributes=first),
        span("llm", 11.4, 11.9, parent="turn2", attributes={"metrics.ttfb": 0.2}),
        span("stt", 12, 14.5, parent="turn2", attributes=second),
        span(
            "llm",
            14.6,
            15.6,
            parent="turn2",
            attributes={"metrics.ttfb": 0.3, "gen_ai.operation.name": "chat"},
        ),
        span("tts", 15, 16, parent="turn2", attributes=spoken),
        user_bot_latency_seconds=1.3,
    )
    (event,) = events_of([span("conversation", 0, 30, id="call"), *spans], -EPOCH_S)
    assert event.body["turn"] == 1
    assert event.body["heard"] == "I would like a table for two"
    assert event.body["answer"] == "Of course."
    assert event.body["at_ms"] == pytest.approx(
        {
            "transcript": 500,
            "end_of_turn": 600,
            "first_token": 900,
            "first_clause": 1000,
            "first_audio": 1250,
            "first_packet": 1300,
        }
    )
    assert event.at_s == pytest.approx(15.3)


def test_an_interrupted_turn_is_told_when_it_was_cut_off() -> None:
    spans = pipecat_turn(
        1,
        0.0,
        9.0,
        span("stt", 1, 3, parent="turn1", attributes={"transcript": "Hello", "metrics.ttfb": 0.5}),
        was_interrupted=True,
        user_bot_latency_seconds=1.0,
    )
    (event,) = events_of([span("conversation", 0, 30, id="call"), *spans], -EPOCH_S)
    assert event.body["interrupted"] is True
    assert event.at_s == pytest.approx(9.0)


def test_a_turn_without_any_words_or_answer_is_none() -> None:
    assert events_of(pipecat_turn(1, 0, 3, span("tts", 1, 2, parent="turn1"))) == []


def test_a_turn_of_anybody_says_what_it_took_by_itself() -> None:
    spans = pipecat_turn(
        1, 0.0, 5.0, heard="two please", answer="Here.", user_bot_latency_seconds=0.8
    )
    (event,) = events_of(spans)
    assert event.body == {
        "type": "turn",
        "turn": 1,
        "heard": "two please",
        "answer": "Here.",
        "interrupted": False,
        "at_ms": {},
        "stages_ms": {},
        "total_ms": 800.0,
    }


@pytest.mark.parametrize("pii", ["", "pii."], ids=["before 1.7", "from 1.7"])
def test_spans_of_livekit_become_turns(pii: str) -> None:
    said = {
        f"lk.{pii}user_transcript": "Where are you?",
        "lk.transcription_delay": 0.3,
        "lk.end_of_turn_delay": 0.6,
    }
    spans = [
        span("agent_session", 0, 60, id="session"),
        span(
            "agent_turn",
            0.5,
            3,
            id="greeting",
            parent="session",
            attributes={f"lk.{pii}response.text": "Hello!"},
        ),
        span("agent_speaking", 0.9, 3, parent="greeting"),
        span("user_turn", 5, 7.6, parent="session", attributes=said),
        span(
            "agent_turn",
            7.6,
            12,
            id="reply",
            parent="session",
            attributes={"lk.e2e_latency": 1.5, "lk.interrupted": True},
        ),
        span(
            "llm_node",
            7.65,
            9,
            id="llm",
            parent="reply",
            attributes={f"lk.{pii}response.text": "Here."},
        ),
        span("llm_request", 7.65, 9, parent="llm", attributes={"lk.response.ttft": 0.35}),
        span("tts_node", 8.1, 11, parent="reply", attributes={"lk.response.ttfb": 0.3}),
        span("agent_speaking", 8.5, 12, parent="reply"),
    ]
    greeting, reply = events_of(spans, -EPOCH_S)
    assert (greeting.body["turn"], greeting.body["answer"]) == (0, "Hello!")
    assert greeting.body["total_ms"] is None
    assert reply.body["turn"] == 1
    assert (reply.body["heard"], reply.body["answer"]) == ("Where are you?", "Here.")
    assert reply.body["interrupted"] is True
    assert reply.at_s == pytest.approx(12.0)
    assert reply.body["total_ms"] == 1500.0
    assert reply.body["at_ms"] == pytest.approx(
        {
            "transcript": 300,
            "end_of_turn": 600,
            "first_token": 1000,
            "first_audio": 1400,
            "first_packet": 1500,
        }
    )


def test_calls_are_told_apart_by_trace_and_by_conversation() -> None:
    spans = [
        span("turn", 5, 8, trace="b", attributes={"turn.number": 1, "turn.heard": "b"}),
        span("turn", 1, 3, trace="a", attributes={"turn.number": 1, "turn.heard": "a"}),
        span(
            "turn",
            12,
            13,
            trace="d",
            attributes={"turn.number": 2, "turn.heard": "y", "conversation.id": "one"},
        ),
        span(
            "turn",
            10,
            11,
            trace="c",
            attributes={"turn.number": 1, "turn.heard": "x", "conversation.id": "one"},
        ),
    ]
    found = conversations_of(spans)
    heard = [[event.body["heard"] for event in call.events(0.0)] for call in found]
    assert heard == [["a"], ["b"], ["x", "y"]]


def test_spans_that_are_each_others_parents_end() -> None:
    loop = [
        span("turn", 0, 5, id="a", parent="b", attributes={"turn.number": 1, "turn.heard": "x"}),
        span("stt", 0, 5, id="b", parent="a"),
    ]
    assert len(events_of(loop)) == 1
