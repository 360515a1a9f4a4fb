"""Call records: what is kept comes back, whatever the disk does."""

import asyncio
import json
import logging
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.latency import TurnTrace
from agent.records.history import find_call, recent_calls
from agent.records.record import BOX_STOPPED, CallRecord, TurnRecord
from agent.records.schema import StoreError
from agent.records.spill import Spill
from agent.records.store import CallStore
from agent.usage import Usage

LIMIT_S = 20.0
BEGAN = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
CALL = CallRecord("call1", BEGAN, "webrtc", "127.0.0.1", "Joe")
ENDED = replace(
    CALL,
    ended_at=BEGAN + timedelta(seconds=61.5),
    cause="caller left",
    usage=Usage(call_s=61.5, prompt_tokens=12),
    owned_usd=Decimal("0.000123456789012345678"),
    rented_usd={"Vapi": Decimal("0.0871"), "Other": None},
    turns=3,
    latencies_ms=(400.5, 300.25, 900.0),
    direction="outbound",
    dialled="+15551234567",
    trunk="carrier",
    profile="sales",
)
TURN = TurnRecord(
    "call1", 1, "hello?", "hi", False, TurnTrace(1, 1.0, 1.2), Usage(characters=2), Decimal("1E-7")
)


@pytest.fixture(autouse=True)
def own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "calls.sqlite3"


@pytest.fixture
def open_store(path: Path) -> Iterator[Callable[..., CallStore]]:
    stores: list[CallStore] = []

    def make(**options: object) -> CallStore:
        stores.append(CallStore(path, **{"retry_s": 0.05, **options}))  # type: ignore[arg-type]
        return stores[-1]

    yield make
    for store in stores:
        store.close(LIMIT_S)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR]


Open = Callable[..., CallStore]


def test_what_is_kept_comes_back(open_store: Open, path: Path) -> None:
    store = open_store()
    store.start_call(CALL)
    store.add_turn(TURN)
    assert store.flush(LIMIT_S)
    assert store.call("call1") == (CALL, [TURN])
    store.add_turn(replace(TURN, turn=0, heard=""))
    store.end_call(ENDED)
    assert store.flush(LIMIT_S)
    assert store.call("call1") == (ENDED, [replace(TURN, turn=0, heard=""), TURN])
    assert recent_calls(path, 5) == store.recent_calls(5) == [ENDED]
    assert store.call("nobody") is None


def test_latest_calls_come_first_and_are_limited(open_store: Open) -> None:
    store = open_store()
    for number in range(5):
        began = BEGAN + timedelta(milliseconds=number)
        store.end_call(replace(ENDED, call_id=f"c{number}", started_at=began))
    assert store.flush(LIMIT_S)
    assert [call.call_id for call in store.recent_calls(3)] == ["c4", "c3", "c2"]


def test_a_call_is_found_by_its_first_letters(open_store: Open, path: Path) -> None:
    store = open_store()
    for call_id in ("abc1", "abc2", "abc"):
        store.end_call(replace(ENDED, call_id=call_id))
    assert store.flush(LIMIT_S)
    assert [c and c[0].call_id for c in (find_call(path, "abc1"), find_call(path, "abc"))] == [
        "abc1",
        "abc",
    ]
    assert find_call(path, "x%") is None
    with pytest.raises(StoreError, match="several calls begin with 'ab'"):
        find_call(path, "ab")


@pytest.mark.parametrize(("percent", "ms"), [(50, 400.5), (95, 900.0), (1, 300.25)])
def test_percentiles(percent: float, ms: float) -> None:
    assert ENDED.latency_ms(percent) == ms
    assert CALL.latency_ms(percent) is None


@settings(deadline=None)
@given(
    st.text(max_size=20),
    st.none() | st.decimals(min_value=0, max_value=10**6, allow_nan=False),
    st.lists(st.floats(0, 1e6), max_size=3),
)
def test_json_and_back(text: str, usd: Decimal | None, ms: list[float]) -> None:
    call = replace(ENDED, caller=text, owned_usd=usd, rented_usd={text: usd})
    call = replace(call, latencies_ms=tuple(ms))
    assert CallRecord.from_json(json.loads(json.dumps(call.to_json()))) == call
    turn = replace(TURN, heard=text, owned_usd=usd)
    assert TurnRecord.from_json(json.loads(json.dumps(turn.to_json()))) == turn


async def test_the_event_loop_is_never_blocked(open_store: Open, path: Path) -> None:
    """With the database locked by another, records are still taken at once."""
    store = open_store()
    assert store.flush(LIMIT_S)
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        for _ in range(1000):
            store.add_turn(TURN)
            await asyncio.sleep(0)
        # Had each waited for the lock, a thousand times two seconds would have passed.
        assert not store.flush(0.0)
        other.rollback()
    wait_until(lambda: store.flush(LIMIT_S))


