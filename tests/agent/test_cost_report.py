"""Calls grouped and priced: by hand, by what they have in common, and in FOCUS's columns."""

import csv
import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from agent.config import Config
from agent.cost.bill import Bill
from agent.cost.left_out import left_out
from agent.cost.measured import measure
from agent.cost.owned import Box, View
from agent.cost.price_book import PriceBook
from agent.cost.price_row import Hardware
from agent.cost.report import NOBODY, report
from agent.cost.report_file import groups_csv, groups_json, stacks_csv, stacks_json
from agent.cost.stacks import stack_rows
from agent.cost_command import BY
from agent.records.record import CallRecord
from agent.usage import Usage

NOON = datetime(2026, 12, 31, 12, tzinfo=UTC)
BOOK = PriceBook.load()
BOX = Box(
    name="box",
    hardware=Hardware(
        what="a box", usd_per_hour=Decimal("3.6"), lanes=2, source="test", as_of=NOON.date()
    ),
    electricity=BOOK.electricity,
    colocation=BOOK.colocation,
    trunk=BOOK.prices["telnyx-sip-inbound"],
)
BILL = Bill(BOOK, BOX, capacity_calls=4)


def call(name: str, minute: int, seconds: float = 60.0, **given: object) -> CallRecord:
    usage = Usage(call_s=seconds, telephony_s=seconds, characters=300, turns=2, llm_busy_s=2.0)
    record = CallRecord(
        call_id=name,
        started_at=NOON + timedelta(minutes=minute),
        door="sip",
        caller="+15550001",
        agent="Joe",
        ended_at=NOON + timedelta(minutes=minute, seconds=seconds),
        cause="caller hung up",
        usage=usage,
    )
    return replace(record, **given)  # type: ignore[arg-type]


def test_calls_by_hand() -> None:
    """Two calls of a minute in ten minutes: 3.60 an hour for ten minutes is 0.60 for both."""
    calls = [call("a", 0), call("b", 9)]
    measured = measure(calls, BILL)
    assert measured is not None and measured.mean_calls == Decimal("0.2")
    trunk = 2 * Decimal("0.0032")
    owned = measured.owned[View.UTILISATION]
    assert owned is not None and owned.total_usd == pytest.approx(Decimal("0.6") + trunk)
    assert measured.owned_usd_per_min(View.MARGINAL) == Decimal("0.0032")
    full = measured.owned_usd_per_min(View.CAPACITY)
    assert full == pytest.approx(Decimal("0.06") / 4 + Decimal("0.0032"))
    # Idle around the calls counts where it is said that the box was there.
    day = measure(calls, BILL, NOON - timedelta(hours=11), NOON + timedelta(hours=13))
    assert day is not None
    all_day = day.owned[View.UTILISATION]
    assert all_day is not None and all_day.total_usd == pytest.approx(Decimal("86.4") + trunk)


def test_vendors_round_call_by_call() -> None:
    """Three calls of 20 s are three minutes to Twilio, and one to who bills by the second."""
    measured = measure([call(str(n), n, 20.0) for n in range(3)], BILL)
    assert measured is not None
    vapi = measured.rented["Vapi, Twilio, Deepgram, GPT-4.1, ElevenLabs"].lines_usd
    assert vapi["telephony"] == 3 * Decimal("0.0085")
    assert vapi["platform"] == pytest.approx(Decimal("0.05"))


def test_groups_add_up_to_all_of_them() -> None:
    calls = [
        call("a", 0, outcome="resolved", outcome_value_usd=Decimal("12.50")),
        call("b", 3, outcome="resolved"),
        call("c", 6, 120.0, outcome="transferred", workflow="orders"),
        call("d", 9),
    ]
    together = measure(calls, BILL)
    assert together is not None
    made = report(calls, BILL, "outcome", together)
    assert {group.name for group in made.groups} == {"resolved", "transferred", NOBODY}
    for view in View:
        parts = [group.owned_usd(view) for group in made.groups]
        whole = made.total.owned_usd(view)
        assert whole is not None and sum(p for p in parts if p) == pytest.approx(whole)
    resolved = next(group for group in made.groups if group.name == "resolved")
    assert resolved.value_usd == Decimal("12.50") and resolved.turns == 4
    assert made.total.value_usd == Decimal("12.50")
    per_turn = resolved.owned_usd_per_turn(View.UTILISATION)
    total = resolved.owned_usd(View.UTILISATION)
    assert per_turn is not None and total is not None and per_turn * 4 == pytest.approx(total)
    for by in BY:
        assert sum(g.measured.calls for g in report(calls, BILL, by, together).groups) == 4


def test_calls_under_way_and_unknown_views_are_left_out() -> None:
    under_way = call("x", 0, ended_at=None)
    assert measure([under_way], BILL) is None
    measured = measure([call("a", 0)], replace(BILL, capacity_calls=None))
    assert measured is not None and measured.owned[View.CAPACITY] is None
    assert measured.owned_usd_per_min(View.CAPACITY) is None


