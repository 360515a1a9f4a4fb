"""Call records in a real PostgreSQL server: what SQLite's file does, it does too."""

import logging
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from postgres_server import Server, running_server
from record_process import other_process
from sqlalchemy import create_engine, inspect, make_url, select, text
from test_record_crash import check, kill_at_a_random_point
from test_record_history import CALLS as PAST
from test_record_history import EVENTS as HAPPENED
from test_record_history import TURNS as SAID
from test_records import CALL, ENDED, LIMIT_S, TURN

from agent.records.history import calls, events, find_call, recent_calls, turns
from agent.records.holder import settle
from agent.records.migrate import migrate
from agent.records.record import BOX_STOPPED
from agent.records.schema import NothingYet, StoreError, delete_calls, open_engine
from agent.records.source import DRIVER, Source
from agent.records.spill import Spill
from agent.records.store import CallStore
from agent.records.tables import METADATA, OF_A_CALL


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server() as server:
        yield server


@pytest.fixture
def source(server: Server, tmp_path: Path) -> Source:
    url = make_url(server.url(server.new_database())).set(drivername=DRIVER)
    return Source(tmp_path / "data" / "calls.sqlite3", url)


@pytest.fixture
def open_store(source: Source) -> Iterator[Callable[[], CallStore]]:
    stores: list[CallStore] = []

    def make() -> CallStore:
        stores.append(CallStore(source, retry_s=0.05))
        return stores[-1]

    yield make
    for store in stores:
        store.close(LIMIT_S)


Open = Callable[[], CallStore]


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)


def test_what_is_kept_comes_back(open_store: Open, source: Source) -> None:
    assert list(calls(source)) == []
    with pytest.raises(NothingYet, match="no call records yet"):
        recent_calls(source, 1)
    store = open_store()
    store.start_call(CALL)
    store.add_turn(TURN)
    store.add_event(HAPPENED[0])
    # As one is that is written again from the file where it waited.
    store.add_event(HAPPENED[0])
    assert store.flush(LIMIT_S)
    assert store.call("call1") == (CALL, [TURN])
    store.end_call(ENDED)
    store.start_call(CALL)
    assert store.flush(LIMIT_S)
    assert store.call("call1") == find_call(source, "cal") == (ENDED, [TURN])
    assert recent_calls(source, 5) == [ENDED]
    assert events(source, HAPPENED[0].call_id) == [HAPPENED[0]]
    assert not source.path.exists()


def test_calls_as_asked_for(open_store: Open, source: Source) -> None:
    store = open_store()
    for call in PAST:
        store.end_call(call)
    for turn in SAID:
        store.add_turn(turn)
    assert store.flush(LIMIT_S)
    assert list(calls(source, newest_first=True)) == list(reversed(PAST))
    assert list(calls(source, until=PAST[1].started_at, profile="sales")) == [PAST[0]]
    assert list(calls(source, since=PAST[1].started_at, limit=1)) == [PAST[1]]
    assert list(calls(source, text="überfahrt")) == [PAST[0]]
    assert list(calls(source, text="0%")) == [PAST[0]]
    assert list(calls(source, caller="")) == [PAST[2]]
    assert turns(source, "call0") == [SAID[1], SAID[0]]


def test_the_tables_are_those_that_the_migrations_make(source: Source) -> None:
    engine = open_engine(source)
    found = {
        table: {column["name"] for column in inspect(engine).get_columns(table)}
        for table in METADATA.tables
    }
    assert found == {n: set(table.columns.keys()) for n, table in METADATA.tables.items()}
    with engine.begin() as connection:
        migrate(connection)  # harmless where it was done
    engine.dispose()


def test_dollars_and_moments_can_be_reckoned_with(open_store: Open, source: Source) -> None:
    store = open_store()
    store.end_call(replace(ENDED, owned_lines={"marginal": {"stt": ENDED.owned_usd, "llm": None}}))
    assert store.flush(LIMIT_S)
    asked = (
        "SELECT sum(usd), count(*), max(ended_at - started_at) FROM calls "
        "JOIN cost_lines USING (call_id) WHERE side = 'owned'"
    )
    engine = open_engine(source, create=False)
    with engine.connect() as connection:
        usd, lines, length = connection.execute(text(asked)).one()
    engine.dispose()
    assert (usd, lines) == (ENDED.owned_usd, 2)
    assert ENDED.ended_at and length == ENDED.ended_at - ENDED.started_at


