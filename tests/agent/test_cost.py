"""Dollars: the lines sum exactly, and an unknown price makes an unknown total."""

import json
import logging
from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.config import Config, ConfigError, CostConfig
from agent.cost.bill import Bill
from agent.cost.breakdown import CostBreakdown, in_steps, shown_in_steps
from agent.cost.owned import LINES, MARGINAL, Box, Share, View, owned_cost
from agent.cost.price_book import PriceBook
from agent.cost.price_row import Colocation, Electricity, Hardware, Price
from agent.cost.rented import price_usd, rented_costs
from agent.cost.utilisation import Utilisation
from agent.usage import Usage

A_MINUTE = Usage(
    call_s=60.0,
    telephony_s=60.0,
    characters=350,
    prompt_tokens=7000,
    cached_tokens=5500,
    generated_tokens=150,
    vad_busy_s=0.2,
    turn_busy_s=0.1,
    stt_busy_s=0.3,
    llm_busy_s=1.0,
    tts_busy_s=0.5,
    llm_wasted_s=0.25,
)
READ = {"source": "test", "as_of": date(2026, 6, 1)}
TRUNK = Price(vendor="V", what="line", unit="telephony_min", usd=Decimal("0.003"), **READ)
BOX = Box(
    name="box",
    hardware=Hardware(
        what="a box",
        purchase_usd=Decimal("35040"),
        years=Decimal(1),
        operations_usd_per_month=Decimal(73),
        watts_idle=Decimal(0),
        watts_busy=Decimal(72),
        lanes=2,
        **READ,
    ),
    electricity=Electricity(usd_per_kwh=Decimal("0.10"), **READ),
    colocation=Colocation(usd_per_kw_month=Decimal(200), **READ),
    trunk=TRUNK,
)
"""4.00 an hour for the machine and 0.10 for whoever looks after it."""
SHIPPED = PriceBook.load()

_SECONDS = st.floats(0, 1e5, allow_nan=False)
_COUNTS = st.integers(0, 10**7)
_USAGES = st.builds(
    Usage,
    call_s=_SECONDS,
    telephony_s=_SECONDS,
    characters=_COUNTS,
    prompt_tokens=_COUNTS,
    generated_tokens=_COUNTS,
    vad_busy_s=_SECONDS,
    turn_busy_s=_SECONDS,
    stt_busy_s=_SECONDS,
    llm_busy_s=_SECONDS,
    tts_busy_s=_SECONDS,
    stt_wasted_s=_SECONDS,
    energy_j=_SECONDS,
)


def at(view: View, calls: int | str) -> Share:
    return Share(view, Decimal(calls))


def test_the_marginal_view_is_energy_and_the_trunk() -> None:
    cost = owned_cost(A_MINUTE, BOX)
    # 36 W more for each busy lane, 2.1 s, at 0.10 a kWh.
    energy = Decimal("75.6") / 3_600_000 * Decimal("0.10")
    lines = cost.lines_usd
    assert lines["trunk"] == Decimal("0.003") and lines["idle"] == 0
    assert sum(lines[n] or 0 for n in LINES if n != "trunk") == pytest.approx(energy)
    # A quarter of the model's second was thrown away.
    assert lines["discarded"] == pytest.approx(energy * Decimal("0.25") / Decimal("2.1"))
    assert list(lines) == list(LINES) and cost.view == "marginal"


def test_a_shared_box_is_paid_by_its_share_of_time() -> None:
    alone = owned_cost(A_MINUTE, BOX, at(View.UTILISATION, 1))
    shared = owned_cost(A_MINUTE, BOX, at(View.CAPACITY, 4))
    marginal = owned_cost(A_MINUTE, BOX).total_usd
    assert alone.total_usd is not None and shared.total_usd is not None and marginal is not None
    # 4.10 an hour, for a minute.
    per_minute = Decimal("4.10") / 60
    assert alone.total_usd - marginal == pytest.approx(per_minute)
    assert shared.total_usd - marginal == pytest.approx(per_minute / 4)
    # An engine-second on one of two lanes.
    lane_second = Decimal("4.10") / 3600 / 2
    extra = owned_cost(A_MINUTE, BOX).lines_usd["stt"]
    assert extra is not None
    assert alone.lines_usd["stt"] == pytest.approx(lane_second * Decimal("0.3") + extra)
    idle = per_minute - lane_second * Decimal("2.1")
    assert alone.lines_usd["idle"] == pytest.approx(idle)
    assert (alone.view, shared.view) == ("at measured utilisation", "at capacity")


