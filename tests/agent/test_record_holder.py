"""Call records of several processes: one that dies leaves no call open, and no other is touched."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from record_process import other_process

from agent.records.holder import settle
from agent.records.record import BOX_STOPPED, CallRecord
from agent.records.source import Source
from agent.records.store import CallStore

LIMIT_S = 20.0
CALL = CallRecord("ours", datetime(2026, 11, 1, 12, 0, tzinfo=UTC), "sip", "+1555", "Joe")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.sqlite3"


def causes(store: CallStore) -> dict[str, str | None]:
    return {call.call_id: call.cause for call in store.recent_calls(10)}


@contextmanager
def open_store(path: Path) -> Iterator[CallStore]:
    store = CallStore(path, retry_s=0.05)
    try:
        assert store.flush(LIMIT_S)
        yield store
    finally:
        store.close(LIMIT_S)


def test_a_killed_process_leaves_no_call_open(path: Path) -> None:
    with open_store(path) as store, other_process(Source(path)) as other:
        store.start_call(CALL)
        assert store.flush(LIMIT_S)
        assert settle(path) == 0
        assert causes(store) == {"ours": None, "theirs": None}
        other.kill()
        other.wait(LIMIT_S)
        assert settle(path) == 1
        assert causes(store) == {"ours": None, "theirs": BOX_STOPPED}
        assert settle(path) == 0
        store.end_call(replace(CALL, cause="caller hung up"))
        assert store.flush(LIMIT_S)
        assert causes(store)["ours"] == "caller hung up"
    assert [file.name for file in path.parent.glob("*.alive")] == []


def test_a_process_that_was_killed_between_calls_leaves_no_mark(path: Path) -> None:
    left = path.with_name(f"{path.name}.0123456789abcdef.alive")
    left.touch()
    with open_store(path):
        assert not left.exists()
        (own,) = path.parent.glob("*.alive")
        assert settle(path) == 0
        assert own.exists()


def test_the_next_process_to_start_settles_it_too(path: Path) -> None:
    with open_store(path) as first:
        with other_process(Source(path)) as other:
            other.kill()
            other.wait(LIMIT_S)
            with open_store(path):
                assert causes(first) == {"theirs": BOX_STOPPED}


def test_a_process_that_takes_over_the_file_ends_no_call_of_a_living_one(path: Path) -> None:
    first = CallStore(path)
    assert first.flush(LIMIT_S)
    with other_process(Source(path)) as other:
        # Opened after that call began, and the first at the file once `first` is gone.
        with open_store(path) as heir:
            first.close(LIMIT_S)
            heir.start_call(CALL)
            assert heir.flush(LIMIT_S)
            assert causes(heir) == {"ours": None, "theirs": None}
            other.communicate("end\n", timeout=LIMIT_S)
            assert causes(heir) == {"ours": None, "theirs": "caller hung up"}


def test_a_process_that_stops_in_order_leaves_its_own_word(path: Path) -> None:
    with open_store(path) as store:
        store.start_call(CALL)
        store.end_call(replace(CALL, cause="caller hung up"))
    assert settle(path) == 0
    with open_store(path) as store:
        assert causes(store) == {"ours": "caller hung up"}


def test_no_file_is_nothing_to_settle(path: Path) -> None:
    assert settle(path) == 0
    assert not path.exists()