def test_a_locked_database_takes_the_records_later(
    open_store: Open, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = open_store()
    assert store.flush(LIMIT_S)
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        store.end_call(ENDED)
        wait_until(lambda: store.failing)
        other.rollback()
    wait_until(lambda: not store.failing)
    assert recent_calls(path, 5) == [ENDED]
    assert len(errors(caplog)) == 1 and "database is locked" in errors(caplog)[0]


def kill_during_a_call(path: Path) -> None:
    """A process that records a call's start and one turn, and dies."""
    script = (
        "import os, sys; from pathlib import Path; sys.path.insert(0, 'tests/agent')\n"
        "import test_records as t\n"
        "store = t.CallStore(Path(sys.argv[1])); store.start_call(t.CALL); store.add_turn(t.TURN)\n"
        "assert store.flush(20); os._exit(9)"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)],
        cwd=root,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert done.returncode == 9


def test_a_call_that_never_ended_is_shown_so(open_store: Open, path: Path) -> None:
    kill_during_a_call(path)
    found = find_call(path, "call1")
    assert found and found[0].cause is None
    store = open_store()
    assert store.flush(LIMIT_S)
    assert store.call("call1") == (replace(CALL, cause=BOX_STOPPED), [TURN])


def test_a_second_process_leaves_calls_under_way_alone(open_store: Open, path: Path) -> None:
    first = open_store()
    first.start_call(CALL)
    assert first.flush(LIMIT_S)
    second = open_store()
    assert second.flush(LIMIT_S)
    assert recent_calls(path, 1)[0].cause is None


def fill(folder: Path) -> Path:
    """Takes every byte that is left in a small file system."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (65536, 4096, 512, 1):
            try:
                while file.write(b"x" * size) == size:
                    pass
            except OSError:
                continue
    return ballast


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of one megabyte."""
    if os.geteuid() != 0 or not shutil.which("mount") or not sys.platform.startswith("linux"):
        pytest.skip("mounting a small file system needs root on Linux; its twin below always runs")
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if subprocess.run(mount, timeout=10, capture_output=True).returncode:
        pytest.skip("this machine does not allow mounting; the twin below always runs")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], timeout=10, check=True)


