"""Handing over and deleting what is kept: all of it, of the right calls, and for good."""

import asyncio
import json
import os
import sqlite3
import tempfile
from argparse import ArgumentParser
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from postgres_server import running_server
from sqlalchemy import make_url

from agent import records_command
from agent.latency import TurnTrace
from agent.records import history
from agent.records.erasure import BATCH, erase, is_same_caller, kept_before, kept_of_caller
from agent.records.export import export
from agent.records.record import CallRecord, EventRecord, TurnRecord
from agent.records.retention import sweep, swept_daily
from agent.records.source import DRIVER, Source
from agent.records.spill import Spill
from agent.records.store import CallStore
from agent.sections import RecordsConfig
from agent.usage import Usage

LIMIT_S = 20.0
NOW = datetime.now(UTC)
WORDS = "the cat sat upon the mat"
NUMBER = "+15551234567"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Source:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return Source.of(tmp_path / "data" / "calls.sqlite3")


@pytest.fixture
def run(source: Source, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command; gives its exit status, output and errors."""
    monkeypatch.chdir(source.path.parent.parent)
    monkeypatch.setenv("OFFHOOK_RECORDS__PATH", str(source.path))
    monkeypatch.setenv("OFFHOOK_RECORDS__AUDIO", str(sound_folder(source)))

    def command(*arguments: str) -> tuple[int, str, str]:
        parser = ArgumentParser()
        records_command.add_parser(parser.add_subparsers())
        args = parser.parse_args(["records", *arguments])
        status: int = args.func(args)
        return status, *capsys.readouterr()

    return command


def sound_folder(source: Source) -> Path:
    return source.path.parent / "sound"


def a_call(
    source: Source,
    number: int,
    caller: str = NUMBER,
    age_days: float = 1.0,
    *,
    sound: bool = True,
    over: bool = True,
) -> CallRecord:
    began = NOW - timedelta(days=age_days)
    name = f"{number:012x}"
    path = sound_folder(source) / f"{name}.wav"
    if sound:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"RIFF" + name.encode())
    call = CallRecord(name, began, "sip", caller, "Joe", usage=Usage(call_s=9.0), turns=1)
    call = replace(call, recording=str(path) if sound else "")
    return replace(call, ended_at=began, cause="caller hung up") if over else call


def keep(source: Source, *calls: CallRecord, words: str = WORDS) -> None:
    store = CallStore(source)
    for call in calls:
        store.start_call(replace(call, cause=None, ended_at=None, recording=""))
        trace = TurnTrace(1, 1.0, 1.2)
        store.add_turn(TurnRecord(call.call_id, 1, words, "Of course.", False, trace, Usage()))
        detail = {"who": "caller", "key": "5", "note": words}
        store.add_event(EventRecord(call.call_id, call.started_at, "key", detail))
        if call.cause is not None:
            store.end_call(call)
    assert store.flush(LIMIT_S)
    store.close(LIMIT_S)


def on_disk(source: Source) -> bytes:
    return b"".join(path.read_bytes() for path in source.path.parent.glob("calls.sqlite3*"))


def names(source: Source) -> list[str]:
    return [call.call_id for call in history.calls(source)]


@pytest.mark.parametrize(
    ("written", "same"),
    [
        ("sip:+15551234567@carrier.example", True),
        ("sip:15551234567@10.0.0.1:5060", True),
        ("0015551234567", True),
        ("+1 (555) 123-4567", True),
        ("+15551234568", False),
        ("5551234567", False),
        ("", False),
    ],
)
def test_a_number_is_one_caller_however_it_is_written(written: str, same: bool) -> None:
    assert is_same_caller(written, NUMBER) is same


def test_names_and_extensions_are_the_same_at_one_exchange_alone() -> None:
    assert not is_same_caller("sip:bob@a.example", "sip:bob@b.example")
    assert not is_same_caller("sip:100@a.example", "100")
    assert is_same_caller("sip:100@a.example", "sip:100@a.example")


def test_deleting_a_caller_leaves_nothing_of_theirs_and_all_of_others(
    source: Source, run: Run
) -> None:
    theirs = [a_call(source, 1), a_call(source, 2, f"sip:{NUMBER}@carrier.example")]
    other = a_call(source, 3, "+15550000000")
    keep(source, *theirs)
    keep(source, other, words="another story")
    assert WORDS.encode() in on_disk(source)
    status, out, err = run("delete", "--caller", "+1 555 123 4567")
    assert (status, err) == (0, "") and "2 calls would be deleted" in out
    assert len(names(source)) == 3
    status, out, err = run("delete", "--caller", "+1 555 123 4567", "--yes")
    assert (status, err) == (0, "")
    assert out == "caller '+1 555 123 4567': 2 calls and 2 recordings deleted\n"
    assert names(source) == [other.call_id]
    # Neither the tables nor free pages, nor SQLite's log.
    assert WORDS.encode() not in on_disk(source) and NUMBER.encode() not in on_disk(source)
    assert [path.name for path in sound_folder(source).iterdir()] == [f"{other.call_id}.wav"]
    with closing(sqlite3.connect(source.path)) as database:
        for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'"):
            columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
            if "call_id" in columns:
                left = {row[0] for row in database.execute(f"SELECT call_id FROM {table}")}
                assert left <= {other.call_id}, table
    assert run("delete", "--caller", NUMBER, "--yes")[0] == 1


def test_what_is_handed_over_is_whole_and_for_its_owner_alone(
    source: Source, run: Run, tmp_path: Path
) -> None:
    kept, gone = a_call(source, 1), a_call(source, 2)
    keep(source, kept, gone, a_call(source, 3, "+15550000000"))
    Path(gone.recording).unlink()
    folder = tmp_path / "for" / "them"
    status, out, err = run("export", "--caller", NUMBER, "--out", str(folder))
    assert (status, out) == (0, f"{folder}: 2 calls, 1 recording\n")
    assert "not there any more" in err
    lines = [json.loads(line) for line in (folder / "calls.jsonl").read_text().splitlines()]
    assert [line["call"]["call_id"] for line in lines] == [kept.call_id, gone.call_id]
    assert CallRecord.from_json(lines[0]["call"]) == kept
    assert lines[0]["turns"][0]["heard"] == WORDS
    assert lines[0]["events"][0]["detail"]["key"] == "5"
    assert lines[0]["recording"] == f"recordings/{kept.call_id}.wav"
    assert lines[1]["recording"] is None
    copy = folder / lines[0]["recording"]
    assert copy.read_bytes() == Path(kept.recording).read_bytes()
    for path in (folder, copy.parent, copy, folder / "calls.jsonl"):
        assert path.stat().st_mode & 0o077 == 0
    status, _, err = run("export", "--caller", NUMBER, "--out", str(folder))
    assert status == 1 and "it is not empty; name a new folder" in err
    status, _, err = run("export", "--call", "none such", "--out", str(tmp_path / "x"))
    assert status == 1 and "nothing is kept of call none such" in err


def test_a_call_under_way_is_left_and_said_so(source: Source, run: Run) -> None:
    over, under_way = a_call(source, 1), a_call(source, 2, over=False)
    store = CallStore(source)
    try:
        for call in (over, under_way):
            store.start_call(call)
        assert store.flush(LIMIT_S)
        store.start_call(replace(under_way, call_id="00000000000f", caller="+15550000000"))
        store.end_call(over)
        assert store.flush(LIMIT_S)
        status, out, err = run("delete", "--caller", NUMBER, "--yes")
        assert status == 1 and "1 call and 1 recording deleted" in out
        assert f"call {under_way.call_id} is under way, and stays" in err
        store.end_call(replace(under_way, cause="caller hung up"))
        assert store.flush(LIMIT_S)
        # By its name alone, while the box writes.
        assert run("delete", "--call", under_way.call_id, "--yes")[0] == 0
        assert names(source) == ["00000000000f"]
    finally:
        store.close(LIMIT_S)


def test_sound_that_cannot_be_removed_keeps_its_call(source: Source, run: Run) -> None:
    stuck, free = a_call(source, 1), a_call(source, 2)
    keep(source, stuck, free)
    Path(stuck.recording).unlink()
    Path(stuck.recording).mkdir()
    status, out, err = run("delete", "--caller", NUMBER, "--yes")
    assert status == 1 and "1 call and 1 recording deleted" in out
    assert f"{stuck.recording}: " in err and "its call stays" in err
    assert names(source) == [stuck.call_id]


def test_a_record_that_names_another_file_deletes_only_itself(source: Source, run: Run) -> None:
    precious = source.path.parent / "precious.txt"
    keep(source, replace(a_call(source, 1), recording=str(precious)))
    precious.write_text("mine")
    assert run("delete", "--caller", NUMBER, "--yes")[0] == 0
    assert precious.read_text() == "mine" and names(source) == []


def test_copies_and_records_that_wait_are_told_of(source: Source, run: Run) -> None:
    keep(source, a_call(source, 1))
    waits = Spill(source.path).append([a_call(source, 7, sound=False)])
    copy = source.path.with_name("calls.sqlite3.damaged-20261101T000000")
    copy.write_bytes(b"?")
    status, _, err = run("delete", "--caller", NUMBER, "--yes")
    assert status == 1
    assert f"{waits}: records of caller" in err and f"{copy}: a copy" in err
    status, _, err = run("delete", "--caller", "+15550000009", "--yes")
    assert status == 1 and str(waits) not in err and "nothing is kept" in err


def test_a_sweep_takes_what_is_too_old(source: Source, run: Run) -> None:
    old = [a_call(source, n, age_days=31) for n in range(1, 4)]
    young = a_call(source, 9, age_days=29)
    keep(source, *old, young)
    long_ago = (NOW - timedelta(days=31)).timestamp()
    orphan, other = sound_folder(source) / "00000000abcd.wav", sound_folder(source) / "my song.wav"
    copy = source.path.with_name("calls.sqlite3.damaged-20261001T000000")
    for path in (orphan, other, copy, Path(young.recording)):
        path.write_bytes(b"?")
        os.utime(path, (long_ago, long_ago))
    status, _, err = run("sweep")
    assert status == 2 and "`keep_days` in [records] is not set" in err
    assert run("sweep", "--days", "30", "--dry-run")[:2] == (
        0,
        "3 calls and 2 other files would be deleted\n",
    )
    assert len(names(source)) == 4 and orphan.exists()
    status, out, err = run("sweep", "--days", "30")
    assert (status, err) == (0, "")
    assert out == "3 calls, 3 recordings and 2 other files deleted\n"
    assert names(source) == [young.call_id]
    assert sorted(path.name for path in sound_folder(source).iterdir()) == [
        f"{young.call_id}.wav",
        other.name,
    ]
    assert run("sweep", "--days", "30")[1] == "0 calls, 0 recordings and 0 other files deleted\n"


def test_traces_that_stay_while_somebody_reads_are_told_of(source: Source, run: Run) -> None:
    keep(source, a_call(source, 1), a_call(source, 2, "+15550000000"))
    with closing(sqlite3.connect(source.path)) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM calls").fetchone() == (2,)
        status, out, err = run("delete", "--caller", NUMBER, "--yes")
    assert status == 1 and "1 call and 1 recording deleted" in out
    assert "traces of what was deleted stay" in err
    assert run("delete", "--caller", "+15550000000", "--yes")[0] == 0
    assert NUMBER.encode() not in on_disk(source)


def test_sound_whose_path_was_never_written_goes_with_its_call(source: Source, run: Run) -> None:
    call = a_call(source, 1)
    keep(source, replace(call, recording="", cause="box stopped"))
    assert "1 call and 1 recording deleted" in run("delete", "--caller", NUMBER, "--yes")[1]
    assert not Path(call.recording).exists()


def test_many_calls_go_in_batches_and_may_be_stopped(source: Source) -> None:
    keep(source, *(a_call(source, n, sound=False) for n in range(BATCH * 2 + 5)))
    asked = iter([True, False])
    erased = erase(source, kept_of_caller(source, NUMBER), lambda: next(asked))
    assert erased.calls == BATCH and len(names(source)) == BATCH + 5
    assert erase(source, kept_before(source, NOW)).calls == BATCH + 5
    assert names(source) == []


def test_before_anything_is_recorded_there_is_nothing_to_do(source: Source, run: Run) -> None:
    assert run("sweep", "--days", "1")[0] == 0
    status, _, err = run("delete", "--caller", NUMBER, "--yes")
    assert status == 1 and "nothing is kept" in err


async def test_a_box_sweeps_at_its_start(source: Source, caplog: pytest.LogCaptureFixture) -> None:
    await asyncio.to_thread(keep, source, a_call(source, 1, age_days=8), a_call(source, 2))
    caplog.set_level("INFO")
    config = RecordsConfig(path=source.path, audio=sound_folder(source), keep_days=7)
    async with asyncio.timeout(LIMIT_S), swept_daily(config, {}):
        while len(await asyncio.to_thread(names, source)) > 1:
            await asyncio.sleep(0.02)
        while "1 calls" not in caplog.text:
            await asyncio.sleep(0.02)
    assert "deleted what was older than 7 days: 1 calls, 1 recordings, 0 other files" in caplog.text
    async with asyncio.timeout(LIMIT_S), swept_daily(RecordsConfig(path=source.path), {}):
        assert not [task for task in asyncio.all_tasks() if task.get_name() == "retention"]


async def test_a_sweep_that_fails_is_told_and_the_box_goes_on(
    source: Source, caplog: pytest.LogCaptureFixture
) -> None:
    source.path.parent.mkdir(parents=True)
    await asyncio.to_thread(source.path.write_bytes, b"no database at all, however long it is")
    async with asyncio.timeout(LIMIT_S):
        async with swept_daily(RecordsConfig(path=source.path, keep_days=1), {}):
            while "old calls are not deleted" not in caplog.text:
                await asyncio.sleep(0.02)


def test_a_server_of_postgresql_forgets_as_well(source: Source, tmp_path: Path) -> None:
    with running_server() as server:
        url = make_url(server.url(server.new_database())).set(drivername=DRIVER)
        records = Source(source.path, url)
        theirs, other = a_call(records, 1, age_days=3), a_call(records, 2, "+15550000000")
        keep(records, theirs, other)
        done = export(records, kept_of_caller(records, "0015551234567"), tmp_path / "out")
        assert (done.calls, done.recordings) == (1, 1)
        erased = erase(records, kept_of_caller(records, NUMBER))
        assert (erased.calls, erased.recordings, erased.wiped) == (1, 1, True)
        assert names(records) == [other.call_id]
        assert history.events(records, theirs.call_id) == []
        assert sweep(records, None, NOW).erased.calls == 1
        assert names(records) == []