def test_what_no_database_takes_is_left_out(open_store: Open, source: Source) -> None:
    store = open_store()
    store.end_call(replace(ENDED, caller="+1\x00555\ud800"))
    assert store.flush(LIMIT_S)
    assert [call.call_id for call in calls(source, caller="+1555?")] == ["call1"]


def test_deleted_is_deleted_everywhere(open_store: Open, source: Source) -> None:
    store = open_store()
    store.start_call(replace(PAST[0], cause=None))
    store.end_call(ENDED)
    store.add_turn(SAID[0])
    store.add_event(HAPPENED[0])
    assert store.flush(LIMIT_S)
    engine = open_engine(source)
    with engine.begin() as connection:
        assert delete_calls(connection, ["call0", "nobody"]) == 1
        left = {t.name: connection.execute(select(t.c.call_id)).scalars().all() for t in OF_A_CALL}
    engine.dispose()
    assert {name for names in left.values() for name in names} == {"call1"}


def test_a_killed_process_leaves_no_call_open(open_store: Open, source: Source) -> None:
    store = open_store()
    store.start_call(CALL)
    with other_process(source) as other:
        assert store.flush(LIMIT_S)
        assert settle(source) == 0
        other.kill()
        other.wait(LIMIT_S)
        # The server sees the end of its session a moment later.
        wait_until(lambda: settle(source) == 1)
    causes = {call.call_id: call.cause for call in store.recent_calls(5)}
    assert causes == {"call1": None, "theirs": BOX_STOPPED}


def test_a_process_that_is_killed_loses_at_most_the_turn_in_flight(source: Source) -> None:
    chance = random.Random(2)
    promised: list[tuple[str, str]] = []
    for _ in range(2):
        promised += kill_at_a_random_point(source, chance)
        wait_until(lambda: settle(source) <= 1 and all(call.cause for call in calls(source)))
        check(source, promised)


def test_a_server_that_crashes_loses_no_record(
    server: Server, open_store: Open, source: Source, caplog: pytest.LogCaptureFixture
) -> None:
    store = open_store()
    store.start_call(CALL)
    assert store.flush(LIMIT_S)
    server.stop()
    try:
        store.add_turn(TURN)
        assert not store.flush(LIMIT_S)
        assert store.failing
        assert len(Spill(source.path).files()) == 1
        with pytest.raises(StoreError, match="call records cannot be read"):
            list(calls(source))
    finally:
        server.start()
    wait_until(lambda: not store.failing)
    assert find_call(source, "call1") == (CALL, [TURN])
    assert Spill(source.path).files() == []
    # It holds the call again, for others to see.
    assert settle(source) == 0
    store.end_call(ENDED)
    assert store.flush(LIMIT_S) and recent_calls(source, 1) == [ENDED]
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(said) == 1 and "See that the server runs" in said[0]
    assert server.password not in caplog.text


def test_a_wrong_password_is_told_and_never_shown(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url = make_url(server.url("postgres", "wr0ng-secret")).set(drivername=DRIVER)
    source = Source(tmp_path / "calls.sqlite3", url)
    with pytest.raises(StoreError, match="password authentication failed") as raised:
        list(calls(source))
    store = CallStore(source, retry_s=0.05)
    store.end_call(ENDED)
    assert not store.flush(LIMIT_S)
    store.close(LIMIT_S)
    shown = caplog.text + str(raised.value) + repr(raised.value) + repr(source) + str(source)
    assert f"offhook:***@127.0.0.1:{server.port}/postgres" in shown and "wr0ng" not in shown


def test_a_later_version_is_left_alone(open_store: Open, source: Source) -> None:
    assert open_store().flush(LIMIT_S)
    assert source.url
    engine = create_engine(source.url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '99'"))
    engine.dispose()
    with pytest.raises(StoreError, match="a later version of Offhook .schema 99"):
        list(calls(source))