def test_a_group_tells_what_is_left_of_its_value() -> None:
    calls = [
        call("a", 0, outcome="resolved", outcome_value_usd=Decimal(2)),
        call("b", 3, caller="+15550002"),
        call("c", 6, caller="+15550002"),
    ]
    together = measure(calls, BILL)
    assert together is not None
    made = report(calls, BILL, "caller", together)
    assert made.total.callers == 2 and [group.callers for group in made.groups] == [1, 1]
    total = made.total.owned_usd(View.UTILISATION)
    assert total is not None and made.total.net_usd(View.UTILISATION) == 2 - total
    assert made.total.owned_usd_per_call(View.UTILISATION) == total / 3
    other = next(group for group in made.groups if group.name == "+15550002")
    assert other.value_usd is None and other.net_usd(View.UTILISATION) is None


def test_the_box_beside_every_stack_by_hand() -> None:
    """Three calls of a minute by two callers, six turns; an unknown price stands last."""
    nothing = {"unknown": {"llm": ("nobody",)}}
    price = BOOK.prices["bland-all-in"].model_copy(update={"usd": None})
    book = replace(BOOK, prices={**BOOK.prices, "nobody": price}, stacks={**nothing, **BOOK.stacks})
    bill = replace(BILL, book=book, capacity_calls=None)
    calls = [call("a", 0), call("b", 3), call("c", 6, caller="+15550002")]
    together = measure(calls, bill)
    assert together is not None
    rows = stack_rows(report(calls, bill, "day", together).total, View.UTILISATION)
    assert [row.name for row in rows[:3]] == [view.value for view in View]
    assert rows[2].usd is None and rows[1].times_owned == 1
    assert rows[-1].name == "unknown" and rows[-1].usd is None and rows[-1].times_owned is None
    known = [row.usd for row in rows[3:-1]]
    assert known == sorted(known, key=lambda usd: usd or 0)
    bland = next(row for row in rows if row.name == "Bland, all in")
    assert bland.usd == Decimal("0.36") and bland.usd_per_min == Decimal("0.12")
    assert (bland.usd_per_turn, bland.usd_per_caller) == (Decimal("0.06"), Decimal("0.18"))
    owned = rows[1].usd
    assert owned is not None and bland.times_owned == Decimal("0.36") / owned


def test_files_hold_every_figure() -> None:
    calls = [call("a", 0, caller="=SUM(A1)"), call("b", 3)]
    bill = replace(BILL, capacity_calls=None)
    together = measure(calls, bill)
    assert together is not None
    made = report(calls, bill, "caller", together)
    rows = list(csv.DictReader(io.StringIO(groups_csv(made))))
    # A caller chooses the name; a spreadsheet would run it.
    assert {row["caller"] for row in rows} == {"'=SUM(A1)", "+15550001"}
    for row in rows:
        assert row["capacity_usd"] == "" and Decimal(row["utilisation_usd_per_turn"]) > 0
        assert Decimal(row["rented_usd: Bland, all in"]) == Decimal("0.12")
        assert row["value_usd"] == row["utilisation_net_usd"] == ""
    body = json.loads(json.dumps(groups_json(made, View.MARGINAL, "note"), default=str))
    assert body["view"] == "marginal" and body["total"]["calls"] == 2
    assert body["total"]["capacity_usd"] is None and body["total"]["owned"]["at capacity"] is None
    lines = body["total"]["owned"]["marginal"]
    assert sum(Decimal(usd) for usd in lines.values()) == Decimal(body["total"]["marginal_usd"])
    stacks = stack_rows(made.total, View.MARGINAL)
    table = list(csv.DictReader(io.StringIO(stacks_csv(stacks))))
    assert [row["name"] for row in table] == [row.name for row in stacks]
    assert len(stacks_json(stacks, View.MARGINAL, "note")["stacks"]) == len(stacks)


def test_energy_is_summed_call_by_call() -> None:
    """One call's joules were counted, the other's are by the power model."""
    row = BOX.hardware.model_copy(
        update={"usd_per_hour": None, "watts_busy": Decimal(40), "watts_idle": Decimal(20)}
    )
    bill = replace(BILL, box=replace(BOX, hardware=row))
    metered = call("a", 0, usage=Usage(call_s=60.0, llm_busy_s=2.0, energy_j=100.0))
    plain = call("b", 3, usage=Usage(call_s=60.0, llm_busy_s=2.0))
    found = [measure(calls, bill) for calls in ([metered], [plain], [metered, plain])]
    told = [(each.energy, each.joules) for each in found if each]
    # 20 W more on one of two lanes, for 2 s.
    assert told == [("measured", 100), ("modelled", 20), ("partly modelled", 120)]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "smollm2-135m-instruct (135 million parameters) answers here"),
        ({"models": {"llm": "qwen3-1.7b"}}, "qwen3-1.7b (1.7 billion parameters)"),
        ({"models": {"llm": "/models/own.gguf"}}, "/models/own.gguf answers here"),
        (
            {"llm": {"endpoint": "http://h/v1", "model": "big"}},
            "big answers, at an endpoint",
        ),
    ],
)
def test_what_dollars_leave_out_is_said(settings: dict[str, object], said: str) -> None:
    note = left_out(Config.model_validate(settings), BOX.hardware)
    assert said in note and "leaves out" not in note
    card = BOX.hardware.model_copy(update={"leaves_out": "the server"})
    assert "leaves out the server: owning costs at least" in left_out(Config(), card)
