"""Where owning begins to beat renting, by hand."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.cost.break_even import (
    OwnedBox,
    Verdict,
    break_even,
    curve,
    sentence,
)

BOX = OwnedBox(
    name="a box",
    fixed_usd_per_month=Decimal(730),
    marginal_usd_per_min=Decimal("0.003"),
    concurrent_calls=Decimal(10),
)
"""A dollar an hour; 438,000 minutes a month at most."""


def test_the_crossing_by_hand() -> None:
    found = break_even(BOX, "rented", Decimal("0.076"))
    # 730 / 0.073.
    assert found.verdict is Verdict.OWN and found.minutes_per_month == 10_000
    assert found.utilisation == Decimal(10_000) / 438_000
    said = sentence(found)
    assert "10,000 minutes a month" in said and "2.3%" in said and "below that, rent" in said


def test_at_the_crossing_both_cost_the_same() -> None:
    owned = BOX.usd_per_month(Decimal(10_000))
    assert owned == Decimal("0.076") * 10_000
    fewer, more = (BOX.usd_per_month(Decimal(n)) for n in (9_000, 11_000))
    assert fewer is not None and more is not None
    assert fewer > Decimal("0.076") * 9_000 and more < Decimal("0.076") * 11_000


def test_a_second_box_is_bought_whole() -> None:
    assert BOX.boxes(Decimal(438_000)) == 1 and BOX.boxes(Decimal(438_001)) == 2
    assert BOX.boxes(Decimal(438_000), Decimal("0.5")) == 2 and BOX.boxes(Decimal(0)) == 1
    one, two = curve(BOX, [Decimal(438_000), Decimal(438_001)])
    assert one is not None and two is not None and two > one


def test_where_owning_never_wins() -> None:
    dear = replace(BOX, marginal_usd_per_min=Decimal("0.08"))
    found = break_even(dear, "rented", Decimal("0.076"))
    assert found.verdict is Verdict.RENT and "0.0800 dollars already" in found.why
    small = replace(BOX, concurrent_calls=Decimal("0.1"))
    found = break_even(small, "rented", Decimal("0.076"))
    # It would have to carry 10,000 and carries 4,380.
    assert found.verdict is Verdict.RENT and "4,380" in found.why and "10,000" in found.why
    assert sentence(found).startswith("Rent rented rather than own a box")


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("fixed_usd_per_month", "the box's price is not known"),
        ("marginal_usd_per_min", "what a minute adds is not known"),
        ("concurrent_calls", "how many calls it carries is not known"),
    ],
)
def test_unknown_in_unknown_out(missing: str, said: str) -> None:
    found = break_even(replace(BOX, **{missing: None}), "rented", Decimal("0.076"))
    assert found.verdict is Verdict.UNKNOWN and said in found.why
    assert found.minutes_per_month is None and "nobody can say" in sentence(found)
    assert break_even(BOX, "rented", None).verdict is Verdict.UNKNOWN


@given(st.decimals("0.01", 1, places=3), st.decimals("0.05", 1, places=2))
def test_a_busier_box_is_never_dearer_by_the_minute(
    marginal: Decimal, utilisation: Decimal
) -> None:
    box = replace(BOX, marginal_usd_per_min=marginal)
    busy, busier = box.usd_per_min(utilisation), box.usd_per_min(min(Decimal(1), utilisation * 2))
    assert busy is not None and busier is not None and busier <= busy


def test_a_price_that_leaves_something_out_is_a_lower_bound() -> None:
    card = replace(BOX, leaves_out="the server around the card")
    found = break_even(card, "rented", Decimal("0.076"))
    assert found.minutes_per_month == 10_000 and "at least" in found.why
    assert "at least, for the price leaves out the server around the card" in sentence(found)


def test_a_box_that_is_more_than_half_full_by_then_does_not_win_from_there_on() -> None:
    """10,000 minutes of 16,000: a second box's first minutes are dearer than rented ones."""
    small = replace(BOX, concurrent_calls=Decimal(16_000) / 43_800)
    found = break_even(small, "rented", Decimal("0.076"))
    assert (
        found.verdict is Verdict.OWN and found.why == "with more boxes as long as each is 62% busy"
    )
    just_over = small.usd_per_month(Decimal(17_000))
    assert just_over is not None and just_over > Decimal("0.076") * 17_000
    assert break_even(BOX, "rented", Decimal("0.076")).why == ""
