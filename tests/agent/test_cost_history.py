"""Costs over time: periods, and what calls have in common; worked by hand."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from agent.config import Config
from agent.cost.bill import Bill
from agent.cost.owned import View
from agent.records.record import CallRecord
from agent.usage import Usage
from agent.web.cost_history import DIMENSIONS, LINE, MOST_GROUPS, MOST_SERIES, CostHistory, Tally
from agent.web.periods import MOST, Length, TooMany, begin_of, length_for, periods

MONDAY = datetime(2026, 11, 2, tzinfo=UTC)
HERE = View.UTILISATION.value


def a_bill() -> Bill:
    """A box of 3.65 dollars an hour, whatever it does: two lanes, no watts."""
    config = Config.model_validate({"cost": {"hardware": "generic-2-core-server"}})
    bill = Bill.load(config)
    hardware = bill.box.hardware.model_copy(
        update={
            "purchase_usd": None,
            "years": None,
            "usd_per_hour": Decimal("3.60"),
            "operations_usd_per_month": Decimal(0),
            "watts_idle": Decimal(0),
            "watts_busy": Decimal(0),
            "colocated": False,
        }
    )
    return replace(bill, box=replace(bill.box, hardware=hardware))


def a_call(at: datetime, call_s: float = 60.0, **changes: object) -> CallRecord:
    usage = Usage(stt_busy_s=2.0, turns=2, call_s=call_s)
    call = CallRecord(
        call_id=f"{at:%d%H%M%S}",
        started_at=at,
        ended_at=at + timedelta(seconds=call_s),
        door="webrtc",
        caller="somebody",
        agent="Robin",
        usage=usage,
        rented_lines={"Cheapest parts": {"stt": Decimal("0.01"), "tts": Decimal("0.02")}},
    )
    return replace(call, **changes)  # type: ignore[arg-type]


def made(calls: list[CallRecord], by: str = LINE, bill: Bill | None = None) -> CostHistory:
    history = CostHistory(bill or a_bill(), by)
    for call in calls:
        history.add(call)
    return history


@pytest.mark.parametrize(
    ("length", "began"),
    [
        (Length.HOUR, datetime(2026, 11, 5, 13, tzinfo=UTC)),
        (Length.DAY, datetime(2026, 11, 5, tzinfo=UTC)),
        (Length.WEEK, MONDAY),
        (Length.MONTH, datetime(2026, 11, 1, tzinfo=UTC)),
    ],
)
def test_a_period_begins_on_the_clock_in_utc(length: Length, began: datetime) -> None:
    at = datetime.fromisoformat("2026-11-05T15:34:56.7+02:00")
    assert begin_of(at, length) == began
    assert begin_of(began, length) == began


def test_empty_periods_are_there_too_and_the_end_begins_none() -> None:
    begins = periods(MONDAY + timedelta(hours=5), MONDAY + timedelta(days=3), Length.DAY)
    assert begins == [MONDAY + timedelta(days=n) for n in range(3)]
    months = periods(
        datetime(2026, 11, 30, tzinfo=UTC), datetime(2027, 2, 2, tzinfo=UTC), Length.MONTH
    )
    assert [(each.year, each.month) for each in months] == [
        (2026, 11), (2026, 12), (2027, 1), (2027, 2),
    ]  # fmt: skip
    assert periods(MONDAY, MONDAY, Length.HOUR) == [MONDAY]


@pytest.mark.parametrize("days", [1, 10, 100, 1000])
def test_the_length_that_fits_makes_a_readable_chart(days: int) -> None:
    length = length_for(MONDAY, MONDAY + timedelta(days=days))
    assert 1 <= len(periods(MONDAY, MONDAY + timedelta(days=days), length)) <= 62


def test_too_many_periods_are_refused_with_a_remedy() -> None:
    with pytest.raises(TooMany, match=f"over {MOST} hours; ask for longer periods"):
        periods(MONDAY, MONDAY + timedelta(days=90), Length.HOUR)


def test_a_days_calls_pay_for_the_day_and_nothing_else() -> None:
    # 3.60 an hour is 0.001 a second. Two calls of 60 s in one hour: 1/30 of a call at once, so the
    # whole hour, 3.60, is theirs: 4 engine-seconds on two lanes are 0.002, the rest is idle.
    history = made([a_call(MONDAY), a_call(MONDAY + timedelta(minutes=30))])
    begins_at, ends_at = MONDAY, MONDAY + timedelta(hours=1)
    assert sum(1 for _ in history.priced(begins_at, ends_at)) == 2
    told = history.to_json(begins_at, ends_at, Length.HOUR)
    assert told["mean_calls"] == pytest.approx(1 / 30)
    assert told["total"]["usd"][HERE] == pytest.approx(3.60)
    assert told["total"]["usd"]["marginal"] == 0
    (period,) = told["periods"]
    assert period["calls"] == 2
    assert period["series"]["stt"][HERE] == pytest.approx(0.002)
    assert period["series"]["idle"][HERE] == pytest.approx(3.598)
    assert period["series"]["stt"]["Cheapest parts"] == pytest.approx(0.02)
    assert period["usd"]["Cheapest parts"] == pytest.approx(0.06)
    # Nothing measured the capacity: the price is known of, and has no figure anywhere.
    capacity = next(price for price in told["prices"] if price["name"] == View.CAPACITY.value)
    assert capacity == {"name": "at capacity", "kind": "owned", "measured": False}
    assert View.CAPACITY.value not in told["total"]["usd"]


def test_periods_and_groups_each_sum_to_the_total() -> None:
    calls = [
        a_call(MONDAY + timedelta(hours=7 * n), 30.0 + n, profile=f"p{n % 3}", door=f"d{n % 2}")
        for n in range(25)
    ]
    for by in DIMENSIONS:
        history = made(calls, by)
        begins_at, ends_at = history.span(None, None, MONDAY + timedelta(days=30))
        assert (begins_at, ends_at) == (MONDAY, calls[-1].ended_at)
        for _ in history.priced(begins_at, ends_at):
            pass
        told = history.to_json(begins_at, ends_at, Length.DAY)
        total = told["total"]
        assert sum(period["calls"] for period in told["periods"]) == total["calls"] == 25
        for price, usd in total["usd"].items():
            parts = [period["usd"].get(price, 0) for period in told["periods"]]
            assert sum(parts) == pytest.approx(usd)
            series = [
                prices.get(price, 0)
                for period in told["periods"]
                for prices in period["series"].values()
            ]
            assert sum(series) == pytest.approx(usd)
            if by != LINE:
                assert sum(group["usd"][price] for group in told["groups"]) == pytest.approx(usd)
            lines = [prices[price] for prices in total["lines"].values() if price in prices]
            assert sum(lines) == pytest.approx(usd)


def test_an_unknown_price_stays_unknown_in_every_sum() -> None:
    unknown = a_call(
        MONDAY + timedelta(hours=1),
        rented_lines={"Cheapest parts": {"stt": Decimal("0.01"), "tts": None}},
    )
    history = made([a_call(MONDAY), unknown])
    for _ in history.priced(MONDAY, MONDAY + timedelta(hours=2)):
        pass
    told = history.to_json(MONDAY, MONDAY + timedelta(hours=2), Length.HOUR)
    first, second = told["periods"]
    assert first["usd"]["Cheapest parts"] == pytest.approx(0.03)
    assert second["usd"]["Cheapest parts"] is None
    assert told["total"]["usd"]["Cheapest parts"] is None
    assert told["total"]["lines"]["stt"]["Cheapest parts"] == pytest.approx(0.02)
    assert told["total"]["lines"]["tts"]["Cheapest parts"] is None


def test_a_stack_that_the_record_lacks_is_reckoned_now() -> None:
    bill = a_bill()
    call = a_call(MONDAY, rented_lines={})
    history = made([call], bill=bill)
    told = history.to_json(MONDAY, MONDAY + timedelta(hours=1), Length.HOUR)
    for stack, usd in bill.rented_usd(call.usage).items():
        assert told["total"]["usd"][stack] == (None if usd is None else pytest.approx(float(usd)))


def test_calls_that_never_were_or_are_not_over_do_not_count() -> None:
    history = made([a_call(MONDAY, ended_at=None), a_call(MONDAY, usage=Usage())])
    assert history.calls == 0
    now = MONDAY + timedelta(days=1)
    assert history.span(None, None, now) == (now, now)


def test_idle_time_counts_from_what_was_asked_for_or_from_the_first_call() -> None:
    history = made([a_call(MONDAY)])
    since, now = MONDAY - timedelta(days=9), MONDAY + timedelta(hours=3)
    assert history.span(since, None, now) == (since, now)
    assert history.span(since, None, now, was_there=False) == (MONDAY, now)
    assert history.span(since, MONDAY + timedelta(hours=1), now)[1] == MONDAY + timedelta(hours=1)


def test_what_is_past_the_limit_is_put_together_and_loses_nothing() -> None:
    count = MOST_GROUPS + 20
    calls = [
        a_call(MONDAY + timedelta(minutes=n), 10.0 + count - n, caller=f"c{n}")
        for n in range(count)
    ]
    told = made(calls, "caller").to_json(MONDAY, MONDAY + timedelta(days=1), Length.DAY)
    assert len(told["series"]) == MOST_SERIES + 1
    assert told["series"][0] == "c0"
    assert told["series"][-1] == f"{count - MOST_SERIES} others"
    assert len(told["groups"]) == MOST_GROUPS + 1
    assert told["groups"][-1]["name"] == "20 others"
    assert sum(group["calls"] for group in told["groups"]) == count


def test_nobody_has_a_name() -> None:
    told = made([a_call(MONDAY), a_call(MONDAY, workflow="invoices")], "workflow").to_json(
        MONDAY, MONDAY + timedelta(hours=1), Length.HOUR
    )
    assert {group["name"] for group in told["groups"]} == {"(none)", "invoices"}


def test_values_of_outcomes_add_up_and_none_is_not_zero() -> None:
    tally = Tally()
    tally.count(a_call(MONDAY))
    assert tally.to_json()["value_usd"] is None
    tally.count(a_call(MONDAY, outcome_value_usd=Decimal("12.50")))
    tally.count(a_call(MONDAY, outcome_value_usd=Decimal("-2.25")))
    assert tally.to_json()["value_usd"] == 10.25
    other = Tally()
    other.add(tally)
    assert (other.calls, other.turns, other.value_usd) == (3, 6, Decimal("10.25"))
