"""The founding claims: each verdict follows from inputs, and turns when they do."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from agent.cost.bill import Bill
from agent.cost.claims import Checked, Facts, Verdict, check_claims
from agent.cost.measured import measure
from agent.cost.owned import Box
from agent.cost.price_book import PriceBook
from agent.cost.price_row import Hardware
from agent.records.record import CallRecord
from agent.usage import Usage

MEASURED = Usage(
    call_s=600.0,
    telephony_s=600.0,
    audio_in_s=250.0,
    audio_heard_s=200.0,
    turns=20,
    characters=3500,
    prompt_tokens=70000,
    cached_tokens=55000,
    generated_tokens=1500,
    stt_busy_s=10.0,
    llm_busy_s=20.0,
    tts_busy_s=10.0,
    gpu_s=20.0,
)
BOOK = PriceBook.load()
BOX = Box(
    name="box",
    hardware=Hardware(
        what="a box",
        usd_per_hour=Decimal("3.6"),
        lanes=2,
        source="test",
        as_of=date(2026, 6, 1),
    ),
    electricity=BOOK.electricity,
    colocation=BOOK.colocation,
    trunk=BOOK.prices["telnyx-sip-inbound"],
)
NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)


def facts_of(*usages: Usage, mean: str = "2", capacity: int | None = 8, box: Box = BOX) -> Facts:
    """Of a call for each usage, one after another."""
    calls = [
        CallRecord(
            str(number),
            NOON,
            "sip",
            "+15550001",
            "Joe",
            ended_at=NOON + timedelta(seconds=usage.call_s),
            usage=usage,
        )
        for number, usage in enumerate(usages)
    ]
    bill = Bill(BOOK, box, capacity_calls=capacity)
    return Facts(BOOK, box, measure(calls, bill, mean_calls=Decimal(mean)), capacity)


FACTS = facts_of(MEASURED)


def checked(facts: Facts) -> dict[str, Checked]:
    return {each.name: each for each in check_claims(facts)}


def with_price(name: str, usd: str | None) -> Facts:
    price = BOOK.prices[name].model_copy(update={"usd": None if usd is None else Decimal(usd)})
    return replace(FACTS, book=replace(BOOK, prices={**BOOK.prices, name: price}))


def test_every_claim_of_the_articles_has_its_formula_and_a_verdict() -> None:
    found = check_claims(FACTS)
    assert len(found) == 10
    for each in found:
        written = json.loads(json.dumps(each.to_json()))
        assert {"claim", "source", "formula", "inputs", "measured", "verdict"} <= set(written)
        assert each.why and each.formula
        assert (each.measured is None) == (each.verdict is Verdict.UNCHECKED)


def test_ratios_of_list_prices_turn_with_the_prices() -> None:
    found = checked(FACTS)
    # 0.0085 / 0.0032 and 0.04 / 0.003.
    assert found["sip-against-twilio"].measured == Decimal("2.65625")
    assert found["sip-against-twilio"].verdict is Verdict.HOLDS
    assert found["tts-against-elevenlabs"].verdict is Verdict.HOLDS
    dearer = checked(with_price("telnyx-sip-inbound", "0.0080"))["sip-against-twilio"]
    assert dearer.verdict is Verdict.FAILS
    unknown = checked(with_price("telnyx-sip-inbound", None))["sip-against-twilio"]
    assert unknown.verdict is Verdict.UNCHECKED and unknown.measured is None


def test_the_agents_price_turns_with_the_book() -> None:
    assert checked(FACTS)["agent-all-in"].measured == Decimal("0.05")
    assert checked(FACTS)["agent-all-in"].verdict is Verdict.HOLDS
    assert checked(with_price("telnyx-voice-ai", "0.09"))["agent-all-in"].verdict is Verdict.FAILS


def test_the_model_on_an_owned_box_by_hand() -> None:
    """3.60 an hour by 8 calls: 600 s cost 0.075, of which the model did half the work."""
    found = checked(FACTS)["llm-on-owned-gpus"]
    assert found.measured == Decimal("0.00375") and found.verdict is Verdict.HOLDS
    alone = checked(facts_of(MEASURED, capacity=1))["llm-on-owned-gpus"]
    assert alone.measured == Decimal("0.03") and alone.verdict is Verdict.FAILS
    no_gpu = checked(facts_of(replace(MEASURED, gpu_s=0.0)))["llm-on-owned-gpus"]
    assert no_gpu.measured == found.measured and no_gpu.verdict is Verdict.UNCHECKED
    assert "no GPU" in no_gpu.why
    unmeasured = checked(facts_of(MEASURED, capacity=None))["llm-on-owned-gpus"]
    assert unmeasured.verdict is Verdict.UNCHECKED and "bench capacity" in unmeasured.why


def test_owning_wins_or_loses_by_how_busy_the_box_is() -> None:
    busy = checked(facts_of(MEASURED, mean="8"))["own-or-be-eaten"]
    idle = checked(facts_of(MEASURED, mean="0.1"))["own-or-be-eaten"]
    assert busy.verdict is Verdict.HOLDS and idle.verdict is Verdict.FAILS
    assert "cheaper than 0 of" in idle.why
    nothing = checked(replace(FACTS, measured=None))
    assert nothing["own-or-be-eaten"].verdict is Verdict.UNCHECKED
    assert nothing["open-against-closed"].verdict is Verdict.UNCHECKED


def test_training_makes_the_share_of_inference_checkable() -> None:
    assert checked(FACTS)["inference-share"].verdict is Verdict.UNCHECKED
    unpriced = checked(replace(FACTS, training_usd=Decimal(10)))["inference-share"]
    assert unpriced.verdict is Verdict.UNCHECKED and "not known" in unpriced.why
    spent = replace(FACTS, training_usd=Decimal(10), inference_usd=Decimal(90))
    assert checked(spent)["inference-share"].measured == Decimal("0.9")
    assert checked(spent)["inference-share"].verdict is Verdict.HOLDS
    trained = replace(spent, training_usd=Decimal(90))
    assert checked(trained)["inference-share"].verdict is Verdict.FAILS


def test_another_figure_is_another_verdict(tmp_path: Path) -> None:
    claims = {
        "sip-against-twilio": {"claim": "five times", "source": "somebody", "figure": "5"},
    }
    (found,) = check_claims(FACTS, claims)
    assert found.verdict is Verdict.FAILS and found.inputs["figure"] == 5


def test_open_models_against_closed_ones_turn_with_what_they_charge() -> None:
    now = checked(FACTS)["open-against-closed"]
    assert now.measured is not None and now.verdict is Verdict.FAILS
    closed = BOOK.prices["gpt-4.1"]
    dear = {
        name: closed for name in ("claude-haiku-4.5", "gemini-2.5-flash")
    }  # the cheap ones are gone
    book = replace(BOOK, prices={**BOOK.prices, **dear})
    turned = checked(replace(FACTS, book=book))["open-against-closed"]
    assert turned.measured is not None and turned.measured > now.measured
    assert turned.verdict is Verdict.HOLDS


def test_synthesis_turns_with_its_price() -> None:
    assert checked(with_price("telnyx-tts", "0.02"))["tts-against-elevenlabs"].verdict is (
        Verdict.FAILS
    )


def test_what_no_box_can_measure_is_taken_from_whoever_knows() -> None:
    # 71,500 tokens in 20 turns are 3,575 a turn.
    name = "agentic_tokens_per_turn"
    assert checked(FACTS)["agentic-tokens"].verdict is Verdict.UNCHECKED
    for given, verdict in (("35750", Verdict.HOLDS), ("3575", Verdict.FAILS)):
        found = checked(replace(FACTS, given={name: Decimal(given)}))["agentic-tokens"]
        assert found.verdict is verdict and found.measured == Decimal(given) / 3575
    # 10 minutes cost 0.075 on a full box: 133 minutes a dollar.
    key = "minutes_per_usd_a_year_ago"
    for given, verdict in (("100", Verdict.HOLDS), ("120", Verdict.FAILS)):
        found = checked(replace(FACTS, given={key: Decimal(given)}))["hardware-price-performance"]
        assert found.verdict is verdict
    unmeasured = replace(facts_of(MEASURED, capacity=None), given={key: Decimal(100)})
    assert checked(unmeasured)["hardware-price-performance"].verdict is Verdict.UNCHECKED
    # 20 turns for 400 joules.
    metered = facts_of(replace(MEASURED, energy_j=400.0))
    key = "turns_per_joule_a_year_ago"
    assert checked(metered)["energy-efficiency"].verdict is Verdict.UNCHECKED
    for given, verdict in (("0.03", Verdict.HOLDS), ("0.04", Verdict.FAILS)):
        found = checked(replace(metered, given={key: Decimal(given)}))["energy-efficiency"]
        assert found.verdict is verdict


def test_the_agents_price_stands_beside_this_boxs() -> None:
    found = checked(FACTS)["agent-all-in"]
    # 3.60 an hour by two calls, and the trunk.
    assert found.inputs["this_box_usd_per_min"] == Decimal("0.0332")
    assert "this box: 0.0332" in found.why


def test_each_call_is_billed_by_itself() -> None:
    """Three calls of 20 s are three minutes to Twilio, and none reads another's words again."""
    usage = Usage(call_s=20.0, telephony_s=20.0, audio_in_s=10.0, audio_heard_s=10.0, turns=1)
    facts = facts_of(usage, usage, usage, mean="0.2")
    name = "OpenAI Realtime, Twilio"
    assert facts.measured is not None
    only = replace(facts.measured, rented={name: facts.measured.rented[name]})
    found = checked(replace(facts, measured=only))["own-or-be-eaten"]
    # 100 tokens heard at 32 a million and 200 said at 64, in each.
    assert found.inputs["cheapest_rented_usd"] == 3 * (Decimal("0.0085") + Decimal("0.016"))
    # 3.60 an hour by 0.2 calls for a minute, and the trunk.
    assert found.inputs["owned_usd"] == pytest.approx(Decimal("0.3") + Decimal("0.0032"))


def test_joules_are_counted_call_by_call() -> None:
    """One call's were counted and the other's are by the power model: 20 W for 40 s of work."""
    row = BOX.hardware.model_copy(update={"watts_busy": Decimal(40)})
    facts = facts_of(replace(MEASURED, energy_j=400.0), MEASURED, box=replace(BOX, hardware=row))
    found = checked(facts)["energy-efficiency"]
    assert found.inputs["turns_per_joule"] == Decimal(40) / 1200