def test_a_mostly_empty_box_makes_its_calls_dear() -> None:
    """One call in ten hours pays for ten hours."""
    rare = owned_cost(A_MINUTE, BOX, at(View.UTILISATION, "0.1"))
    alone = owned_cost(A_MINUTE, BOX, at(View.UTILISATION, 1))
    idle, one = rare.lines_usd["idle"], alone.lines_usd["idle"]
    assert idle is not None and one is not None
    assert idle - one == pytest.approx(9 * Decimal("4.10") / 60)


def test_a_colocated_box_pays_for_its_place_and_a_rented_one_for_no_energy() -> None:
    placed = replace(BOX, hardware=BOX.hardware.model_copy(update={"colocated": True}))
    # 72 W of the 200 dollars a kilowatt-month.
    assert placed.fixed_lines_usd_per_hour["place"] == Decimal("14.4") / 730
    rented = BOX.hardware.model_copy(update={"usd_per_hour": Decimal("0.74")})
    cost = owned_cost(A_MINUTE, replace(BOX, hardware=rented))
    assert sum(cost.lines_usd[n] or 0 for n in LINES if n != "trunk") == 0


def test_measured_joules_count_in_place_of_the_model() -> None:
    measured = owned_cost(replace(A_MINUTE, energy_j=3600.0, telephony_s=0.0), BOX)
    assert measured.total_usd == pytest.approx(Decimal("0.0001"))


def test_a_turn_pays_for_its_work_alone() -> None:
    cost = owned_cost(Usage(llm_busy_s=1.0), BOX, at(View.CAPACITY, 1))
    assert cost.lines_usd["idle"] == 0 and cost.usd_per_min(0.0) is None
    lane_second = Decimal("4.10") / 3600 / 2
    assert cost.total_usd == pytest.approx(lane_second + Decimal("0.000001"))


def test_nobody_shares_a_box_with_no_call() -> None:
    with pytest.raises(ValueError, match="over 0"):
        owned_cost(A_MINUTE, BOX, at(View.CAPACITY, 0))


@settings(deadline=None)
@given(_USAGES, st.integers(1, 100))
def test_lines_sum_to_the_total_and_none_is_negative(usage: Usage, calls: int) -> None:
    bills = [
        owned_cost(usage, BOX),
        owned_cost(usage, BOX, at(View.UTILISATION, calls)),
        *(each.cost for each in rented_costs(usage, SHIPPED)),
    ]
    for bill in bills:
        lines = list(bill.lines_usd.values())
        assert all(usd is not None and usd >= 0 for usd in lines)
        assert bill.total_usd == sum(usd for usd in lines if usd is not None)


@settings(deadline=None)
@given(_USAGES, st.decimals("0.01", 200, places=2), st.decimals("0.01", 200, places=2))
def test_more_utilisation_never_raises_the_cost(usage: Usage, one: Decimal, other: Decimal) -> None:
    few, many = sorted((one, other))
    dear = owned_cost(usage, BOX, Share(View.UTILISATION, few)).total_usd
    cheap = owned_cost(usage, BOX, Share(View.UTILISATION, many)).total_usd
    assert dear is not None and cheap is not None and cheap <= dear


@settings(deadline=None)
@given(_USAGES, st.integers(1, 100))
def test_more_usage_never_costs_less(usage: Usage, calls: int) -> None:
    share = at(View.CAPACITY, calls)
    modelled = replace(usage, energy_j=0.0)
    before, after = owned_cost(modelled, BOX, share), owned_cost(modelled + A_MINUTE, BOX, share)
    assert before.total_usd is not None and after.total_usd is not None
    assert after.total_usd > before.total_usd


