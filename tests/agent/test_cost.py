"""Dollars: the lines sum exactly, and an unknown price makes an unknown total."""

import json
import logging
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.config import Config, ConfigError, CostConfig
from agent.cost.bill import Bill
from agent.cost.breakdown import CostBreakdown
from agent.cost.owned import owned_cost
from agent.cost.rates import SHIPPED, Rates, load_rates
from agent.cost.rented import rented_costs
from agent.usage import Usage

A_MINUTE = Usage(
    call_s=60.0,
    characters=350,
    prompt_tokens=7000,
    cached_tokens=5500,
    generated_tokens=150,
    vad_busy_s=0.2,
    turn_busy_s=0.1,
    stt_busy_s=0.3,
    llm_busy_s=1.0,
    tts_busy_s=0.5,
)

SHIPPED_RATES = load_rates()

RATES = """
[electricity]
usd_per_kwh = "0.10"
source = "test"
as_of = "2026-01-01"
[hardware.box]
what = "a box"
usd_per_hour = "3.6"
watts_idle = "0"
watts_busy = "72"
lanes = 2
source = "test"
as_of = "2026-06-01"
[price.line]
vendor = "V"
what = "line"
unit = "call_min"
usd = "0.01"
source = "test"
as_of = "2026-06-01"
[price.voice]
vendor = "V"
what = "voice"
unit = "kchar"
source = "test"
as_of = "2026-06-01"
[stack.known]
telephony = ["line"]
[stack.unknown]
telephony = ["line"]
tts = ["voice"]
"""


@pytest.fixture
def rates(tmp_path: Path) -> Rates:
    (tmp_path / "rates.toml").write_text(RATES)
    return load_rates(tmp_path / "rates.toml", "box")


_SECONDS = st.floats(0, 1e5, allow_nan=False)
_COUNTS = st.integers(0, 10**7)
_USAGES = st.builds(
    Usage,
    call_s=_SECONDS,
    characters=_COUNTS,
    prompt_tokens=_COUNTS,
    generated_tokens=_COUNTS,
    vad_busy_s=_SECONDS,
    turn_busy_s=_SECONDS,
    stt_busy_s=_SECONDS,
    llm_busy_s=_SECONDS,
    tts_busy_s=_SECONDS,
)


def test_the_box_is_paid_by_its_share_of_time(rates: Rates) -> None:
    alone, shared = owned_cost(A_MINUTE, rates), owned_cost(A_MINUTE, rates, 4)
    # 3.60 an hour is 0.06 a minute and 0.0005 an engine-second on each of two lanes.
    assert alone.lines_usd["llm"] == Decimal("0.0005")
    assert alone.lines_usd["turn_taking"] == Decimal("0.00015")
    assert sum(u for k, u in alone.lines_usd.items() if u and k != "energy") == Decimal("0.06")
    assert sum(u for k, u in shared.lines_usd.items() if u and k != "energy") == Decimal("0.015")
    # 36 W more for each busy lane, 2.1 s, at 0.10 a kWh.
    assert alone.lines_usd["energy"] == Decimal("0.0000021")
    assert alone.usd_per_min(60.0) == alone.total_usd
    assert "4 calls" in shared.view and alone.view != shared.view


def test_a_turn_pays_for_its_work_alone(rates: Rates) -> None:
    cost = owned_cost(Usage(llm_busy_s=1.0), rates)
    assert cost.lines_usd["idle"] == 0
    assert cost.total_usd == Decimal("0.0005") + Decimal("0.000001")
    assert cost.usd_per_min(0.0) is None


def test_nobody_shares_a_box_with_no_call(rates: Rates) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        owned_cost(A_MINUTE, rates, 0)


@settings(deadline=None)
@given(_USAGES, st.integers(1, 100))
def test_lines_sum_to_the_total_and_none_is_negative(usage: Usage, calls: int) -> None:
    shipped = SHIPPED_RATES
    bills = [owned_cost(usage, shipped, calls), *(s.cost for s in rented_costs(usage, shipped))]
    for bill in bills:
        lines = list(bill.lines_usd.values())
        assert all(usd is not None and usd >= 0 for usd in lines)
        assert bill.total_usd == sum(usd for usd in lines if usd is not None)


@settings(deadline=None)
@given(_USAGES, st.integers(1, 100))
def test_more_usage_never_costs_less(usage: Usage, calls: int) -> None:
    shipped = SHIPPED_RATES
    more = usage + A_MINUTE
    before, after = owned_cost(usage, shipped, calls), owned_cost(more, shipped, calls)
    assert before.total_usd is not None and after.total_usd is not None
    assert after.total_usd > before.total_usd


