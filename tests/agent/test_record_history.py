"""Reading call records by what is asked for."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.config import load_config
from agent.latency import TurnTrace
from agent.records.history import calls, events, records_source, turns
from agent.records.record import CallRecord, EventRecord, TurnRecord
from agent.records.schema import StoreError
from agent.records.source import Source
from agent.records.store import CallStore
from agent.usage import Usage

LIMIT_S = 20.0
BEGAN = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)


def a_call(number: int, **fields: object) -> CallRecord:
    call = CallRecord(f"call{number}", BEGAN + timedelta(hours=number), "sip", "+1555", "Joe")
    return replace(call, cause="caller left", **fields)  # type: ignore[arg-type]


def a_turn(call_id: str, turn: int, heard: str, answer: str) -> TurnRecord:
    return TurnRecord(call_id, turn, heard, answer, False, TurnTrace(1, 1.0, 1.2), Usage())


CALLS = (
    a_call(0, profile="sales", workflow="order", outcome="resolved"),
    a_call(1, caller="+49 30", trunk="carrier", tenant="acme", door="twilio"),
    a_call(2, caller="", dialled="+15557654321"),
)
TURNS = (
    a_turn("call0", 1, "Was kostet die ÜBERFAHRT?", "100% of ten dollars."),
    a_turn("call0", 0, "", "Hello."),
    a_turn("call1", 0, "", "Good day."),
)
EVENTS = (
    EventRecord("call0", BEGAN + timedelta(seconds=2), "state", {"state": "speaking"}),
    EventRecord("call0", BEGAN + timedelta(seconds=1), "key", {"key": "5"}),
)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Source]:
    path = tmp_path_factory.mktemp("history") / "calls.sqlite3"
    store = CallStore(path)
    for call in reversed(CALLS):
        store.end_call(call)
    for turn in TURNS:
        store.add_turn(turn)
    for event in EVENTS:
        store.add_event(event)
    assert store.flush(LIMIT_S)
    yield Source(path)
    store.close(LIMIT_S)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, [0, 1, 2]),
        ({"newest_first": True, "limit": 2}, [2, 1]),
        ({"since": BEGAN + timedelta(hours=1)}, [1, 2]),
        ({"until": BEGAN + timedelta(hours=1)}, [0]),
        ({"caller": "+1555"}, [0]),
        ({"caller": "+15"}, []),
        ({"caller": ""}, [2]),
        ({"profile": "sales"}, [0]),
        ({"workflow": "order", "outcome": "resolved"}, [0]),
        ({"trunk": "carrier", "tenant": "acme", "door": "twilio"}, [1]),
        ({"trunk": "carrier", "door": "sip"}, []),
        ({"text": "HELLO"}, [0]),
        ({"text": "überfahrt"}, [0]),
        ({"text": "0%"}, [0]),
        ({"text": "o_d"}, []),
        ({"text": "765"}, [2]),
    ],
)
def test_calls_as_asked_for(source: Source, asked: dict[str, object], found: list[int]) -> None:
    assert list(calls(source, **asked)) == [CALLS[n] for n in found]  # type: ignore[arg-type]


def test_turns_and_events_come_in_order(source: Source) -> None:
    assert turns(source, "call0") == [TURNS[1], TURNS[0]]
    assert events(source, "call0") == [EVENTS[1], EVENTS[0]]
    assert turns(source, "call") == events(source, "call2") == []


def test_a_reader_that_stops_early_leaves_nothing_open(source: Source) -> None:
    reading = calls(source)
    assert next(reading) == CALLS[0]
    del reading


def test_before_the_first_call_there_are_none(tmp_path: Path) -> None:
    nowhere = Source(tmp_path / "none.sqlite3")
    assert list(calls(nowhere)) == turns(nowhere, "call0") == events(nowhere, "call0") == []
    assert not nowhere.path.exists()


def test_a_file_that_is_none_says_so(tmp_path: Path) -> None:
    path = tmp_path / "other"
    path.write_text("no database" * 1000)
    with pytest.raises(StoreError, match="other: call records cannot be read"):
        list(calls(Source(path)))


def test_the_settings_name_the_file() -> None:
    config = load_config(None, {"OFFHOOK_RECORDS__PATH": "~/x.sqlite3"})
    assert records_source(config.records, {}) == Source(Path.home() / "x.sqlite3")