@given(
    st.dictionaries(st.text(max_size=3), st.decimals(0, 10, places=7, allow_nan=False), max_size=8)
)
def test_rounded_lines_sum_to_the_rounded_total(lines: dict[str, Decimal]) -> None:
    cents = in_steps(lines)
    assert set(cents) == set(lines)
    assert sum(cents.values()) == sum(lines.values(), Decimal(0)).quantize(Decimal("0.01"))
    for name, usd in lines.items():
        assert abs(cents[name] - usd) <= Decimal("0.01")
        assert cents[name] == cents[name].quantize(Decimal("0.01"))


def test_a_box_without_a_price_has_an_unknown_share_of_it() -> None:
    row = BOX.hardware.model_copy(update={"purchase_usd": None})
    box = replace(BOX, hardware=row)
    cost = owned_cost(A_MINUTE, box, at(View.CAPACITY, 1))
    assert cost.total_usd is None and cost.lines_usd["idle"] is None
    assert owned_cost(A_MINUTE, box).total_usd is not None
    no_trunk = owned_cost(A_MINUTE, replace(BOX, trunk=None))
    assert no_trunk.total_usd is None and no_trunk.lines_usd["trunk"] is None


def test_a_browser_has_no_telephone_bill() -> None:
    browser = replace(A_MINUTE, telephony_s=0.0)
    assert owned_cost(browser, replace(BOX, trunk=None)).lines_usd["trunk"] == 0
    costs = {each.stack: each.cost for each in rented_costs(browser, SHIPPED)}
    assert costs["Vapi, Twilio, Deepgram, GPT-4.1, ElevenLabs"].lines_usd["telephony"] == 0


def test_a_call_that_the_box_placed_is_rented_at_the_price_of_placing_it() -> None:
    """Two minutes begun at 0.0140; nobody's price of it is known for Retell."""
    dialled = replace(A_MINUTE, call_s=61.0, telephony_s=61.0, dialled_s=61.0)
    costs = {each.stack: each.cost for each in rented_costs(dialled, SHIPPED)}
    twilio = costs["Vapi, Twilio, Deepgram, GPT-4.1, ElevenLabs"]
    assert twilio.lines_usd["telephony"] == Decimal("0.0280")
    assert costs["Retell, lowest tiers"].total_usd is None
    both = price_usd(dialled + A_MINUTE, SHIPPED.prices["telnyx-sip-inbound"])
    assert both == Decimal("0.0032") + Decimal("0.005") * (Decimal(61) / 60)


def test_a_minute_on_the_assembled_stack() -> None:
    """0.0085 + 0.0077 + (1500 x 2 + 5500 x 0.5 + 150 x 8) / 1e6 + 0.35 x 0.04 + 0.05."""
    costs = {each.stack: each.cost for each in rented_costs(A_MINUTE, SHIPPED)}
    assert costs["Vapi, Twilio, Deepgram, GPT-4.1, ElevenLabs"].total_usd == Decimal("0.08715")
    assert costs["Retell, lowest tiers"].total_usd == Decimal("0.0978")
    assert costs["Founding article: bundled agent"].total_usd == Decimal("0.1082")
    # Without a price for cached tokens they are charged as input: 7,150 tokens at 0.18.
    assert costs["Telnyx Voice AI, Llama 3.1 8B"].lines_usd["llm"] == Decimal("0.001287")


def test_the_cheapest_parts_are_the_cheapest_of_the_book() -> None:
    stack = SHIPPED.stacks["Cheapest parts"]
    units = {"telephony": "telephony_min", "stt": "audio_min", "llm": "tokens", "tts": "kchar"}
    for part, unit in units.items():
        alike = [price for price in SHIPPED.prices.values() if price.unit == unit]
        costs = [usd for price in alike if (usd := price_usd(A_MINUTE, price)) is not None]
        (name,) = stack[part]
        assert price_usd(A_MINUTE, SHIPPED.prices[name]) == min(costs), part


def test_speech_to_speech_reads_the_conversation_again() -> None:
    """30 s in (300 tokens at 32 a million) and 20 s out (400 at 64), and in each of two turns
    half of these 700 from the cache (350 at 0.4)."""
    usage = Usage(audio_in_s=30.0, audio_heard_s=20.0, turns=2)
    price = SHIPPED.prices["gpt-realtime"]
    assert price_usd(usage, price) == Decimal("0.03534")
    assert price_usd(Usage(), price) == 0


