"""`offhook cost ...` as a user runs it: over records in a file, with what it prints and writes."""

import csv
import io
import json
from argparse import ArgumentParser
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from agent import cost_command
from agent.config import ConfigError
from agent.records.record import CallRecord
from agent.records.store import CallStore
from agent.usage import Usage

MONDAY = datetime(2026, 11, 2, 9, tzinfo=UTC)
LIMIT_S = 30.0
Cost = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Cost:
    """Runs the command; gives its exit status, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OFFHOOK_RECORDS__PATH", str(tmp_path / "calls.sqlite3"))
    monkeypatch.setenv("COLUMNS", "240")

    def run(*arguments: str) -> tuple[int, str, str]:
        parser = ArgumentParser()
        cost_command.add_parser(parser.add_subparsers())
        args = parser.parse_args(["cost", *arguments])
        status: int = args.func(args)
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def recorded(tmp_path: Path) -> None:
    """Six calls of a minute, one a day; the last goes on."""
    store = CallStore(tmp_path / "calls.sqlite3")
    for number in range(6):
        began = MONDAY + timedelta(days=number)
        usage = Usage(
            call_s=60.0,
            telephony_s=60.0,
            turns=2,
            characters=300,
            prompt_tokens=1000,
            generated_tokens=100,
            llm_busy_s=2.0,
            stt_busy_s=1.0,
        )
        record = CallRecord(
            f"call-{number}",
            began,
            "sip",
            f"+1555000{number % 2}",
            "Joe",
            ended_at=began + timedelta(seconds=60),
            cause="caller hung up",
            usage=usage,
            profile="sales" if number % 2 else "",
            outcome="resolved" if number == 0 else "",
            outcome_value_usd=Decimal(3) if number == 0 else None,
        )
        store.end_call(record)
    store.start_call(CallRecord("under-way", MONDAY + timedelta(days=7), "sip", "", "Joe"))
    assert store.flush(LIMIT_S)
    store.close(LIMIT_S)


@pytest.mark.parametrize("what", ["report", "machine", "break-even", "plan"])
def test_nothing_recorded_is_said(cost: Cost, what: str) -> None:
    status, out, error = cost(what)
    assert (status, out) == (1, "") and "no call that is over is recorded yet" in error


def test_claims_need_no_call(cost: Cost, tmp_path: Path) -> None:
    status, out, _ = cost("claims", "--json", str(tmp_path / "claims.json"))
    assert status == 0 and "cannot be checked here" in out and "[cost.training.NAME]" in out
    written = json.loads((tmp_path / "claims.json").read_text())
    wanted = {"claim", "source", "formula", "inputs", "measured", "verdict"}
    assert len(written) == 10 and all(wanted <= set(each) for each in written)


@pytest.mark.usefixtures("recorded")
def test_a_report_in_every_form(cost: Cost) -> None:
    status, out, _ = cost("report", "--by", "outcome")
    assert status == 0
    for words in ("resolved", "(none)", "Bland, all in", "at measured utilisation", "not priced"):
        assert words in out
    rows = list(
        csv.DictReader(io.StringIO(cost("report", "--by", "profile", "--format", "csv")[1]))
    )
    assert [(row["profile"], row["calls"]) for row in rows] == [("agent", "3"), ("sales", "3")]
    body = json.loads(cost("report", "--format", "json", "--by", "caller")[1])
    assert body["total"]["calls"] == 6 and body["total"]["value_usd"] == "3"
    focus = list(csv.DictReader(io.StringIO(cost("report", "--format", "focus")[1])))
    total = sum(Decimal(row["BilledCost"]) for row in focus)
    assert float(total) == pytest.approx(float(body["total"]["utilisation_usd"]))
    stacks = json.loads(cost("report", "--by", "stack", "--format", "json")[1])["stacks"]
    assert [each["kind"] for each in stacks[:4]] == ["owned", "owned", "owned", "rented"]
    assert "times this box" in cost("report", "--by", "stack")[1]


@pytest.mark.usefixtures("recorded")
def test_days_are_asked_for(cost: Cost) -> None:
    asked = ("report", "--format", "json", "--since", "2026-11-03", "--until", "2026-11-05")
    body = json.loads(cost(*asked)[1])
    assert [group["name"] for group in body["groups"]] == ["2026-11-03", "2026-11-04"]
    # Two minutes in two days: each pays for a day of the box.
    per_call = Decimal(body["groups"][0]["owned"]["at measured utilisation"]["idle"])
    assert per_call == pytest.approx(Decimal("0.3"), rel=Decimal("0.05"))
    with pytest.raises(SystemExit):
        cost("report", "--since", "yesterday")


@pytest.mark.usefixtures("recorded")
def test_the_machine_beside_every_stack_twice_alike(cost: Cost, tmp_path: Path) -> None:
    first, second = tmp_path / "a.json", tmp_path / "b.json"
    status, out, _ = cost("machine", "--json", str(first))
    assert status == 0 and "assumed, not measured" in out and "not measured" in out
    assert cost("machine", "--json", str(second))[0] == 0
    assert first.read_bytes() == second.read_bytes()
    body = json.loads(first.read_text())
    for view in body["owned"]:
        if view["lines_usd"] is not None:
            total = sum(Decimal(usd) for usd in view["lines_usd"].values())
            assert total / 6 == pytest.approx(Decimal(view["usd_per_min"]))


@pytest.mark.usefixtures("recorded")
def test_break_even_with_a_chart(cost: Cost, tmp_path: Path) -> None:
    asked = ("break-even", "--carries", "4", "--carries", "h100-card=40")
    files = ("--json", str(tmp_path / "b.json"), "--png", str(tmp_path / "b.png"))
    status, out, _ = cost(*asked, *files)
    assert status == 0
    for words in (
        "generic-2-core-server costs",
        "purchase usd",
        "How many calls at once other hardware carries was not measured",
        "Erlang B",
        "Nobody is paid to look after it",
    ):
        assert words in out
    body = json.loads((tmp_path / "b.json").read_text())
    boxes = {box["name"]: box for box in body["boxes"]}
    assert boxes["generic-2-core-server"]["concurrent_calls"] == "4"
    assert boxes["h100-card"]["concurrent_calls"] == "40"
    assert boxes["l4-card"]["fixed_usd_per_month"] is None
    h100 = [each for each in body["break_even"] if each["box"] == "h100-card"]
    assert all("at least" in each["why"] or each["minutes_per_month"] is None for each in h100)
    l4 = [each for each in body["break_even"] if each["box"] == "l4-card"]
    assert {each["verdict"] for each in l4} == {"not known"}
    picture = (tmp_path / "b.png").read_bytes()
    assert picture.startswith(b"\x89PNG") and len(picture) > 10_000


@pytest.mark.usefixtures("recorded")
def test_break_even_says_what_is_wrong(cost: Cost, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'h100-card'"):
        cost("break-even", "--carries", "h100-cards=4")
    for wrong in ("none", "h100-card=0", "=", "x=-3"):
        with pytest.raises(SystemExit):
            cost("break-even", "--carries", wrong)
    status, _, error = cost("break-even", "--carries", "4", "--blocking", "2")
    assert status == 2 and "such as 0.01" in error
    status, out, error = cost("break-even", "--png", str(tmp_path / "b.png"))
    assert status == 2 and "give --carries N" in error
    assert "How many a box carries is not known" in out


@pytest.mark.usefixtures("recorded")
def test_two_budgets(cost: Cost, tmp_path: Path) -> None:
    (tmp_path / "offhook.toml").write_text(
        "[cost.training.greeter]\ncost_usd = 300\ndate = 2026-11-20\nmodel = 'greeter-2'\n"
        "months = 3\n"
    )
    status, out, _ = cost("plan", "--json", str(tmp_path / "apart.json"))
    assert status == 0 and "greeter-2" in out and "both" not in out
    apart = json.loads((tmp_path / "apart.json").read_text())
    assert [each["month"] for each in apart["months"]] == ["2026-11", "2026-12", "2027-01"]
    november = apart["months"][0]
    assert november["training_usd"] == "100.00" and "blended_usd" not in november
    report = json.loads(cost("report", "--format", "json")[1])
    assert november["inference_usd"] == report["total"]["utilisation_usd"]
    cost("plan", "--blend", "--json", str(tmp_path / "both.json"))
    both = json.loads((tmp_path / "both.json").read_text())["months"][0]
    assert Decimal(both["blended_usd"]) == 100 + Decimal(november["inference_usd"])
    claims = ("claims", "--json", str(tmp_path / "claims.json"))
    assert cost(*claims)[0] == 0
    share = next(
        each
        for each in json.loads((tmp_path / "claims.json").read_text())
        if each["name"] == "inference-share"
    )
    assert share["verdict"] == "does not hold" and share["inputs"]["training_usd"] == "300"
    # The telephone line computes nothing.
    lines = report["total"]["owned"]["at measured utilisation"]
    worked = sum(Decimal(usd) for line, usd in lines.items() if line != "trunk")
    assert Decimal(lines["trunk"]) > 0 and Decimal(share["inputs"]["inference_usd"]) == worked


def test_training_alone_is_a_budget(cost: Cost, tmp_path: Path) -> None:
    (tmp_path / "offhook.toml").write_text(
        '[cost.training.x]\ncost_usd = 12\ndate = "2026-11-20"\n'
    )
    status, out, _ = cost("plan")
    assert status == 0 and "2027-10" in out and "2027-11" not in out


def test_inputs_of_claims_are_checked(cost: Cost) -> None:
    for wrong in ("nothing=3", "agentic_tokens_per_turn=0", "agentic_tokens_per_turn=many"):
        with pytest.raises(SystemExit):
            cost("claims", "--input", wrong)


@pytest.mark.parametrize(
    ("book", "message"),
    [
        ("[price.deepgram-nova-3]\nusd = -1", "usd is -1; it cannot be negative"),
        ('currency = "EUR"', "all reckoning is in US dollars"),
        ('[price.x]\nwhat = "w"\nunit = "kchar"', "[price.x] has no `vendor`; add it"),
        ("[price", "not valid TOML"),
    ],
)
def test_a_mistake_in_the_book_is_told_at_once(
    cost: Cost, tmp_path: Path, book: str, message: str
) -> None:
    (tmp_path / "own.toml").write_text(book)
    (tmp_path / "offhook.toml").write_text('[cost]\nbook = "own.toml"\n')
    with pytest.raises(ConfigError) as raised:
        cost("claims")
    assert "own.toml" in str(raised.value) and message in str(raised.value)


def test_a_stale_row_is_warned_of(
    cost: Cost, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "own.toml").write_text("[price.deepgram-nova-3]\nas_of = 2020-01-01\n")
    (tmp_path / "offhook.toml").write_text('[cost]\nbook = "own.toml"\n')
    assert cost("claims")[0] == 0
    assert "price deepgram-nova-3 is of 2020-01-01" in caplog.text


@pytest.mark.usefixtures("recorded")
def test_a_stack_of_ones_own_stands_among_the_others(cost: Cost, tmp_path: Path) -> None:
    """A contract of one's own by hand: 0.002 a minute twice, and a price nobody knows yet."""
    (tmp_path / "own.toml").write_text(
        "[price.deepgram-nova-3]\nusd = '0.002'\nas_of = 2026-11-20\nsource = 'our contract'\n"
        "[price.line]\nvendor = 'Us'\nwhat = 'line'\nunit = 'telephony_min'\nusd = '0.002'\n"
        "source = 'ours'\nas_of = 2026-11-20\n"
        "[price.secret]\nvendor = 'V'\nwhat = 'w'\nunit = 'call_min'\nsource = 's'\n"
        "as_of = 2026-11-20\n"
        "[stack.'What we pay']\ntelephony = ['line']\nstt = ['deepgram-nova-3']\n"
        "[stack.'On request']\ntelephony = ['line']\nplatform = ['secret']\n"
    )
    (tmp_path / "offhook.toml").write_text('[cost]\nbook = "own.toml"\n')
    body = json.loads(cost("report", "--by", "stack", "--format", "json")[1])
    stacks = {each["name"]: each for each in body["stacks"]}
    assert Decimal(stacks["What we pay"]["usd_per_min"]) == Decimal("0.004")
    assert stacks["On request"]["usd"] is None and body["stacks"][-1]["name"] == "On request"
    status, out, _ = cost("break-even", "--carries", "4")
    assert status == 0 and "The price of 1 more is not known" in out


