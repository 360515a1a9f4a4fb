"""A report as CSV and as JSON. Dollars are exact; what is not known is empty, or null. Pure."""

import csv
import io
from dataclasses import asdict, fields
from decimal import Decimal
from typing import Any

from agent.cost.owned import View
from agent.cost.report import Group, Report
from agent.cost.stacks import StackRow


def groups_csv(made: Report) -> str:
    """A row a group; of every stack its total and its minute."""
    stacks = list(made.total.measured.rented)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    columns = list(_row(made.total))
    rented = [
        f"{what}: {stack}" for stack in stacks for what in ("rented_usd", "rented_usd_per_min")
    ]
    writer.writerow([made.by, *columns, *rented])
    for group in made.groups:
        there = (
            usd
            for stack in stacks
            for usd in (group.rented_usd(stack), group.measured.rented_usd_per_min(stack))
        )
        writer.writerow([_plain(group.name), *map(_cell, _row(group).values()), *map(_cell, there)])
    return out.getvalue()


def stacks_csv(rows: list[StackRow]) -> str:
    """A row a way to have had the calls."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([field.name for field in fields(StackRow)])
    for row in rows:
        name, kind, *amounts = asdict(row).values()
        writer.writerow([_plain(name), kind, *map(_cell, amounts)])
    return out.getvalue()


def groups_json(made: Report, view: View, note: str) -> dict[str, Any]:
    """Every group with every line; ``note``: what dollars leave out."""
    return {
        "by": made.by,
        "view": view.value,
        "groups": [_group_json(group) for group in made.groups],
        "total": _group_json(made.total),
        "note": note,
    }


def stacks_json(rows: list[StackRow], view: View, note: str) -> dict[str, Any]:
    """The same calls on this box and on every stack."""
    return {
        "by": "stack",
        "view": view.value,
        "stacks": [asdict(row) for row in rows],
        "note": note,
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
        "rented_lines_usd": {
            stack: dict(cost.lines_usd) for stack, cost in group.measured.rented.items()
        },
    }


def _row(group: Group) -> dict[str, Decimal | int | None]:
    """Its figures by the column's name."""
    counts: dict[str, Decimal | int | None] = {
        "calls": group.measured.calls,
        "callers": group.callers,
        "minutes": group.measured.minutes,
        "turns": group.turns,
        "value_usd": group.value_usd,
    }
    for view in View:
        name = view.name.lower()
        counts |= {
            f"{name}_usd": group.owned_usd(view),
            f"{name}_usd_per_min": group.measured.owned_usd_per_min(view),
            f"{name}_usd_per_turn": group.owned_usd_per_turn(view),
            f"{name}_usd_per_call": group.owned_usd_per_call(view),
            f"{name}_net_usd": group.net_usd(view),
        }
    return counts


def _cell(value: Decimal | int | None) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else format(value, "f")


def _plain(name: str) -> str:
    """A name that a spreadsheet takes for text: a caller chooses what it is called, and a cell
    that begins like a formula is run as one. Numbers such as +15551234567 stay as they are."""
    begins = name[:1]
    number = name[1:].isdigit() and begins in "+-"
    return f"'{name}" if begins and begins in "=+-@\t\r" and not number else name
