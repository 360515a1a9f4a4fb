"""`offhook cost claims`: the founding articles' claims, reckoned."""

import argparse
import sys
from collections.abc import Mapping
from decimal import Decimal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from agent.cost.ask import Asked, write_json
from agent.cost.breakdown import sum_usd
from agent.cost.claims import Checked, Facts, check_claims
from agent.cost.owned import View


def run(args: argparse.Namespace, asked: Asked) -> int:
    """Prints one row a claim."""
    checked = check_claims(facts_of(asked, dict(args.input or ())))
    Console(soft_wrap=not sys.stdout.isatty()).print(claims_table(checked))
    write_json(args.json, [each.to_json() for each in checked])
    return 0


def facts_of(asked: Asked, given: Mapping[str, Decimal]) -> Facts:
    """What was measured, what the settings say of training, and what is given besides."""
    measured, bill = asked.measured(), asked.bill
    trained = [line.cost_usd for line in asked.config.cost.training.values()]
    owned = measured.owned.get(View.UTILISATION) if measured else None
    lines = {} if owned is None else owned.lines_usd
    return Facts(
        bill.book,
        bill.box,
        measured,
        capacity_calls=bill.capacity_calls,
        training_usd=sum(trained, Decimal(0)) if trained else None,
        inference_usd=sum_usd(usd for line, usd in lines.items() if line != "trunk")
        if lines
        else None,
        given=given,
    )


def claims_table(checked: list[Checked]) -> Table:
    """One row a claim."""
    table = Table("claim", "formula", "measured", "verdict", "why", show_lines=True)
    for each in checked:
        measured = "" if each.measured is None else f"{each.measured:.4g}"
        words = (each.claim, each.formula, measured, each.verdict.value, each.why)
        # Text: [cost.training.NAME] is no markup.
        table.add_row(*(Text(word) for word in words))
    return table
