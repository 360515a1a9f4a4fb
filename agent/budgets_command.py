"""`offhook budgets`: what was spent of each budget, and what happens at its limit."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from agent.budgets.ledger import Level
from agent.config import load_config
from agent.records.schema import StoreError

if TYPE_CHECKING:
    from agent.budgets.ledger import Standing

DESCRIPTION = """\
Lists the budgets of the settings ([[budgets]]): whose spending of this day or month each adds up,
how much of the limit that is, and what happens at the limit. Read from the call records, whether
the box runs or not: calls under way count with the turns that are over.
"""
NONE = "no budgets; the settings give each below [[budgets]]: docs/budgets.md"
STATES = {"fine": "", "warned": "yellow", "spent": "bold red"}


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command to `offhook`."""
    parser = subparsers.add_parser(
        "budgets",
        help="what was spent of each budget, and what happens at its limit",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--limit",
        type=_positive,
        default=20,
        metavar="N",
        help="how many of each budget, the most spent first (default: 20)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Prints how the budgets stand; 1 where the records cannot be read."""
    # Imported once it is known to be asked for: `offhook --help` stays quick.
    from agent.budgets.ledger import Ledger
    from agent.budgets.opening import reckoning
    from agent.budgets.read_back import ReadBack, count, earliest
    from agent.cost.bill import Bill
    from agent.records.history import records_source

    config = load_config(getattr(args, "config", None), os.environ)
    now = datetime.now(UTC)
    ledger = Ledger(config.budgets)
    if config.budgets:
        source = records_source(config.records, os.environ)
        reckon = reckoning(config, Bill.load(config))
        try:
            count(ledger, ReadBack(source, reckon, earliest(config.budgets, now)).read(now))
        except StoreError as error:
            print(f"offhook: {error}", file=sys.stderr)
            return 1
    standings = ledger.all_standings(now)
    shown = _most_spent(standings, args.limit)
    if args.json:
        print(json.dumps([standing.to_json() for standing in shown], indent=2))
        return 0
    console = Console(soft_wrap=not sys.stdout.isatty())
    if not config.budgets:
        console.print(NONE, markup=False)
        return 0
    console.print(budgets_table(shown))
    if len(standings) > len(shown):
        console.print(f"{len(standings) - len(shown)} more; --limit shows them")
    return 0


def budgets_table(standings: Sequence["Standing"]) -> Table:
    """One row for each account."""
    table = Table(
        Column("budget", no_wrap=True),
        "of",
        "until (UTC)",
        "spent",
        Column("share", justify="right"),
        "at the limit",
    )
    for each in standings:
        budget, state = each.budget, each.level.name.lower()
        spent = f"{each.spent:,.4f}" if budget.unit == "usd" else f"{each.spent:,.1f}"
        table.add_row(
            budget.name,
            # Text: a caller's name must not be read as the terminal's markup.
            Text(each.subject),
            f"{each.ends_at:%m-%d %H:%M}",
            f"{spent} of {budget.limit:,f} {budget.unit}",
            Text(f"{each.share:.1%}", style=STATES[state]),
            f"{budget.action}{', now' if each.level is Level.SPENT else ''}",
        )
    return table


def _most_spent(standings: Sequence["Standing"], limit: int) -> list["Standing"]:
    """``limit`` of each budget; they come the most spent first."""
    shown: dict[str, list[Standing]] = {}
    for standing in standings:
        kept = shown.setdefault(standing.budget.name, [])
        if len(kept) < limit:
            kept.append(standing)
    return [standing for kept in shown.values() for standing in kept]


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return value
