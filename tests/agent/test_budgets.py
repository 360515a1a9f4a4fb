"""Budgets: periods, accounts, and who is let in; hand-worked and by property."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.budget_section import BudgetConfig
from agent.budgets.ledger import Ledger, Level
from agent.budgets.period import ends_at, starts_at
from agent.budgets.spending import Party, Spending, party, recorded_spending
from agent.latency import TurnTrace
from agent.records.record import BOX_STOPPED, CallRecord, TurnRecord
from agent.usage import Usage

NOON = datetime(2026, 3, 15, 12, tzinfo=UTC)
SALES = Party("sales", "+15551234567", "telnyx", "acme")


def budget(**fields: Any) -> BudgetConfig:
    return BudgetConfig.model_validate({"name": "b", "limit": 10, "unit": "tokens", **fields})


def tokens(count: int) -> Spending:
    return Spending(tokens=count)


# -- periods


def test_a_day_begins_at_the_zones_midnight() -> None:
    start = starts_at(NOON, "day", "America/New_York")
    assert start == datetime(2026, 3, 15, 4, tzinfo=UTC)
    assert ends_at(start, "day", "America/New_York") == datetime(2026, 3, 16, 4, tzinfo=UTC)
    assert starts_at(NOON, "day", "UTC") == datetime(2026, 3, 15, tzinfo=UTC)


def test_a_day_with_a_change_of_the_clock_is_as_long_as_it_is() -> None:
    start = starts_at(datetime(2026, 3, 29, 12, tzinfo=UTC), "day", "Europe/Berlin")
    assert ends_at(start, "day", "Europe/Berlin") - start == timedelta(hours=23)
    start = starts_at(datetime(2026, 10, 25, 12, tzinfo=UTC), "day", "Europe/Berlin")
    assert ends_at(start, "day", "Europe/Berlin") - start == timedelta(hours=25)


def test_a_month_ends_where_the_next_begins() -> None:
    assert starts_at(NOON, "month", "UTC") == datetime(2026, 3, 1, tzinfo=UTC)
    december = datetime(2026, 12, 1, tzinfo=UTC)
    assert ends_at(december, "month", "UTC") == datetime(2027, 1, 1, tzinfo=UTC)


@settings(deadline=None)
@given(
    st.datetimes(datetime(2024, 1, 2), datetime(2030, 1, 1)).map(lambda at: at.replace(tzinfo=UTC)),
    st.sampled_from(["day", "month"]),
    st.sampled_from(["UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/St_Johns"]),
)
def test_periods_follow_each_other_without_a_gap(at: datetime, period: Any, zone: str) -> None:
    start = starts_at(at, period, zone)
    end = ends_at(start, period, zone)
    assert start <= at < end
    assert starts_at(end, period, zone) == end


# -- whose it is


def test_a_caller_is_the_same_whatever_host_the_call_came_by() -> None:
    assert party("", "+15551234567@192.0.2.7", "", "").caller == "+15551234567"
    assert party("", "ann@example.org", "", "").caller == "ann@example.org"
    assert party("", "203.0.113.9", "", "").caller == "203.0.113.9"
    assert party("", "x", "", "").profile == "agent"


def test_a_budget_counts_those_that_it_is_for() -> None:
    assert SALES.subject(budget()) == ""
    assert SALES.subject(budget(per="profile")) == "sales"
    assert SALES.subject(budget(per="profile", only=["support"])) is None
    assert SALES.subject(budget(per="tenant")) == "acme"
    assert party("", "x", "", "").subject(budget(per="trunk")) is None


# -- amounts


def test_every_unit() -> None:
    usage = Usage(
        prompt_tokens=90,
        generated_tokens=10,
        discarded_tokens=5,
        llm_busy_s=1.5,
        tts_busy_s=0.5,
        call_s=90.0,
    )
    spent = Spending.of(usage, Decimal("0.02"))
    assert spent.amount("usd") == Decimal("0.02")
    assert spent.amount("minutes") == Decimal("1.5")
    assert spent.amount("tokens") == 100
    assert spent.amount("machine_s") == Decimal("2.0")


def a_record(**fields: Any) -> CallRecord:
    return CallRecord("c1", NOON, "sip", "+15551234567", "Joe", **fields)


def a_turn(number: int, at_s: float) -> TurnRecord:
    trace = TurnTrace(number, speech_end_s=at_s, first_packet_s=at_s + 1)
    usage = Usage(prompt_tokens=50, generated_tokens=10, llm_busy_s=1.0)
    return TurnRecord("c1", number, "two please", "Of course.", False, trace, usage)


def by_the_minute(usage: Usage, outbound: bool) -> Decimal:
    return Decimal(repr(usage.telephony_s)) / 60


def test_a_call_that_is_over_spent_what_its_record_says() -> None:
    record = a_record(
        cause="caller hung up", usage=Usage(call_s=60, prompt_tokens=7), owned_usd=Decimal("0.3")
    )
    spent = recorded_spending(record, [], NOON, by_the_minute)
    assert (spent.usd, spent.tokens, spent.call_s) == (Decimal("0.3"), 7, 60)


def test_a_call_under_way_elsewhere_spent_its_turns_and_the_time_since() -> None:
    now = NOON + timedelta(seconds=30)
    spent = recorded_spending(a_record(), [a_turn(1, 5.0), a_turn(2, 15.0)], now, by_the_minute)
    assert (spent.tokens, spent.machine_s, spent.call_s) == (120, 2.0, 30.0)
    assert spent.usd == Decimal("0.5")


def test_a_call_that_the_box_died_in_spent_what_its_turns_tell() -> None:
    record = a_record(cause=BOX_STOPPED)
    spent = recorded_spending(
        record, [a_turn(1, 5.0), a_turn(2, 64.0)], NOON + timedelta(days=9), by_the_minute
    )
    assert (spent.tokens, spent.call_s, spent.usd) == (120, 60.0, Decimal(1))


# -- the ledger


def test_what_is_counted_of_a_call_replaces_what_was() -> None:
    ledger = Ledger([budget()])
    ledger.count("a", SALES, NOON, tokens(3))
    ledger.count("a", SALES, NOON, tokens(5))
    ledger.count("b", SALES, NOON, tokens(1))
    (standing,) = ledger.standings(SALES, NOON)
    assert (standing.spent, standing.share, standing.level) == (6, 0.6, Level.FINE)


def test_warning_and_limit_are_told_once_each() -> None:
    ledger = Ledger([budget(warn_at=0.5)])
    risen = [ledger.count("a", SALES, NOON, tokens(n)) for n in (4, 5, 6, 10, 4, 11)]
    assert [[each.level for each in told] for told in risen] == [
        [], [Level.WARNED], [], [Level.SPENT], [], [],
    ]  # fmt: skip


def test_a_call_counts_in_the_period_in_which_it_began() -> None:
    ledger = Ledger([budget()])
    late = NOON.replace(hour=23, minute=59)
    ledger.count("a", SALES, late, tokens(10))
    tomorrow = late + timedelta(minutes=2)
    ledger.count("a", SALES, late, tokens(12))
    assert ledger.standings(SALES, tomorrow)[0].spent == 0
    assert ledger.standings(SALES, late)[0].spent == 12
    assert ledger.all_standings(tomorrow)[0].spent == 0


def test_each_caller_has_an_account() -> None:
    ledger = Ledger([budget(per="caller")])
    other = party("", "+15550000000", "", "")
    ledger.count("a", SALES, NOON, tokens(10))
    assert ledger.standings(other, NOON)[0].spent == 0
    assert [(s.account.subject, s.spent) for s in ledger.all_standings(NOON)] == [
        ("+15551234567", 10)
    ]


def test_a_call_that_another_profile_took_over_is_counted_there() -> None:
    ledger = Ledger([budget(per="profile")])
    ledger.count("a", SALES, NOON, tokens(4))
    ledger.count("a", party("cheap", "x", "", ""), NOON, tokens(6))
    assert ledger.standings(SALES, NOON)[0].spent == 0
    assert ledger.standings(party("cheap", "", "", ""), NOON)[0].spent == 6


def test_a_call_that_is_over_is_counted_once() -> None:
    ledger = Ledger([budget()])
    ledger.count("a", SALES, NOON, tokens(4), over=True)
    assert ledger.knows("a")
    ledger.count("a", SALES, NOON, tokens(9))
    assert ledger.standings(SALES, NOON)[0].spent == 4
    ledger.forget(NOON + timedelta(hours=1), NOON)
    assert not ledger.knows("a")
    assert ledger.standings(SALES, NOON)[0].spent == 4
    ledger.forget(NOON + timedelta(hours=1), NOON + timedelta(days=3))
    assert ledger.standings(SALES, NOON)[0].spent == 0


amounts = st.lists(
    st.tuples(
        st.sampled_from("abcd"), st.sampled_from(["x", "y"]), st.integers(0, 40), st.booleans()
    ),
    max_size=40,
)


@settings(deadline=None)
@given(amounts)
def test_accounts_are_the_sums_of_their_calls(told: list[tuple[str, str, int, bool]]) -> None:
    ledger = Ledger([budget(per="caller"), budget(name="all", limit=25)])
    last: dict[str, tuple[str, int, bool]] = {}
    reached = []
    for call, caller, count, over in told:
        reached += ledger.count(call, party("", caller, "", ""), NOON, tokens(count), over=over)
        if not last.get(call, ("", 0, False))[2]:
            last[call] = (caller, count, over)
    standings = ledger.all_standings(NOON)
    spent = {(s.budget.name, s.account.subject): s.spent for s in standings}
    for caller in "xy":
        expected = sum(count for who, count, _ in last.values() if who == caller)
        assert spent.get(("b", caller), 0) == expected
    assert spent["all", ""] == sum(count for _, count, _ in last.values())
    assert len({(s.account, s.level) for s in reached}) == len(reached)


def test_an_account_as_json_is_exact() -> None:
    ledger = Ledger([budget(unit="usd", limit=Decimal("0.10"), action="refuse")])
    ledger.count("a", SALES, NOON, Spending(usd=Decimal("0.123456789")))
    (standing,) = ledger.all_standings(NOON)
    told = standing.to_json()
    assert (told["limit"], told["spent"], told["state"]) == ("0.10", "0.123456789", "spent")
    assert told["share"] == pytest.approx(1.23456789)
    assert told["ends_at"] == "2026-03-16T00:00:00+00:00"