@pytest.mark.parametrize(
    ("rules", "call_s", "minutes"),
    [
        ({}, "61", Decimal(61) / 60),
        ({"round_up_s": 60}, "61", 2),
        ({"round_up_s": 60}, "60", 1),
        ({"round_up_s": 60}, "0", 0),
        ({"minimum_s": 30}, "6", Decimal("0.5")),
        ({"minimum_s": 30, "round_up_s": 60}, "6", 1),
        ({"channels": 2}, "60", 2),
    ],
)
def test_vendors_bill_by_their_own_rules(
    rules: dict[str, int], call_s: str, minutes: Decimal
) -> None:
    price = Price(vendor="V", what="w", unit="call_min", usd=Decimal(1), **rules, **READ)
    assert price.billed_min(Decimal(call_s)) == minutes
    usd = price_usd(Usage(call_s=float(call_s)), price)
    assert usd == pytest.approx(minutes)


def test_a_price_of_each_unit() -> None:
    usage = replace(A_MINUTE, audio_heard_s=30.0)
    quantities = {
        "call_min": 1,
        "telephony_min": 1,
        "audio_min": 1,
        "speech_min": Decimal("0.5"),
        "kchar": Decimal("0.35"),
        "mtok_in": Decimal("0.007"),
        "mtok_cached": 0,
        "mtok_out": Decimal("0.00015"),
    }
    for unit, quantity in quantities.items():
        price = Price(vendor="V", what="w", unit=unit, usd=Decimal(10), **READ)
        assert price_usd(usage, price) == 10 * quantity
        assert price_usd(usage, price.model_copy(update={"usd": None})) is None
    cached = Price(vendor="V", what="w", unit="mtok_in", usd=Decimal(10), **READ)
    assert price_usd(usage, cached, cached_apart=True) == Decimal("0.015")


def test_bills_add_up_line_by_line_and_stay_unknown() -> None:
    one = CostBreakdown({"a": Decimal(1), "b": Decimal(2)}, "v")
    other = CostBreakdown({"a": Decimal(3), "c": None}, "v")
    both = one + other
    assert dict(both.lines_usd) == {"a": Decimal(4), "b": Decimal(2), "c": None}
    assert both.total_usd is None and CostBreakdown({}, "").total_usd == 0


def test_the_mean_of_calls_counts_the_empty_hours() -> None:
    box = Utilisation(0.0)
    assert box.mean_calls(3600.0) is None
    box.began(3600.0)
    box.began(3600.0)
    box.over(5400.0)
    # Two calls for half an hour, then one for half an hour, in two hours.
    assert box.mean_calls(7200.0) == Decimal("0.75")
    young = Utilisation(0.0)
    young.began(1.0)
    assert young.mean_calls(30.0) is None


def test_the_bill_for_the_page(caplog: pytest.LogCaptureFixture) -> None:
    config = Config(cost=CostConfig(usd_per_hour=Decimal("3.6"), watts_idle=Decimal(0)))
    with caplog.at_level(logging.WARNING):
        bill = Bill.load(config, today=date(2030, 1, 1))
    assert "days old" in caplog.text and len(caplog.records) == 1
    shown = json.loads(json.dumps(bill.to_json(A_MINUTE)))
    assert shown["call_s"] == 60.0
    owned = shown["owned"]
    assert owned["total_usd"] == pytest.approx(0.06 + 0.0032, rel=0.01)
    assert owned["view"] == "as the only call of the box" and owned["energy"] == "modelled"
    assert set(owned["lines"]) == set(LINES)
    views = {each["view"]: each for each in owned["views"]}
    assert list(views) == ["marginal", "at measured utilisation", "at capacity"]
    assert views["marginal"]["total_usd"] == pytest.approx(0.0032)
    assert views["at measured utilisation"]["total_usd"] is None
    assert [each["stack"] for each in shown["rented"]] == list(bill.rented_usd(A_MINUTE))
    assert date.fromisoformat(shown["as_of"])
    assert float(bill.owned_usd(A_MINUTE) or 0) == pytest.approx(owned["total_usd"])


