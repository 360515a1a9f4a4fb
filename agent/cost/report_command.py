"""`offhook cost report`: recorded calls, grouped, owned against rented."""

import argparse
import csv
import io
import json
import sys
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from agent.cost.ask import NOTHING, Asked, dollars, write_json
from agent.cost.focus import focus_csv
from agent.cost.owned import View
from agent.cost.report import Group, Report, report

COLUMNS = (
    "calls",
    "minutes",
    "turns",
    "marginal_usd",
    "utilisation_usd",
    "capacity_usd",
    "utilisation_usd_per_min",
    "utilisation_usd_per_turn",
    "value_usd",
)


def run(args: argparse.Namespace, asked: Asked) -> int:
    """Prints the report; 1 where nothing was recorded."""
    together = asked.measured()
    if together is None:
        print(f"offhook: {NOTHING}", file=sys.stderr)
        return 1
    view = next(each for each in View if each.name.lower() == args.view)
    made = report(asked.records, asked.bill, args.by, together)
    match args.format:
        case "focus":
            print(focus_csv(asked.records, view, asked.bill.box.name), end="")
        case "csv":
            print(to_csv(made), end="")
        case "json":
            print(json.dumps(to_json(made), indent=2, default=str))
        case _:
            Console(soft_wrap=not sys.stdout.isatty()).print(report_table(made, view))
    write_json(args.json, to_json(made))
    return 0


def report_table(made: Report, view: View) -> Table:
    """A row a group; the cheapest and the dearest stack beside it."""
    table = Table(
        made.by,
        *(
            Column(name, justify="right")
            for name in ("calls", "minutes", "turns", "here", "a minute", "a turn", "value")
        ),
        Column("cheapest rented", justify="right"),
        Column("dearest rented", justify="right"),
        title=f"Dollars {view.value}",
    )
    for group in (*made.groups, made.total):
        if group is made.total:
            table.add_section()
        known = [usd for stack in group.measured.rented if (usd := group.rented_usd(stack))]
        table.add_row(
            # Text: what a caller is called must not be read as the terminal's markup.
            Text(group.name),
            str(group.measured.calls),
            f"{group.measured.minutes:.1f}",
            str(group.turns),
            dollars(group.owned_usd(view)),
            dollars(group.measured.owned_usd_per_min(view)),
            dollars(group.owned_usd_per_turn(view)),
            "-" if group.value_usd is None else dollars(group.value_usd, 2),
            dollars(min(known, default=None)),
            dollars(max(known, default=None)),
        )
    return table


def to_csv(made: Report) -> str:
    """A row a group and a column a stack; an unknown cost is an empty cell."""
    stacks = list(made.total.measured.rented)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([made.by, *COLUMNS, *(f"rented_usd: {stack}" for stack in stacks)])
    for group in made.groups:
        row = _row(group)
        rented = (group.rented_usd(stack) for stack in stacks)
        writer.writerow([group.name, *(_cell(row[name]) for name in COLUMNS), *map(_cell, rented)])
    return out.getvalue()


def to_json(made: Report) -> dict[str, Any]:
    """The same with every line; dollars as exact text, null where not known."""
    return {
        "by": made.by,
        "groups": [_group_json(group) for group in made.groups],
        "total": _group_json(made.total),
    }


def _group_json(group: Group) -> dict[str, Any]:
    return {
        "name": group.name,
        **_row(group),
        "owned": {
            view.value: None if cost is None else dict(cost.lines_usd)
            for view, cost in group.measured.owned.items()
        },
        "rented_usd": {stack: group.rented_usd(stack) for stack in group.measured.rented},
    }


def _row(group: Group) -> dict[str, Decimal | int | None]:
    return {
        "calls": group.measured.calls,
        "minutes": group.measured.minutes,
        "turns": group.turns,
        "marginal_usd": group.owned_usd(View.MARGINAL),
        "utilisation_usd": group.owned_usd(View.UTILISATION),
        "capacity_usd": group.owned_usd(View.CAPACITY),
        "utilisation_usd_per_min": group.measured.owned_usd_per_min(View.UTILISATION),
        "utilisation_usd_per_turn": group.owned_usd_per_turn(View.UTILISATION),
        "value_usd": group.value_usd,
    }


def _cell(value: Decimal | int | None) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else format(value, "f")
