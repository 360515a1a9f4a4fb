"""Finding the box's own record of a call, and dating its turns on the caller's clock."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from call_factory import recording

from latency_bench.tracing.inside import BoxCall, chosen, events_of_turns, inside_events, near

EPOCH = datetime(2026, 11, 1, tzinfo=UTC)
OFFSET_S = 100.0 - EPOCH.timestamp()
"""The box's clock says midnight when the caller's monotonic one says 100."""


def at(seconds: float) -> str:
    return (EPOCH + timedelta(seconds=seconds)).isoformat(timespec="microseconds")


def record(
    call_id: str, began: float, ended: float | None = 30.0, door: str = "sip"
) -> dict[str, Any]:
    return {
        "call_id": call_id,
        "door": door,
        "started_at": at(began),
        "ended_at": None if ended is None else at(ended),
    }


def turn(number: int, spoken_at: float | None, **changes: Any) -> dict[str, Any]:
    return {
        "turn": number,
        "heard": f"words {number}",
        "answer": "Yes.",
        "interrupted": False,
        "at": None if spoken_at is None else at(spoken_at),
        "at_ms": {"end_of_turn": 300.0, "first_packet": 700.0},
        "stages_ms": {"end_of_turn": 300.0, "first_packet": 400.0},
        "total_ms": 700.0,
        "usage": {},
        "owned_usd": None,
        **changes,
    }


def test_a_call_is_looked_for_by_door_and_time() -> None:
    records = [
        record("early", -60.0),
        record("other door", 0.05, door="webrtc"),
        record("this", 0.05),
        record("under way", 1.0, None),
        record("late", 10.0),
    ]
    found = near(records, recording([(2, 4)]), OFFSET_S)
    assert [(call.call_id, call.ended_s is None) for call in found] == [
        ("this", False),
        ("under way", True),
    ]
    assert found[0].began_s == pytest.approx(100.05)


def test_of_calls_at_the_same_time_the_one_whose_words_end_with_ours_is_taken() -> None:
    calls = [BoxCall("a", 100.0, 130.0), BoxCall("b", 100.1, 130.0)]
    told = [
        [turn(0, 0.1), turn(1, 4.8), turn(2, 13.0)],
        [turn(0, 0.2), turn(1, 4.02), turn(2, 12.01)],
    ]
    events = chosen(calls, told, recording([(2, 4), (10, 12)]), OFFSET_S)
    assert [event.body["turn"] for event in events] == [0, 1, 2]
    assert events[1].at_s == pytest.approx(104.72)


def test_calls_that_fit_alike_are_not_guessed_at() -> None:
    calls = [BoxCall("a", 100.0, 130.0), BoxCall("b", 100.1, 130.0)]
    told = [[turn(1, 4.05)], [turn(1, 4.1)]]
    assert chosen(calls, told, recording([(2, 4)]), OFFSET_S) == ()


def test_turns_are_dated_by_their_answer_and_cut_off_ones_by_what_cut_them_off() -> None:
    turns = [
        turn(0, 0.1, at_ms={"first_packet": 0.0}),
        turn(1, 4.0, interrupted=True),
        turn(2, 8.0),
        turn(3, None),
        turn(4, 20.0, interrupted=True),
    ]
    events = events_of_turns(turns, 130.0, OFFSET_S)
    assert [event.body["turn"] for event in events] == [0, 1, 2, 4]
    assert [event.at_s for event in events] == pytest.approx([100.1, 108.0, 108.7, 130.0])
    assert events[1].body["type"] == "turn"
    assert "at" not in events[1].body


async def test_a_box_that_is_not_there_tells_nothing(caplog: pytest.LogCaptureFixture) -> None:
    assert await inside_events("http://127.0.0.1:1", None, recording([(2, 4)])) == ()
    assert "http://127.0.0.1:1 cannot be asked about the call" in caplog.text
