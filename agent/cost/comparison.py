"""This box, and other hardware, against every rented stack, as the recorded calls show it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from agent.cost.bill import Bill
from agent.cost.break_even import MINUTES_PER_MONTH, BreakEven, break_even
from agent.cost.breakdown import exact
from agent.cost.erlang import Fleet, Traffic, fleet_for, traffic_of
from agent.cost.measured import Measured
from agent.cost.owned import View
from agent.cost.recommendation import recommendation
from agent.cost.scenario import Scenario, Swing, sensitivity
from agent.records.record import CallRecord


@dataclass(frozen=True, slots=True)
class Comparison:
    """Own or rent, all that was reckoned."""

    here: Scenario
    others: Sequence[Scenario]
    rates: Mapping[str, Decimal | None]
    """Stack -> dollars a minute of the measured calls."""
    crossings: Sequence[BreakEven]
    """Every box against every stack."""
    against: str
    """The stack that the swings are against: the cheapest, hardest to beat; empty: none known."""
    swings: Sequence[Swing]
    traffic: Traffic
    fleet: Fleet | None
    """None: how many calls this box carries is not known."""
    blocking: float
    advice: str


def compare(
    bill: Bill,
    records: Sequence[CallRecord],
    measured: Measured,
    carries: Mapping[str, int],
    blocking: float,
) -> Comparison:
    """``carries``: calls at once by row of the book; "" is this box. ``measured``: the records.

    Raises ValueError for a ``blocking`` that is no share.
    """
    calls = carries.get("", carries.get(bill.box.name, bill.capacity_calls))
    here = _here(bill, measured, calls)
    others = _others(bill, here, carries)
    rates = {stack: measured.rented_usd_per_min(stack) for stack in measured.rented}
    against, swings = _swings(here, rates)
    spans = [(each.started_at, each.ended_at) for each in records if each.ended_at]
    traffic = traffic_of(spans, measured.from_at, measured.to_at)
    minutes = exact(traffic.mean_erlangs) * MINUTES_PER_MONTH
    return Comparison(
        here=here,
        others=others,
        rates=rates,
        crossings=[
            break_even(scenario.owned, stack, rate)
            for scenario in (here, *others)
            for stack, rate in rates.items()
        ],
        against=against,
        swings=swings,
        traffic=traffic,
        fleet=None if calls is None else fleet_for(traffic, calls, blocking),
        blocking=blocking,
        advice=recommendation(
            here.owned, rates, minutes, here.box.hardware.operations_usd_per_month
        ),
    )


def _here(bill: Bill, measured: Measured, calls: int | None) -> Scenario:
    """This box, with what a minute asked of it as measured."""
    marginal = measured.owned.get(View.MARGINAL)
    usd = None if marginal is None else marginal.total_usd
    # All of it that is not energy.
    paid = None if usd is None else usd - bill.box.energy_usd(measured.joules)
    return Scenario(
        bill.box,
        joules_per_min=measured.joules / measured.minutes,
        paid_usd_per_min=None if paid is None else paid / measured.minutes,
        concurrent_calls=None if calls is None else Decimal(calls),
    )


def _others(bill: Bill, here: Scenario, carries: Mapping[str, int]) -> list[Scenario]:
    """The book's other hardware, on the same trunk.

    What a minute of work adds in energy was measured on this box alone. Other hardware is taken to
    be at its full draw for its whole share, which is the most that it can be.
    """
    scenarios = []
    for name, row in bill.book.hardware.items():
        if name == here.box.name:
            continue
        calls = carries.get(name, row.concurrent_calls)
        draw_w = max(Decimal(0), row.watts_busy - row.watts_idle)
        scenarios.append(
            replace(
                here,
                box=replace(here.box, name=name, hardware=row),
                joules_per_min=None if calls is None else draw_w * 60 / calls,
                concurrent_calls=None if calls is None else Decimal(calls),
            )
        )
    return scenarios


def _swings(here: Scenario, rates: Mapping[str, Decimal | None]) -> tuple[str, list[Swing]]:
    """Against the cheapest stack, the hardest to beat."""
    known = sorted((rate, stack) for stack, rate in rates.items() if rate)
    if not known or here.owned.fixed_usd_per_month is None:
        return "", []
    rate, stack = known[0]
    return stack, sensitivity(here, stack, rate)
