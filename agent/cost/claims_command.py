"""`offhook cost claims`: the founding articles' claims, reckoned."""

import argparse
import sys

from rich.console import Console
from rich.table import Table

from agent.cost.ask import Asked, write_json
from agent.cost.claims import Checked, Facts, check_claims
from agent.usage import Usage


def run(args: argparse.Namespace, asked: Asked) -> int:
    """Prints one row a claim."""
    measured = asked.measured()
    bill = asked.bill
    checked = check_claims(
        Facts(
            bill.book,
            bill.box,
            measured.usage if measured else Usage(),
            mean_calls=measured.mean_calls if measured else None,
            capacity_calls=bill.capacity_calls,
        )
    )
    Console(soft_wrap=not sys.stdout.isatty()).print(claims_table(checked))
    write_json(args.json, [each.to_json() for each in checked])
    return 0


def claims_table(checked: list[Checked]) -> Table:
    """One row a claim."""
    table = Table("claim", "formula", "measured", "verdict", "why", show_lines=True)
    for each in checked:
        measured = "" if each.measured is None else f"{each.measured:.4g}"
        table.add_row(each.claim, each.formula, measured, each.verdict.value, each.why)
    return table
