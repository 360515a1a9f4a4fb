"""Training is written off month by month, and stands apart from what calls cost."""

from datetime import date
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from agent.cost.plan import Training, later, months_between, plan

TUNED = Training("greeter", Decimal(1000), date(2026, 11, 20), "greeter-2", 3)


def test_a_cost_is_written_off_in_equal_parts_and_wholly() -> None:
    months = [date(2026, 10, 1), date(2026, 11, 1), date(2026, 12, 5), date(2027, 1, 1)]
    parts = [TUNED.written_off_usd(month) for month in months]
    assert parts == [0, Decimal("333.33"), Decimal("333.33"), Decimal("333.34")]
    assert TUNED.written_off_usd(date(2027, 2, 1)) == 0


@given(st.decimals(0, 10**7, places=2), st.integers(1, 120))
def test_parts_sum_to_the_cost_to_the_cent(cost: Decimal, months: int) -> None:
    line = Training("t", cost, date(2026, 5, 31), "m", months)
    parts = [line.written_off_usd(later(date(2026, 5, 1), n)) for n in range(months)]
    assert sum(parts) == cost and min(parts) >= 0


def test_both_budgets_stand_apart() -> None:
    calls = [
        (date(2026, 12, 1), Decimal(20), Decimal(1000)),
        (date(2026, 10, 1), Decimal(10), Decimal(500)),
        (date(2027, 1, 1), None, Decimal(5)),
    ]
    months = plan([TUNED], calls)
    assert [each.month.month for each in months] == [10, 11, 12, 1]
    october, november, december, january = months
    assert (october.training_usd, october.inference_usd_per_min) == (0, Decimal("0.02"))
    assert november.inference_usd == 0 and november.inference_usd_per_min is None
    assert december.inference_usd_per_min == Decimal("0.02")
    assert december.blended_usd == Decimal("353.33")
    assert december.blended_usd_per_min == Decimal("0.35333")
    assert january.blended_usd is None and january.training_usd == Decimal("333.34")


def test_months_are_counted_over_the_year() -> None:
    assert later(date(2026, 11, 1), 2) == date(2027, 1, 1)
    assert months_between(date(2026, 11, 20), date(2027, 1, 1)) == 2
    assert months_between(date(2027, 1, 1), date(2026, 11, 20)) == -2


def test_what_is_written_off_by_a_day() -> None:
    days = [date(2026, 10, 31), date(2026, 11, 1), date(2026, 12, 1), date(2027, 6, 1)]
    assert [TUNED.written_off_until_usd(day) for day in days] == [
        0,
        Decimal("333.33"),
        Decimal("666.66"),
        1000,
    ]
