"""`offhook calls`: the table, one call, and JSON."""

import json
from argparse import ArgumentParser
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from agent import calls_command
from agent.latency import TurnTrace
from agent.records.record import CallRecord, TurnRecord
from agent.records.store import CallStore
from agent.usage import Usage

BEGAN = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
Calls = Callable[..., tuple[int, str, str]]


@pytest.fixture
def calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Calls:
    """Runs the command; gives its exit status, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OFFHOOK_RECORDS__PATH", str(tmp_path / "calls.sqlite3"))
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> tuple[int, str, str]:
        parser = ArgumentParser()
        calls_command.add_parser(parser.add_subparsers())
        args = parser.parse_args(["calls", *arguments])
        status: int = args.func(args)
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def two_calls(tmp_path: Path) -> None:
    store = CallStore(tmp_path / "calls.sqlite3")
    ended = CallRecord(
        "abc123",
        BEGAN,
        "webrtc",
        "127.0.0.1",
        "Joe",
        ended_at=BEGAN + timedelta(seconds=75),
        cause="caller left",
        usage=Usage(call_s=75.0),
        owned_usd=Decimal("0.00025"),
        rented_usd={"Vapi": Decimal("0.1"), "Other": None},
        turns=2,
        latencies_ms=(520.0, 900.0),
        direction="outbound",
        dialled="+15551234567",
        trunk="carrier",
        profile="sales",
    )
    store.end_call(ended)
    store.start_call(CallRecord("def456", BEGAN + timedelta(hours=1), "loopback", "", "Joe"))
    trace = TurnTrace(1, 10.0, 10.2, 10.3, 10.4, 10.45, 10.5, 10.52)
    words = "What is [bold]this[/bold]?"
    store.add_turn(
        TurnRecord("abc123", 1, words, "It is a box.", True, trace, Usage(), Decimal("0.00001"))
    )
    assert store.flush(20)
    store.close(20)


def test_no_calls_yet(calls: Calls) -> None:
    assert calls() == (0, "no calls yet\n", "")
    assert calls("--json")[:2] == (0, "[]\n")


@pytest.mark.usefixtures("two_calls")
def test_the_list(calls: Calls) -> None:
    status, out, _ = calls()
    assert status == 0
    assert out.index("def456") < out.index("abc123")
    for words in (
        "1:15",
        "webrtc (carrier)",
        "from -",
        "to 127.0.0.1",
        "520 ms",
        "900 ms",
        "$0.000250",
        "caller left",
        "under way",
    ):
        assert words in out
    assert "abc123" not in calls("--limit", "1")[1]


@pytest.mark.usefixtures("two_calls")
def test_one_call(calls: Calls) -> None:
    status, out, _ = calls("abc")
    assert status == 0
    for words in ("What is [bold]this[/bold]?", "It is a box. (interrupted)", "200 ms", "520 ms"):
        assert words in out
    for words in (
        "dialled: +15551234567; profile: sales",
        "this box",
        "$0.000200",
        "Vapi",
        "$0.080000",
    ):
        assert words in out


@pytest.mark.usefixtures("two_calls")
def test_json(calls: Calls) -> None:
    listed = json.loads(calls("--json")[1])
    assert [call["call_id"] for call in listed] == ["def456", "abc123"]
    assert (listed[1]["trunk"], listed[1]["direction"]) == ("carrier", "outbound")
    assert listed[1]["p50_ms"] == 520.0 and listed[1]["owned_usd"] == "0.00025"
    (turn,) = json.loads(calls("abc123", "--json")[1])["turn_records"]
    assert turn["total_ms"] == pytest.approx(520) and turn["stages_ms"]["first_token"] > 0


@pytest.mark.usefixtures("two_calls")
def test_a_call_that_is_not_there(calls: Calls) -> None:
    status, _, error = calls("nobody")
    assert status == 1 and "no call 'nobody'" in error


def test_a_file_that_cannot_be_read(calls: Calls, tmp_path: Path) -> None:
    (tmp_path / "calls.sqlite3").write_bytes(b"no database" * 1000)
    status, _, error = calls()
    assert status == 1 and "cannot be read" in error


def test_a_limit_of_nothing(calls: Calls) -> None:
    with pytest.raises(SystemExit):
        calls("--limit", "0")
