"""`offhook cost machine`: this machine's dollars a minute by stage, beside every rented stack."""

import argparse
import sys
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from agent.cost.ask import NOTHING, Asked, dollars, write_json
from agent.cost.breakdown import shown_in_steps
from agent.cost.left_out import left_out
from agent.cost.measured import Measured
from agent.cost.owned import LINES, View

OWNED_STEP, RENTED_STEP = Decimal("0.0000001"), Decimal("0.0001")
PLACES = 7
"""Of a dollar: a stage of a small box costs millionths a minute."""
PARTS = ("telephony", "stt", "llm", "tts", "platform")


def run(args: argparse.Namespace, asked: Asked) -> int:
    """Prints two tables; 1 where nothing was measured."""
    measured = asked.measured()
    if measured is None:
        print(f"offhook: {NOTHING}", file=sys.stderr)
        return 1
    console = Console(soft_wrap=not sys.stdout.isatty())
    usage = measured.usage
    box = asked.bill.box
    console.print(
        f"{measured.calls} calls, {measured.minutes:.1f} minutes, {usage.turns} turns, "
        f"{measured.from_at:%Y-%m-%d %H:%M} to {measured.to_at:%Y-%m-%d %H:%M} UTC; "
        f"{box.hardware.what}; energy {measured.energy}"
    )
    if box.hardware.assumed:
        console.print(f"assumed, not measured: {', '.join(box.hardware.assumed)}")
    console.print(owned_table(measured))
    console.print(rented_table(measured))
    console.print(left_out(asked.config, asked.bill.box.hardware), markup=False, highlight=False)
    write_json(args.json, to_json(asked, measured))
    return 0


def owned_table(measured: Measured) -> Table:
    """A column a view, a row a line; dollars a minute, which add up as they are shown."""
    table = Table(
        Column("this box, dollars a minute"),
        *(Column(view.value, justify="right") for view in View),
    )
    columns = {
        view: _by_minute(cost.lines_usd, measured.minutes, OWNED_STEP)
        for view, cost in measured.owned.items()
        if cost is not None
    }
    for line in LINES:
        cells = (
            dollars(columns[view][line], PLACES) if view in columns else "not measured"
            for view in View
        )
        table.add_row(line.replace("_", " "), *cells)
    table.add_section()
    totals = (
        dollars(measured.owned_usd_per_min(view), PLACES) if view in columns else "not measured"
        for view in View
    )
    table.add_row("a minute", *totals)
    return table


def rented_table(measured: Measured) -> Table:
    """A row a stack, cheapest first; dollars a minute, and how many times this box's."""
    owned = measured.owned_usd_per_min(View.UTILISATION)
    table = Table(
        Column("the same calls, rented"),
        *(Column(part, justify="right") for part in PARTS),
        Column("a minute", justify="right"),
        Column("times this box's", justify="right"),
    )
    rates = {stack: measured.rented_usd_per_min(stack) for stack in measured.rented}
    for stack in sorted(rates, key=lambda name: (rates[name] is None, rates[name] or Decimal(0))):
        rate = rates[stack]
        lines = _by_minute(measured.rented[stack].lines_usd, measured.minutes, RENTED_STEP)
        table.add_row(
            Text(stack),
            *(dollars(lines[part]) if part in lines else "-" for part in PARTS),
            dollars(rate),
            f"{rate / owned:.2f}" if rate is not None and owned else "unknown",
        )
    return table


def to_json(asked: Asked, measured: Measured) -> dict[str, Any]:
    """The same; dollars as exact text, null where not known."""
    return {
        "calls": measured.calls,
        "minutes": measured.minutes,
        "from": measured.from_at.isoformat(),
        "to": measured.to_at.isoformat(),
        "mean_calls": measured.mean_calls,
        "capacity_calls": asked.bill.capacity_calls,
        "hardware": asked.bill.box.name,
        "energy": measured.energy,
        "note": left_out(asked.config, asked.bill.box.hardware),
        "assumed": list(asked.bill.box.hardware.assumed),
        "owned": [
            {
                "view": view.value,
                "usd_per_min": measured.owned_usd_per_min(view),
                "lines_usd": None if cost is None else dict(cost.lines_usd),
            }
            for view, cost in measured.owned.items()
        ],
        "rented": [
            {
                "stack": stack,
                "usd_per_min": measured.rented_usd_per_min(stack),
                "lines_usd": dict(cost.lines_usd),
            }
            for stack, cost in measured.rented.items()
        ],
    }


def _by_minute(
    lines_usd: Mapping[str, Decimal | None], minutes: Decimal, step: Decimal
) -> dict[str, Decimal | None]:
    by_minute = {name: None if usd is None else usd / minutes for name, usd in lines_usd.items()}
    return shown_in_steps(by_minute, step)
