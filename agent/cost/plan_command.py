"""`offhook cost plan`: training and inference as two budgets, month by month."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from agent.cost.ask import NOTHING, Asked, dollars, view_named, write_json
from agent.cost.measured import Measured, measure
from agent.cost.owned import View
from agent.cost.plan import Month, Training, first_of, later, plan
from agent.records.record import CallRecord
from agent.sections import TrainingConfig


def run(args: argparse.Namespace, asked: Asked) -> int:
    """Prints both budgets; 1 where there is neither training nor a call."""
    lines = trainings(asked.config.cost.training)
    together = asked.measured()
    if together is None and not lines:
        print(
            f"offhook: {NOTHING}; what training cost is entered as [cost.training.NAME]",
            file=sys.stderr,
        )
        return 1
    view = view_named(args.view)
    months = plan(lines, [] if together is None else inference(asked, together, view))
    months = [each for each in months if _asked_for(each, asked)]
    console = Console(soft_wrap=not sys.stdout.isatty())
    if lines:
        console.print(training_table(lines, datetime.now(UTC).date()))
    console.print(months_table(months, view, blend=args.blend))
    if not lines:
        console.print(
            "No training was entered: [cost.training.NAME] in the settings.", markup=False
        )
    write_json(args.json, to_json(lines, months, view, blend=args.blend))
    return 0


def trainings(entered: Mapping[str, TrainingConfig]) -> list[Training]:
    """The lines of the settings, by day."""
    lines = [Training(n, t.cost_usd, t.date, t.model, t.months) for n, t in entered.items()]
    return sorted(lines, key=lambda line: (line.paid, line.name))


def inference(
    asked: Asked, together: Measured, view: View
) -> list[tuple[date, Decimal | None, Decimal]]:
    """Months (UTC) with the dollars of the calls that began in them, and their minutes.

    Every call pays the share that the mean of all of them gives, as in the report, so that the
    months sum to its total.
    """
    months: dict[date, list[CallRecord]] = {}
    for record in asked.records:
        months.setdefault(first_of(record.started_at.astimezone(UTC).date()), []).append(record)
    found = []
    for month, calls in months.items():
        measured = measure(calls, asked.bill, mean_calls=together.mean_calls)
        if measured is not None:
            cost = measured.owned.get(view)
            found.append((month, None if cost is None else cost.total_usd, measured.minutes))
    return found


def training_table(lines: Sequence[Training], today: date) -> Table:
    """A row a line of capital: what of it is written off, and what is left."""
    table = Table(
        "training",
        "model",
        "paid",
        *(Column(name, justify="right") for name in ("dollars", "months", "written off", "left")),
        title="Capital",
    )
    for line in lines:
        gone = line.written_off_until_usd(today)
        table.add_row(
            # Text: names are the user's, and no markup.
            Text(line.name),
            Text(line.model or "-"),
            line.paid.isoformat(),
            dollars(line.cost_usd, 2),
            str(line.months),
            dollars(gone, 2),
            dollars(line.cost_usd - gone, 2),
        )
    return table


def months_table(months: Sequence[Month], view: View, *, blend: bool) -> Table:
    """A row a month; the two are added up only where ``blend`` asks for it."""
    names = ["training", "inference", "minutes", "inference a minute"]
    table = Table(
        "month (UTC)",
        *(Column(name, justify="right") for name in names),
        *(Column(name, justify="right") for name in ("both", "both a minute") if blend),
        title=f"Two budgets, dollars; inference {view.value}",
    )
    for each in months:
        cells = [
            dollars(each.training_usd, 2),
            dollars(each.inference_usd),
            f"{each.minutes:.1f}",
            dollars(each.inference_usd_per_min) if each.minutes else "-",
        ]
        if blend:
            cells += [dollars(each.blended_usd)]
            cells += [dollars(each.blended_usd_per_min) if each.minutes else "-"]
        table.add_row(f"{each.month:%Y-%m}", *cells)
    return table


def to_json(
    lines: Sequence[Training], months: Sequence[Month], view: View, *, blend: bool
) -> dict[str, Any]:
    """The same; dollars as exact text, null where not known."""
    return {
        "view": view.value,
        "training": [
            {
                "name": line.name,
                "model": line.model,
                "paid": line.paid.isoformat(),
                "cost_usd": line.cost_usd,
                "months": line.months,
            }
            for line in lines
        ],
        "months": [_month_json(each, blend=blend) for each in months],
    }


def _month_json(each: Month, *, blend: bool) -> dict[str, Any]:
    apart = {
        "month": f"{each.month:%Y-%m}",
        "training_usd": each.training_usd,
        "inference_usd": each.inference_usd,
        "minutes": each.minutes,
        "inference_usd_per_min": each.inference_usd_per_min,
    }
    if not blend:
        return apart
    return {
        **apart,
        "blended_usd": each.blended_usd,
        "blended_usd_per_min": each.blended_usd_per_min,
    }


def _asked_for(month: Month, asked: Asked) -> bool:
    """Whether any day of it lies in the time asked for."""
    after = asked.since is None or asked.since.date() < later(month.month, 1)
    return after and (asked.until is None or month.month < asked.until.date())