def test_the_bill_of_a_box_that_has_been_busy() -> None:
    bill = Bill(SHIPPED, BOX, capacity_calls=8, utilisation=Utilisation(0.0), now_s=lambda: 7200.0)
    bill.utilisation.began(3600.0)
    shares = bill.shares()
    assert shares[View.UTILISATION] == at(View.UTILISATION, "0.5")
    assert shares[View.CAPACITY] == at(View.CAPACITY, 8) and shares[View.MARGINAL] == MARGINAL
    shown = bill.to_json(A_MINUTE)["owned"]
    assert shown["view"] == "at measured utilisation"
    assert [each["calls"] for each in shown["views"]] == [None, 0.5, 8.0]


def test_workers_share_what_the_box_costs() -> None:
    """Four workers with half a call each: two calls pay for the box, not four times half a call."""
    bill = Bill(SHIPPED, BOX, processes=4, utilisation=Utilisation(0.0), now_s=lambda: 7200.0)
    bill.utilisation.began(3600.0)
    assert bill.shares()[View.UTILISATION] == at(View.UTILISATION, 2)
    assert bill.shares(Decimal(3))[View.UTILISATION] == at(View.UTILISATION, 3)
    worker = Config.model_validate({"workers": {"shared_by": 4}})
    assert (Bill.load(worker).processes, Bill.load(Config()).processes) == (4, 1)


def test_a_call_that_the_box_places_pays_its_own_line() -> None:
    dear = TRUNK.model_copy(update={"usd": Decimal("0.5")})
    bill = Bill(SHIPPED, BOX, outbound_trunk=dear)
    inbound, outbound = bill.owned(A_MINUTE), bill.owned(A_MINUTE, outbound=True)
    costs = [each[View.MARGINAL] for each in (inbound, outbound)]
    assert [cost.lines_usd["trunk"] for cost in costs if cost] == [Decimal("0.003"), Decimal("0.5")]


@settings(deadline=None)
@given(_USAGES, st.integers(1, 100))
def test_a_bill_adds_up_to_the_cent_as_it_is_shown(usage: Usage, calls: int) -> None:
    cent = Decimal("0.01")
    bills = [
        owned_cost(usage, BOX, at(View.CAPACITY, calls)),
        *(each.cost for each in rented_costs(usage, SHIPPED)),
    ]
    for bill in bills:
        total = bill.total_usd
        shown = list(shown_in_steps(bill.lines_usd, cent).values())
        assert total is not None and None not in shown
        assert sum(usd for usd in shown if usd is not None) == total.quantize(cent)


def test_lines_beside_an_unknown_one_are_rounded_by_themselves() -> None:
    lines = {"a": Decimal("0.016"), "b": None, "c": Decimal("0.026")}
    shown = shown_in_steps(lines, Decimal("0.01"))
    assert shown == {"a": Decimal("0.02"), "b": None, "c": Decimal("0.03")}


ELSEWHERE = {"endpoint": "https://models.example/v1", "model": "big"}


def test_a_language_model_elsewhere_is_charged_for_or_not_known() -> None:
    """1,500 x 2 + 5,500 x 0.5 + 150 x 8, by the million, beside the box's own work."""
    own = Bill.load(Config()).owned(A_MINUTE)[View.MARGINAL]
    unknown = Bill.load(Config.model_validate({"llm": ELSEWHERE}))
    cost = unknown.owned(A_MINUTE)[View.MARGINAL]
    assert own is not None and cost is not None
    assert cost.lines_usd["llm"] is None and cost.total_usd is None
    assert unknown.work_usd(A_MINUTE) is None
    priced = {"llm": ELSEWHERE, "cost": {"llm_endpoint": "gpt-4.1"}}
    cost = Bill.load(Config.model_validate(priced)).owned(A_MINUTE)[View.MARGINAL]
    assert cost is not None and own.lines_usd["llm"] is not None
    assert cost.lines_usd["llm"] == own.lines_usd["llm"] + Decimal("0.00695")
    # One on this machine is the box's own work, and its busy seconds tell.
    here = {"llm": {**ELSEWHERE, "endpoint": "http://127.0.0.1:8080/v1"}}
    assert Bill.load(Config.model_validate(here)).owned(A_MINUTE)[View.MARGINAL] == own
    with pytest.raises(ConfigError, match=r"`llm_endpoint` in \[cost\]: no price named 'none'"):
        Bill.load(Config.model_validate({**priced, "cost": {"llm_endpoint": "none"}}))