def test_an_old_trunk_is_warned_of_though_no_stack_has_it(
    cost: Cost, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "own.toml").write_text(
        "[price.line]\nvendor = 'Us'\nwhat = 'line'\nunit = 'telephony_min'\nusd = '0.002'\n"
        "source = 'ours'\nas_of = 2020-01-01\n"
    )
    (tmp_path / "offhook.toml").write_text('[cost]\nbook = "own.toml"\ntrunk = "line"\n')
    assert cost("claims")[0] == 0
    assert "price line is of 2020-01-01" in caplog.text


@pytest.mark.usefixtures("recorded")
def test_old_rows_of_other_hardware_are_named_where_they_are_compared(
    cost: Cost, tmp_path: Path
) -> None:
    (tmp_path / "own.toml").write_text("[hardware.runpod-h200]\nas_of = 2020-01-01\n")
    (tmp_path / "offhook.toml").write_text('[cost]\nbook = "own.toml"\n')
    assert "hardware runpod-h200 is of 2020-01-01" in cost("break-even")[1]


@pytest.mark.usefixtures("recorded")
def test_focus_says_what_it_leaves_out(cost: Cost, monkeypatch: pytest.MonkeyPatch) -> None:
    focus = ("report", "--format", "focus")
    assert cost(*focus)[2] == ""
    _, out, error = cost(*focus, "--view", "capacity")
    assert out.count("\n") == 1 and "at capacity was not measured" in error
    monkeypatch.setenv("OFFHOOK_COST__HARDWARE", "l4-card")
    _, out, error = cost(*focus)
    assert "Telephone line" in out and "not the whole bill" in error and "idle" in error


def test_a_wait_without_end_is_json(cost: Cost, tmp_path: Path) -> None:
    """Two calls at once for the whole hour, and lines for one."""
    store = CallStore(tmp_path / "calls.sqlite3")
    for name in ("a", "b"):
        end = MONDAY + timedelta(hours=1)
        usage = Usage(call_s=3600.0)
        store.end_call(
            CallRecord(name, MONDAY, "webrtc", "", "Joe", ended_at=end, cause="x", usage=usage)
        )
    assert store.flush(LIMIT_S)
    store.close(LIMIT_S)
    file = tmp_path / "break-even.json"
    said = cost("break-even", "--carries", "1", "--blocking", "0.9", "--json", str(file))[1]
    assert "100.0% would wait, without end" in said
    assert "Infinity" not in file.read_text()
    assert json.loads(file.read_text())["fleet"]["mean_wait_s"] is None
