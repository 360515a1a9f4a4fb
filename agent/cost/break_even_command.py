"""`offhook cost break-even`: from how many minutes a month on owning beats renting."""

import argparse
import sys
from datetime import UTC, date, datetime

from rich.console import Console

from agent.cost.ask import NOTHING, Asked, write_json
from agent.cost.break_even_tables import (
    break_even_table,
    hardware_table,
    sensitivity_table,
    to_json,
    traffic_sentence,
)
from agent.cost.comparison import Comparison, compare
from agent.cost.left_out import left_out
from agent.cost.price_book import PriceBook, find, stale
from agent.cost.price_row import Row


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
        found = compare(asked.bill, asked.records, measured, carries, args.blocking)
    except ValueError as error:
        print(f"offhook: --blocking: {error}", file=sys.stderr)
        return 2
    note = left_out(asked.config, asked.bill.box.hardware)
    _print(found, note, old_rows(asked.bill.book, datetime.now(UTC).date()))
    if args.png is not None:
        from agent.cost.chart import draw

        try:
            draw(args.png, found.here.owned, found.rates)
        except ValueError as error:
            print(f"offhook: --png: {error}", file=sys.stderr)
            return 2
        print(f"wrote {args.png}")
    write_json(args.json, to_json(found, note))
    return 0


def old_rows(book: PriceBook, today: date) -> list[str]:
    """Of other hardware and the place it stands in; those of this box are warned of before."""
    rows: dict[str, Row] = {f"hardware {name}": row for name, row in book.hardware.items()}
    return stale({**rows, "colocation": book.colocation}, today)


def _print(found: Comparison, note: str, old: list[str]) -> None:
    console = Console(soft_wrap=not sys.stdout.isatty())
    name = found.here.box.name
    console.print(break_even_table([each for each in found.crossings if each.box == name]))
    if found.swings:
        console.print(sensitivity_table(found.against, found.swings))
    console.print(hardware_table(found.others, found.rates))
    if old:
        console.print(f"Check these rows: {'; '.join(old)}.", markup=False, highlight=False)
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
    console.print(note, markup=False, highlight=False)
