"""`offhook cost report`: recorded calls, grouped, owned against each rented stack."""

import argparse
import sys
from typing import Any

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from agent.cost.ask import NOTHING, Asked, dollars, json_text, view_named, write_json
from agent.cost.focus import focus_csv
from agent.cost.left_out import left_out
from agent.cost.owned import View
from agent.cost.report import Group, Report, report
from agent.cost.report_file import groups_csv, groups_json, stacks_csv, stacks_json
from agent.cost.stacks import StackRow, stack_rows

BY_STACK = "stack"
"""Not what calls are grouped by, but where they might have been."""
EVERYTHING = "outcome"
"""Grouped by this for their total alone."""
MOST_COLUMNS = 4
"""More groups than that no terminal shows beside each other; CSV and JSON have all."""


def run(args: argparse.Namespace, asked: Asked) -> int:
    """Prints the report; 1 where nothing was recorded."""
    together = asked.measured()
    if together is None:
        print(f"offhook: {NOTHING}", file=sys.stderr)
        return 1
    view = view_named(args.view)
    by_stack = args.by == BY_STACK
    made = report(asked.records, asked.bill, EVERYTHING if by_stack else args.by, together)
    rows = stack_rows(made.total, view)
    note = left_out(asked.config, asked.bill.box.hardware)
    body = stacks_json(rows, view, note) if by_stack else groups_json(made, view, note)
    match args.format:
        case "focus":
            print(focus_csv(asked.records, asked.bill, view, together.mean_calls), end="")
            if missing := _missing(made.total, view):
                print(f"offhook: {missing}", file=sys.stderr)
        case "csv":
            print(stacks_csv(rows) if by_stack else groups_csv(made), end="")
        case "json":
            print(json_text(body))
        case _:
            _print(made, rows, view, note, by_stack=by_stack)
    write_json(args.json, body)
    return 0


def report_table(made: Report, view: View) -> Table:
    """A row a group, and all of them together."""
    names = ("calls", "minutes", "turns", "here", "a minute", "a turn", "a call", "value", "net")
    table = Table(
        made.by,
        *(Column(name, justify="right") for name in names),
        title=f"Dollars on this box, {view.value}",
    )
    for group in (*made.groups, made.total):
        if group is made.total:
            table.add_section()
        table.add_row(*_cells(group, view))
    return table


def rented_table(made: Report, view: View) -> Table:
    """A row a stack and a column a group: what the same calls would have cost there."""
    groups = [*made.groups[:MOST_COLUMNS], made.total]
    table = Table(
        "the same calls, rented",
        # Text: what a caller is called must not be read as the terminal's markup.
        *(Column(Text(group.name), justify="right") for group in groups),
    )
    table.add_row(f"this box, {view.value}", *(dollars(g.owned_usd(view)) for g in groups))
    table.add_section()
    for row in stack_rows(made.total, view):
        if row.kind == "rented":
            table.add_row(Text(row.name), *(dollars(g.rented_usd(row.name)) for g in groups))
    return table


def stacks_table(rows: list[StackRow], view: View) -> Table:
    """A row a way to have had all of these calls."""
    names = ("dollars", "a minute", "a turn", "a call", "a caller", "times this box")
    table = Table(
        "all of these calls",
        *(Column(name, justify="right") for name in names),
        title=f"This box in three views, and rented; times this box {view.value}",
    )
    kind = ""
    for row in rows:
        if kind and row.kind != kind:
            table.add_section()
        kind = row.kind
        amounts = (
            row.usd,
            row.usd_per_min,
            row.usd_per_turn,
            row.usd_per_call,
            row.usd_per_caller,
        )
        times = "unknown" if row.times_owned is None else f"{row.times_owned:.2f}"
        name = f"this box, {row.name}" if row.kind == "owned" else row.name
        table.add_row(Text(name), *(dollars(usd) for usd in amounts), times)
    return table


def _cells(group: Group, view: View) -> list[Any]:
    return [
        Text(group.name),
        str(group.measured.calls),
        f"{group.measured.minutes:.1f}",
        str(group.turns),
        dollars(group.owned_usd(view)),
        dollars(group.measured.owned_usd_per_min(view)),
        dollars(group.owned_usd_per_turn(view)) if group.turns else "-",
        dollars(group.owned_usd_per_call(view)),
        "-" if group.value_usd is None else dollars(group.value_usd, 2),
        "-" if group.value_usd is None else dollars(group.net_usd(view), 2),
    ]


def _missing(total: Group, view: View) -> str:
    """What has no row in FOCUS, which has no word for unknown; empty where nothing is missing."""
    cost = total.measured.owned.get(view)
    if cost is None:
        return f"there are no rows: what this box costs {view.value} was not measured"
    unknown = [line.replace("_", " ") for line, usd in cost.lines_usd.items() if usd is None]
    if not unknown:
        return ""
    return f"this is not the whole bill: not known, and left out: {', '.join(unknown)}"


def _print(made: Report, rows: list[StackRow], view: View, note: str, *, by_stack: bool) -> None:
    console = Console(soft_wrap=not sys.stdout.isatty())
    if by_stack:
        console.print(stacks_table(rows, view))
    else:
        console.print(report_table(made, view))
        console.print(rented_table(made, view))
    console.print(note, markup=False, highlight=False)