def test_a_full_disk_loses_no_record(
    small_disk: Path, own_temporary_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = small_disk / "calls.sqlite3"
    store = CallStore(path, retry_s=0.05)
    try:
        store.start_call(CALL)
        assert store.flush(LIMIT_S)
        ballast = fill(small_disk)
        for number in range(1, 51):
            store.add_turn(replace(TURN, turn=number, heard="word " * 400))
        store.end_call(ENDED)
        assert not store.flush(LIMIT_S)
        assert store.failing and len(errors(caplog)) == 1
        assert "full" in errors(caplog)[0] and "Make room" in errors(caplog)[0]
        # Still readable, from memory, and safe on the other disk.
        found = store.call("call1")
        assert found and found[0] == ENDED and len(found[1]) == 50
        waiting = [path for path in own_temporary_folder.iterdir()]
        assert len(waiting) == 1 and len(waiting[0].read_text().splitlines()) >= 51
        ballast.unlink()
        wait_until(lambda: not store.failing)
        stored = find_call(path, "call1")
        assert stored and stored[0] == ENDED and len(stored[1]) == 50
        assert list(own_temporary_folder.iterdir()) == []
    finally:
        store.close(LIMIT_S)


def test_a_full_database_loses_no_record(
    open_store: Open, path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """SQLite's own page limit gives the same error as a full disk, anywhere."""
    full = True

    def limited(*arguments: object, **options: object) -> sqlite3.Connection:
        connection = connect(*arguments, **options)  # type: ignore[call-overload]
        if full:
            connection.execute("PRAGMA max_page_count=8")
        return connection  # type: ignore[no-any-return]

    connect = sqlite3.dbapi2.connect
    first = open_store()
    first.start_call(CALL)
    assert first.flush(LIMIT_S)
    first.close(LIMIT_S)
    monkeypatch.setattr(sqlite3.dbapi2, "connect", limited)
    store = open_store()
    for number in range(1, 31):
        store.add_turn(replace(TURN, turn=number, heard="word " * 400))
    assert not store.flush(LIMIT_S)
    assert len(errors(caplog)) == 1 and "database or disk is full" in errors(caplog)[0]
    assert len(Spill(path).files()) == 1
    full = False
    wait_until(lambda: not store.failing)
    found = find_call(path, "call1")
    assert found and len(found[1]) == 30
    assert Spill(path).files() == []


def test_records_that_waited_are_taken_in_by_the_next_process(open_store: Open, path: Path) -> None:
    """The first can never write: its folder's name is taken by a file."""
    path.parent.write_text("in the way")
    store = open_store()
    store.start_call(CALL)
    store.add_turn(TURN)
    store.end_call(ENDED)
    assert not store.flush(LIMIT_S)
    assert store.recent_calls(5) == [ENDED]
    store.close(LIMIT_S)
    path.parent.unlink()
    again = open_store()
    assert again.flush(LIMIT_S)
    assert again.call("call1") == (ENDED, [TURN])
    assert Spill(path).files() == []


def test_records_that_no_disk_took_are_counted(
    open_store: Open, path: Path, own_temporary_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.parent.write_text("in the way")
    own_temporary_folder.rmdir()
    store = open_store()
    store.end_call(ENDED)
    assert not store.flush(LIMIT_S)
    assert "records wait in memory" in errors(caplog)[0]
    assert store.recent_calls(1) == [ENDED]
    store.close(LIMIT_S)
    assert "1 lost" in errors(caplog)[-1]


def test_memory_is_bounded_and_the_disk_keeps_the_rest(open_store: Open, path: Path) -> None:
    path.parent.write_text("in the way")
    store = open_store(limit=5)
    for number in range(1, 31):
        store.add_turn(replace(TURN, turn=number))
        store.flush(LIMIT_S)
    assert len(store._waiting) <= 5
    path.parent.unlink()
    store.end_call(ENDED)
    wait_until(lambda: not store.failing)
    found = find_call(path, "call1")
    assert found and len(found[1]) == 30


def test_a_damaged_file_is_kept_and_a_new_one_begins(
    open_store: Open, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.parent.mkdir()
    path.write_bytes(b"this is no database" * 500)
    store = open_store()
    store.end_call(ENDED)
    assert store.flush(LIMIT_S)
    assert recent_calls(path, 5) == [ENDED]
    (kept,) = path.parent.glob("calls.sqlite3.damaged-*")
    assert kept.read_bytes().startswith(b"this is no database")
    assert len(errors(caplog)) == 1 and str(kept) in errors(caplog)[0]


def test_a_file_of_another_version_is_left_alone(
    open_store: Open, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = open_store()
    assert first.flush(LIMIT_S)
    first.close(LIMIT_S)
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("UPDATE alembic_version SET version_num = '99'")
    store = open_store()
    store.end_call(ENDED)
    assert not store.flush(LIMIT_S)
    assert "schema 99" in errors(caplog)[0] and store.recent_calls(1) == [ENDED]


def test_a_line_cut_off_does_not_spoil_the_others(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spill = Spill(path)
    path.parent.mkdir()
    file = spill.append([CALL, TURN])
    assert file and file.parent == path.parent and file.stat().st_mode & 0o077 == 0
    with file.open("a") as stream:
        stream.write('{"kind": "turn", "rec')
    assert spill.read(file) == [CALL, TURN]
    assert f"{file}:3" in errors(caplog)[0]


def test_reading_without_a_file_says_so(path: Path) -> None:
    with pytest.raises(StoreError, match="no call records yet"):
        recent_calls(path, 5)


def test_a_record_of_an_older_version_is_read() -> None:
    written = CALL.to_json()
    for key in ("direction", "dialled", "trunk", "profile"):
        del written[key]
    assert CallRecord.from_json(written) == CALL


def test_only_the_owner_may_read_what_callers_said(tmp_path: Path) -> None:
    path = tmp_path / "own" / "calls.sqlite3"
    umask = os.umask(0o022)
    try:
        store = CallStore(path)
        store.start_call(CALL)
        assert store.flush(LIMIT_S)
        modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
        store.close()
    finally:
        os.umask(umask)
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert {"calls.sqlite3", "calls.sqlite3.lock"} < set(modes)
    assert set(modes.values()) == {0o600}, modes


def test_what_others_put_into_the_temporary_folder_is_no_record(
    tmp_path: Path, own_temporary_folder: Path
) -> None:
    nowhere = tmp_path / "a file, no folder"
    nowhere.touch()
    spill = Spill(nowhere / "calls.sqlite3")
    written = spill.append([ENDED])
    assert written is not None and written.parent == own_temporary_folder
    assert spill.files() == [written]
    theirs = tmp_path / "theirs.jsonl"
    written.rename(theirs)
    written.symlink_to(theirs)
    before = theirs.read_bytes()
    assert spill.files() == []
    assert spill.append([ENDED]) is None
    assert theirs.read_bytes() == before
    written.unlink()
    theirs.rename(written)
    if os.geteuid() == 0:
        os.chown(written, 65534, -1)
        assert spill.files() == []
