"""A process that writes call records is killed with -9: what it was promised is there."""

import random
import sqlite3
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from record_process import start
from test_records import CALL, LIMIT_S

from agent.records.history import calls, turns
from agent.records.record import BOX_STOPPED
from agent.records.source import Source
from agent.records.store import CallStore

WRITE = """
import sys, uuid
from dataclasses import replace
import record_process, test_records as t
store = t.CallStore(record_process.named(sys.argv[1:]))
while True:
    call = replace(t.CALL, call_id=uuid.uuid4().hex)
    store.start_call(call)
    for number in range(6):
        store.add_turn(replace(t.TURN, call_id=call.call_id, turn=number, heard="word " * 50))
        call = replace(call, turns=number, usage=t.Usage(call_s=1.0 + number, characters=number))
        store.update_call(call)
        assert store.flush(20)
        print(call.call_id, number, flush=True)
    store.end_call(replace(call, cause="caller left"))
    assert store.flush(20)
    print(call.call_id, "over", flush=True)
"""
"""Says what the store has told it is safe."""
KILLS = 4


def kill_at_a_random_point(source: Source, chance: random.Random) -> list[tuple[str, str]]:
    """What the process was promised until then."""
    child = start(WRITE, source)
    try:
        assert child.stdout is not None
        promised = [child.stdout.readline() for _ in range(chance.randrange(1, 40))]
        time.sleep(chance.random() / 50)
        child.kill()
        rest, _ = child.communicate(timeout=LIMIT_S)
    finally:
        child.kill()
        child.wait(LIMIT_S)
    assert child.returncode == -9
    lines = [*promised, *rest.splitlines(keepends=True)]
    # The last may have been cut off in the middle.
    return [(line.split()[0], line.split()[1]) for line in lines if line.endswith("\n")]


def check(source: Source, promised: list[tuple[str, str]]) -> None:
    """All that was promised is there, and at most one turn a kill that was not."""
    store = CallStore(source, retry_s=0.05)
    assert store.flush(LIMIT_S)
    store.close(LIMIT_S)
    stored = {call.call_id: call for call in calls(source)}
    safe: dict[str, int] = {}
    for call_id, what in promised:
        assert call_id in stored
        if what == "over":
            assert stored[call_id].cause == "caller left"
        else:
            safe[call_id] = int(what)
    for call_id, call in stored.items():
        numbers = [turn.turn for turn in turns(source, call_id)]
        assert numbers == list(range(len(numbers)))
        last = safe.get(call_id, -1)
        assert last <= len(numbers) - 1 <= last + 1
        assert call.cause in ("caller left", BOX_STOPPED)
        assert call.turns >= last and call.usage.characters == call.turns
        if call.cause == BOX_STOPPED and last >= 0:
            assert call.ended_at and (call.ended_at - call.started_at).total_seconds() >= 1 + last
    assert sum(call.cause == BOX_STOPPED for call in stored.values()) <= KILLS


def test_a_crash_loses_at_most_the_turn_in_flight(tmp_path: Path) -> None:
    source = Source(tmp_path / "calls.sqlite3")
    chance = random.Random(1)
    promised: list[tuple[str, str]] = []
    for _ in range(KILLS):
        promised += kill_at_a_random_point(source, chance)
        check(source, promised)
    assert len(promised) > KILLS
    with closing(sqlite3.connect(source.path)) as file:
        assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert [path.name for path in tmp_path.glob("*.alive")] == []


def test_the_check_sees_a_turn_that_is_missing(tmp_path: Path) -> None:
    source = Source(tmp_path / "calls.sqlite3")
    store = CallStore(source)
    store.end_call(replace(CALL, cause=BOX_STOPPED))
    assert store.flush(LIMIT_S)
    store.close(LIMIT_S)
    check(source, [])
    with pytest.raises(AssertionError):
        check(source, [("call1", "0")])
