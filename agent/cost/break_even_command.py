"""`offhook cost break-even`: from how many minutes a month on owning beats renting."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from rich.console import Console

from agent.cost.ask import NOTHING, Asked, write_json
from agent.cost.break_even import MINUTES_PER_MONTH, BreakEven, break_even
from agent.cost.break_even_tables import (
    break_even_table,
    hardware_table,
    sensitivity_table,
    to_json,
    traffic_sentence,
)
from agent.cost.breakdown import exact
from agent.cost.erlang import Fleet, Traffic, fleet_for, traffic_of
from agent.cost.measured import Measured
from agent.cost.owned import View, joules
from agent.cost.price_book import find
from agent.cost.quality import quality_note
from agent.cost.recommendation import recommendation
from agent.cost.scenario import Scenario, Swing, sensitivity


@dataclass(frozen=True, slots=True)
class Found:
    """All that was reckoned."""

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
    note: str


def run(args: argparse.Namespace, asked: Asked) -> int:
    """Prints what was found; 1 where nothing was measured, 2 for what makes no sense."""
    measured = asked.measured()
    if measured is None:
        print(f"offhook: {NOTHING}", file=sys.stderr)
        return 1
    carries = dict(args.carries or ())
    for row in carries:
        if row:
            find(row, asked.bill.book.hardware, "--carries: no hardware named")
    try:
        found = reckon(asked, measured, carries, args.blocking)
    except ValueError as error:
        print(f"offhook: --blocking: {error}", file=sys.stderr)
        return 2
    _print(found)
    if args.png is not None:
        from agent.cost.chart import draw

        try:
            draw(args.png, found.here.owned, found.rates)
        except ValueError as error:
            print(f"offhook: --png: {error}", file=sys.stderr)
            return 2
        print(f"wrote {args.png}")
    write_json(args.json, to_json(found))
    return 0


def reckon(asked: Asked, measured: Measured, carries: Mapping[str, int], blocking: float) -> Found:
    """``carries``: calls at once by row of the book; "" is this box. Raises ValueError for a
    ``blocking`` that is no share."""
    calls = carries.get("", carries.get(asked.bill.box.name, asked.bill.capacity_calls))
    here = _here(asked, measured, calls)
    others = _others(asked, here, carries)
    rates = {stack: measured.rented_usd_per_min(stack) for stack in measured.rented}
    against, swings = _swings(here, rates)
    spans = [(each.started_at, each.ended_at) for each in asked.records if each.ended_at]
    traffic = traffic_of(spans, measured.from_at, measured.to_at)
    minutes = exact(traffic.mean_erlangs) * MINUTES_PER_MONTH
    return Found(
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
        note=quality_note(asked.config),
    )


def _here(asked: Asked, measured: Measured, calls: int | None) -> Scenario:
    """This box, with what a minute asked of it as measured."""
    bill = asked.bill
    marginal = measured.owned.get(View.MARGINAL)
    trunk = None if marginal is None else marginal.lines_usd["trunk"]
    return Scenario(
        bill.box,
        joules_per_min=joules(measured.usage, bill.box) / measured.minutes,
        trunk_usd_per_min=None if trunk is None else trunk / measured.minutes,
        concurrent_calls=None if calls is None else Decimal(calls),
    )


def _others(asked: Asked, here: Scenario, carries: Mapping[str, int]) -> list[Scenario]:
    """The book's other hardware, on the same trunk.

    What a minute of work adds in energy was measured on this box alone. Other hardware is taken to
    be at its full draw for its whole share, which is the most that it can be.
    """
    scenarios = []
    for name, row in asked.bill.book.hardware.items():
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


def _print(found: Found) -> None:
    console = Console(soft_wrap=not sys.stdout.isatty())
    name = found.here.box.name
    console.print(break_even_table([each for each in found.crossings if each.box == name]))
    if found.swings:
        console.print(sensitivity_table(found.against, found.swings))
    console.print(hardware_table(found.others, found.rates))
    if any(each.concurrent_calls is None for each in found.others):
        console.print(
            "How many calls at once other hardware carries was not measured, and nobody's figure "
            "for a whole pipeline was found: give yours with --carries ROW=N, or as "
            "`concurrent_calls` in its row.",
            markup=False,
            highlight=False,
        )
    console.print(traffic_sentence(found.traffic, found.fleet, found.here, found.blocking))
    console.print(found.advice, markup=False, highlight=False)
    console.print(found.note, markup=False, highlight=False)