def test_an_unknown_price_makes_an_unknown_total(rates: Rates) -> None:
    known, unknown = rented_costs(A_MINUTE, rates)
    assert known.cost.total_usd == Decimal("0.01")
    assert unknown.cost.lines_usd == {"telephony": Decimal("0.01"), "tts": None}
    assert unknown.cost.total_usd is None and unknown.cost.usd_per_min(60.0) is None


def test_a_box_without_a_price_has_no_cost(tmp_path: Path) -> None:
    file = tmp_path / "rates.toml"
    file.write_text(RATES.replace('usd_per_hour = "3.6"', 'purchase_usd = "100"'))
    cost = owned_cost(A_MINUTE, load_rates(file, "box"))
    assert cost.total_usd is None and cost.lines_usd["idle"] is None


def test_a_minute_on_the_assembled_stack() -> None:
    """0.0085 + 0.0077 + (1500 x 2 + 5500 x 0.5 + 150 x 8) / 1e6 + 0.35 x 0.04 + 0.05."""
    costs = {each.stack: each.cost for each in rented_costs(A_MINUTE, load_rates())}
    assert costs["Vapi, Twilio, Deepgram, GPT-4.1, ElevenLabs"].total_usd == Decimal("0.08715")
    assert costs["Retell, lowest tiers"].total_usd == Decimal("0.0978")
    # Without a price for cached tokens they are charged as input.
    assert costs["Telnyx Voice AI, Llama 3.1 8B"].lines_usd["llm"] == Decimal("0.001287")


def test_every_shipped_row_has_its_source() -> None:
    rates = load_rates()
    for row in (*rates.prices.values(), rates.hardware, rates.electricity):
        assert row.source and row.as_of <= date(2026, 11, 30)
    assert all(price.usd for price in rates.prices.values())
    assert "purchase_usd" in rates.hardware.assumed


def test_old_rows_are_named(rates: Rates) -> None:
    assert rates.warnings(date(2026, 6, 30)) == []
    assert rates.warnings(date(2026, 7, 1)) == ["electricity is of 2026-01-01, 181 days old"]
    assert len(rates.warnings(date(2027, 1, 1))) == 4
    assert rates.as_of == date(2026, 1, 1)


def test_overrides_win_over_the_row() -> None:
    rates = load_rates(hardware="runpod-h200", usd_per_hour=Decimal(1), usd_per_kwh=Decimal(2))
    assert rates.hardware.box_usd_per_hour == 1
    assert rates.electricity.usd_per_kwh == 2


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('unit = "call_min"', 'unit = "call"', "price.line.unit"),
        ('usd = "0.01"', 'usd = "-1"', "price.line.usd"),
        ('usd = "0.01"', 'used = "1"', "price.line.used"),
        ('["line"]', '["lime"]', "'known': no price named 'lime'; did you mean 'line'?"),
        ("[electricity]", "[electricity", "not valid TOML"),
        ("[hardware.box]", "[hardware.bux]", "no row named 'box'; did you mean 'bux'?"),
    ],
)
def test_a_mistake_in_the_rate_file_is_named(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    file = tmp_path / "my-rates.toml"
    file.write_text(RATES.replace(old, new, 1))
    with pytest.raises(ConfigError) as raised:
        load_rates(file, "box")
    assert str(file) in str(raised.value) and message in str(raised.value)


def test_a_missing_rate_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none.toml: the rate file cannot be read"):
        load_rates(tmp_path / "none.toml")
    assert SHIPPED.is_file()


def test_the_bill_for_the_page(caplog: pytest.LogCaptureFixture) -> None:
    config = Config(cost=CostConfig(usd_per_hour=Decimal("3.6"), watts_idle=Decimal(0)))
    with caplog.at_level(logging.WARNING):
        bill = Bill.load(config, today=date(2030, 1, 1))
    assert "days old" in caplog.text and len(caplog.records) == 1
    shown = json.loads(json.dumps(bill.to_json(A_MINUTE)))
    assert shown["call_s"] == 60.0
    assert shown["owned"]["total_usd"] == pytest.approx(0.06, rel=0.01)
    assert set(shown["owned"]["lines"]) == {"turn_taking", "stt", "llm", "tts", "idle", "energy"}
    assert [each["stack"] for each in shown["rented"]] == list(bill.rented_usd(A_MINUTE))
    assert date.fromisoformat(shown["as_of"])
    assert bill.owned_usd(A_MINUTE) == owned_cost(A_MINUTE, bill.rates).total_usd


def test_unknown_is_null_on_the_page(rates: Rates) -> None:
    shown = Bill(rates).to_json(A_MINUTE)["rented"][1]
    assert shown["total_usd"] is None and shown["lines"]["tts"] is None


def test_a_bill_without_lines_is_free() -> None:
    assert CostBreakdown({}, "").total_usd == 0
