"""What each assumption does to the break-even, what other hardware would need, and the advice."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.cost.break_even import OwnedBox, Verdict, break_even
from agent.cost.break_even_tables import traffic_sentence
from agent.cost.chart import draw, spread
from agent.cost.erlang import Traffic
from agent.cost.owned import Box
from agent.cost.price_row import Colocation, Electricity, Hardware
from agent.cost.recommendation import recommendation
from agent.cost.scenario import Scenario, Swing, sensitivity

READ = {"source": "test", "as_of": date(2026, 6, 1)}
BOUGHT = Scenario(
    Box(
        "a box",
        Hardware(
            what="a box",
            purchase_usd=Decimal(35_040),
            years=Decimal(4),
            colocated=True,
            watts_idle=Decimal(100),
            watts_busy=Decimal(1000),
            lanes=1,
            **READ,
        ),
        Electricity(usd_per_kwh=Decimal("0.10"), **READ),
        Colocation(usd_per_kw_month=Decimal(73), **READ),
    ),
    joules_per_min=Decimal(36_000),
    paid_usd_per_min=Decimal("0.002"),
    concurrent_calls=Decimal(10),
)
"""1.00 an hour for the machine, 0.10 for its place, 0.01 for its idle draw; a minute: 0.003."""
RENTED = replace(
    BOUGHT,
    box=replace(
        BOUGHT.box, hardware=Hardware(what="by the hour", usd_per_hour=Decimal(1), lanes=1, **READ)
    ),
)


def swings_of(scenario: Scenario, rate: str) -> dict[str, Swing]:
    return {each.assumption: each for each in sensitivity(scenario, "rented", Decimal(rate))}


def test_a_scenario_in_dollars_by_hand() -> None:
    owned = BOUGHT.owned
    assert owned.fixed_usd_per_month == Decimal("1.11") * 730
    assert owned.marginal_usd_per_min == Decimal("0.003")
    assert RENTED.owned.fixed_usd_per_month == 730
    assert RENTED.owned.marginal_usd_per_min == Decimal("0.002")


def test_each_assumption_alone_by_hand() -> None:
    # 810.30 / (0.084 - 0.003) = 10,003.7 minutes now.
    found = swings_of(BOUGHT, "0.084")
    half = {
        "purchase_usd": (Decimal("0.61") * 730, "0.081"),
        "years": (Decimal("2.11") * 730, "0.081"),
        "usd_per_kw_month": (Decimal("1.06") * 730, "0.081"),
        "watts_idle": (Decimal("1.105") * 730, "0.081"),
        "paid_usd_per_min": (Decimal("1.11") * 730, "0.082"),
        "joules_per_min": (Decimal("1.11") * 730, "0.0815"),
        "usd_per_kwh": (Decimal("1.105") * 730, "0.0815"),
        "rented_usd_per_min": (Decimal("1.11") * 730, "0.039"),
    }
    for name, (fixed, gained) in half.items():
        assert found[name].low.minutes_per_month == pytest.approx(fixed / Decimal(gained)), name
    assert not found["concurrent_calls"].moves and found["concurrent_calls"].span == 0
    assert "operations_usd_per_month" not in found and "usd_per_hour" not in found
    ordered = [each.span for each in sensitivity(BOUGHT, "rented", Decimal("0.084"))]
    assert ordered == sorted(ordered, reverse=True)


def test_a_box_by_the_hour_has_assumptions_of_its_own() -> None:
    found = swings_of(RENTED, "0.075")
    assert found["usd_per_hour"].low.minutes_per_month == 5_000
    assert not {"purchase_usd", "years", "joules_per_min", "usd_per_kw_month"} & set(found)


def test_too_small_a_box_may_never_break_even() -> None:
    tiny = replace(BOUGHT, concurrent_calls=Decimal("0.3"))
    swing = swings_of(tiny, "0.084")["concurrent_calls"]
    assert swing.low.verdict is Verdict.RENT and swing.high.verdict is Verdict.OWN
    assert swing.span == Decimal("Infinity")
    with pytest.raises(ValueError, match=r"such as 0\.5"):
        sensitivity(BOUGHT, "rented", Decimal(1), Decimal(2))


def test_calls_that_other_hardware_would_have_to_carry() -> None:
    # 1.11 an hour and 0.09 of draw, against 0.08 a minute saved: a quarter of a call, always.
    calls = BOUGHT.calls_to_beat(Decimal("0.082"))
    assert calls == Decimal("1.2") / Decimal("4.8")
    full = replace(
        BOUGHT, concurrent_calls=calls, joules_per_min=Decimal(900 * 60) / Decimal("0.25")
    )
    crossing = break_even(full.owned, "rented", Decimal("0.082"))
    assert crossing.utilisation == pytest.approx(1)
    assert BOUGHT.calls_to_beat(Decimal("0.002")) is None
    assert replace(BOUGHT, paid_usd_per_min=None).calls_to_beat(Decimal(1)) is None
    row = BOUGHT.box.hardware.model_copy(update={"purchase_usd": None})
    unpriced = replace(BOUGHT, box=replace(BOUGHT.box, hardware=row))
    assert unpriced.calls_to_beat(Decimal(1)) is None
    assert unpriced.owned.fixed_usd_per_month is None


RATES = {"cheap": Decimal("0.013"), "dear": Decimal("0.103"), "secret": None}
BOX = OwnedBox("a box", Decimal(1000), Decimal("0.003"), Decimal(10))


def test_the_sentence_for_who_pays() -> None:
    said = recommendation(BOX, RATES, Decimal(50_000), Decimal(0))
    assert said.startswith("a box costs 1,000.00 dollars a month before the first call.")
    # 1,000 + 150 owned; 650 with the cheap stack and 5,150 with the dear one.
    assert "Against cheap (0.0130 a minute) it pays from 100,000 minutes a month" in said
    assert "rent, which saves 500.00 dollars a month" in said
    assert "Against dear (0.1030 a minute) it pays from 10,000 minutes a month" in said
    assert "own, which saves 4,000.00 dollars a month" in said
    assert "price of 1 more is not known" in said
    assert "every 100 dollars a month of that add 10,000 minutes" in said
    assert "Nobody is paid" not in recommendation(BOX, RATES, Decimal(1), Decimal(300))


def test_what_is_not_known_is_said() -> None:
    assert "nobody can say" in recommendation(BOX, {"secret": None}, Decimal(1), Decimal(0))
    blind = replace(BOX, concurrent_calls=None)
    said = recommendation(blind, RATES, Decimal(1), Decimal(1))
    assert "how many calls it carries is not known" in said and "saves" not in said
    dear = replace(BOX, marginal_usd_per_min=Decimal("0.05"))
    assert "it never pays" in recommendation(dear, RATES, Decimal(1), Decimal(0))
    card = replace(BOX, leaves_out="the server")
    assert "from at least 100,000" in recommendation(card, RATES, Decimal(1), Decimal(1))


@given(st.lists(st.floats(0, 1), max_size=20))
def test_names_stand_apart_in_order(wanted: list[float]) -> None:
    places = spread(sorted(wanted), 0.05)
    assert len(places) == len(wanted)
    for one, other in zip(places, places[1:], strict=False):
        assert other - one >= 0.05 - 1e-9
    if len(wanted) == 1:
        assert places == wanted


def test_names_that_have_room_stay_where_they_are() -> None:
    assert spread([0.1, 0.5, 0.52, 0.9], 0.1) == pytest.approx([0.1, 0.46, 0.56, 0.9])


def test_a_chart_of_what_is_not_known_is_refused(tmp_path: Path) -> None:
    picture = tmp_path / "chart.png"
    with pytest.raises(ValueError, match="give --carries N"):
        draw(picture, replace(BOX, concurrent_calls=None), RATES)


@pytest.mark.parametrize(("hours", "told"), [(2, True), (48, False)])
def test_a_month_is_not_known_from_some_hours(hours: int, told: bool) -> None:
    begin = datetime(2026, 11, 2, 12, tzinfo=UTC)
    end = begin + timedelta(hours=hours)
    traffic = Traffic(6, 300.0, begin, end, begin, 0.08)
    said = traffic_sentence(traffic, None, BOUGHT, 0.01)
    assert ("tells little of a month" in said) is told
    assert "6 calls of 50 s" in said
