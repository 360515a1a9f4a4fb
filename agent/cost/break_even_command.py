"""`offhook cost break-even`: from how many minutes a month on owning beats renting."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.table import Column, Table

from agent.cost.ask import NOTHING, Asked, dollars, write_json
from agent.cost.break_even import BreakEven, OwnedBox, Swing, break_even, sensitivity, sentence
from agent.cost.erlang import Fleet, Traffic, fleet_for, traffic_of
from agent.cost.measured import Measured
from agent.cost.owned import Box, View


def run(args: argparse.Namespace, asked: Asked) -> int:
    """Prints what was found; 1 where nothing was measured, 2 for what makes no sense."""
    measured = asked.measured()
    if measured is None:
        print(f"offhook: {NOTHING}", file=sys.stderr)
        return 1
    console = Console(soft_wrap=not sys.stdout.isatty())
    carries = args.carries or asked.bill.capacity_calls
    boxes = owned_boxes(asked, measured, carries)
    rates = {stack: measured.rented_usd_per_min(stack) for stack in measured.rented}
    found = [break_even(box, stack, rate) for box in boxes for stack, rate in rates.items()]
    console.print(break_even_table(found, boxes[0]))
    here = [each for each in found if each.box == boxes[0].name]
    for each in here:
        console.print(sentence(each), highlight=False)
    stack, swings = _swings(boxes[0], rates)
    if swings:
        console.print(sensitivity_table(stack, swings))
    try:
        traffic, fleet = _fleet(asked, measured, carries, args.blocking)
    except ValueError as error:
        print(f"offhook: --blocking: {error}", file=sys.stderr)
        return 2
    console.print(traffic_sentence(traffic, fleet, carries, args.blocking), highlight=False)
    if args.png is not None:
        from agent.cost.chart import draw

        draw(args.png, boxes[0], rates)
        console.print(f"wrote {args.png}")
    write_json(args.json, _json(found, boxes, stack, swings, traffic, fleet))
    return 0


def owned_boxes(asked: Asked, measured: Measured, carries: int | None) -> list[OwnedBox]:
    """This box first, then the book's other hardware; a minute adds the same trunk to each.

    What a minute of work adds in energy is measured on this box alone. Other hardware is taken to
    be at its full draw for its whole share, which is the most that it can be.
    """
    bill = asked.bill
    boxes = [OwnedBox.of(bill.box, measured.owned_usd_per_min(View.MARGINAL), carries)]
    marginal = measured.owned.get(View.MARGINAL)
    trunk = None if marginal is None else marginal.lines_usd["trunk"]
    for name, row in bill.book.hardware.items():
        if name == bill.box.name:
            continue
        box = replace(bill.box, name=name, hardware=row)
        boxes.append(
            OwnedBox.of(box, _most_usd_per_min(box, trunk, measured), row.concurrent_calls)
        )
    return boxes


def break_even_table(found: Sequence[BreakEven], here: OwnedBox) -> Table:
    """This box against every stack; other hardware where it is known what it carries."""
    table = Table(
        "own",
        "instead of",
        Column("rented $/min", justify="right"),
        Column("from minutes a month", justify="right"),
        Column("busy", justify="right"),
        "",
    )
    for each in found:
        if each.box != here.name and each.utilisation is None:
            continue
        minutes = "-" if each.minutes_per_month is None else f"{each.minutes_per_month:,.0f}"
        busy = "-" if each.utilisation is None else f"{each.utilisation:.1%}"
        table.add_row(
            each.box,
            each.stack,
            dollars(each.rented_usd_per_min),
            minutes,
            busy,
            each.why or each.verdict.value,
        )
    return table


def sensitivity_table(stack: str, swings: Sequence[Swing]) -> Table:
    """What each assumption does, half and one and a half times as large."""
    table = Table(
        f"against {stack}",
        Column("now", justify="right"),
        Column("break-even at half of it", justify="right"),
        Column("at one and a half times", justify="right"),
        title="What matters most",
    )
    for swing in swings:
        table.add_row(
            swing.assumption.replace("_", " "),
            f"{swing.value:,.4f}",
            *(
                "never" if each.minutes_per_month is None else f"{each.minutes_per_month:,.0f}"
                for each in (swing.low, swing.high)
            ),
        )
    return table


def traffic_sentence(
    traffic: Traffic, fleet: Fleet | None, carries: int | None, blocking: float
) -> str:
    """How many boxes the recorded traffic needs, and what idle time that means."""
    said = (
        f"Recorded: {traffic.calls} calls of {traffic.mean_call_s:.0f} s; the busy hour asks for "
        f"{traffic.busy_erlangs:.2f} calls at once, all the time for {traffic.mean_erlangs:.3f}."
    )
    if fleet is None or carries is None:
        return f"{said} How many a box carries is not known: offhook bench capacity, or --carries."
    boxes = "1 box" if fleet.boxes == 1 else f"{fleet.boxes} boxes"
    return (
        f"{said} At {blocking:.1%} refused (Erlang B) that takes {boxes} of {carries} calls at "
        f"once: {fleet.idle_busy_hour:.0%} idle in the busy hour, {fleet.idle:.1%} over all. Were "
        f"callers to hold the line instead (Erlang C), {fleet.waiting:.1%} would wait, on average "
        f"{fleet.mean_wait_s:.1f} s."
    )


def _most_usd_per_min(box: Box, trunk_usd: Decimal | None, measured: Measured) -> Decimal | None:
    calls = box.hardware.concurrent_calls
    if trunk_usd is None or calls is None:
        return None
    watts = box.hardware.watts_busy - box.hardware.watts_idle
    return trunk_usd / measured.minutes + box.energy_usd(watts * 60 / calls)


def _swings(box: OwnedBox, rates: dict[str, Decimal | None]) -> tuple[str, list[Swing]]:
    """Against the cheapest stack, the hardest to beat."""
    known = {stack: rate for stack, rate in rates.items() if rate}
    if not known or box.fixed_usd_per_month is None:
        return "", []
    stack = min(known, key=lambda name: known[name])
    return stack, sensitivity(box, stack, known[stack])


def _fleet(
    asked: Asked, measured: Measured, carries: int | None, blocking: float
) -> tuple[Traffic, Fleet | None]:
    calls = [(each.started_at, each.ended_at) for each in asked.records if each.ended_at]
    traffic = traffic_of(calls, measured.from_at, measured.to_at)
    return traffic, None if carries is None else fleet_for(traffic, carries, blocking)


def _json(
    found: Sequence[BreakEven],
    boxes: Sequence[OwnedBox],
    stack: str,
    swings: Sequence[Swing],
    traffic: Traffic,
    fleet: Fleet | None,
) -> dict[str, Any]:
    return {
        "boxes": [
            {
                "name": box.name,
                "fixed_usd_per_month": box.fixed_usd_per_month,
                "marginal_usd_per_min": box.marginal_usd_per_min,
                "concurrent_calls": box.concurrent_calls,
                "assumed": list(box.assumed),
            }
            for box in boxes
        ],
        "break_even": [
            {
                "box": each.box,
                "stack": each.stack,
                "rented_usd_per_min": each.rented_usd_per_min,
                "verdict": each.verdict.value,
                "minutes_per_month": each.minutes_per_month,
                "utilisation": each.utilisation,
                "why": each.why,
                "sentence": sentence(each),
            }
            for each in found
        ],
        "sensitivity": {
            "stack": stack,
            "assumptions": [
                {
                    "assumption": swing.assumption,
                    "value": swing.value,
                    "minutes_at_half": swing.low.minutes_per_month,
                    "minutes_at_one_and_a_half": swing.high.minutes_per_month,
                }
                for swing in swings
            ],
        },
        "traffic": {
            "calls": traffic.calls,
            "busy_hour": traffic.busy_hour.isoformat() if traffic.busy_hour else None,
            "busy_erlangs": traffic.busy_erlangs,
            "mean_erlangs": traffic.mean_erlangs,
        },
        "fleet": None
        if fleet is None
        else {
            "boxes": fleet.boxes,
            "lines": fleet.lines,
            "blocked": fleet.blocked,
            "waiting": fleet.waiting,
            "mean_wait_s": fleet.mean_wait_s,
            "idle_busy_hour": fleet.idle_busy_hour,
            "idle": fleet.idle,
        },
    }
