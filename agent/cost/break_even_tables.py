"""How a break-even is shown: tables, a sentence about traffic, and JSON."""

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from rich.table import Column, Table
from rich.text import Text

from agent.cost.ask import dollars
from agent.cost.break_even import BreakEven, Verdict, break_even, sentence
from agent.cost.comparison import Comparison
from agent.cost.erlang import Fleet, Traffic
from agent.cost.scenario import Scenario, Swing


def break_even_table(crossings: Sequence[BreakEven]) -> Table:
    """One box against every stack."""
    table = Table(
        "own",
        "instead of",
        Column("rented $/min", justify="right"),
        Column("from minutes a month", justify="right"),
        Column("busy", justify="right"),
        "",
    )
    for each in crossings:
        table.add_row(
            Text(each.box),
            Text(each.stack),
            dollars(each.rented_usd_per_min),
            _minutes(each.minutes_per_month, "-"),
            "-" if each.utilisation is None else f"{each.utilisation:.1%}",
            Text(each.why or each.verdict.value),
        )
    return table


def sensitivity_table(stack: str, swings: Sequence[Swing]) -> Table:
    """What each assumption does, half and one and a half times as large."""
    table = Table(
        Column(Text(f"against {stack}")),
        Column("now", justify="right"),
        Column("break-even at half of it", justify="right"),
        Column("at one and a half times", justify="right"),
        title="What matters most: minutes a month",
    )
    for swing in swings:
        ends = [_minutes(each.minutes_per_month, "never") for each in (swing.low, swing.high)]
        table.add_row(
            swing.assumption.replace("_", " "),
            f"{swing.value:,.4f}".rstrip("0").rstrip("."),
            *(ends if swing.moves else ("no change", "no change")),
        )
    return table


def hardware_table(others: Sequence[Scenario], rates: Mapping[str, Decimal | None]) -> Table:
    """The book's other hardware against the cheapest stack, the hardest to beat."""
    known = sorted((rate, stack) for stack, rate in rates.items() if rate is not None)
    rate, stack = known[0] if known else (None, "")
    table = Table(
        "row",
        "bought, colocated, rented by the hour",
        Column("dollars a month", justify="right"),
        Column("carries", justify="right"),
        Column("cheaper from minutes a month", justify="right"),
        Column("or if it carried, never idle", justify="right"),
        title=Text(f"Other hardware against {stack}") if stack else "Other hardware",
    )
    for scenario in others:
        owned = scenario.owned
        least = "at least " if owned.leaves_out else ""
        needed = None if rate is None else scenario.calls_to_beat(rate)
        fixed, calls = owned.fixed_usd_per_month, owned.concurrent_calls
        table.add_row(
            Text(owned.name),
            Text(scenario.box.hardware.what),
            "unknown" if fixed is None else f"{least}{fixed:,.0f}",
            "unknown" if calls is None else f"{calls} calls",
            _crossing(break_even(owned, stack, rate), least),
            "unknown" if needed is None else f"{least}{needed:,.1f} calls",
        )
    return table


DAY_S = 86_400


def traffic_sentence(traffic: Traffic, fleet: Fleet | None, here: Scenario, blocking: float) -> str:
    """How many boxes the recorded traffic needs, and what idle time that means."""
    said = (
        f"Recorded: {traffic.calls} calls of {traffic.mean_call_s:.0f} s; the busy hour asks for "
        f"{traffic.busy_erlangs:.2f} calls at once, all the time for {traffic.mean_erlangs:.3f}."
    )
    over_s = (traffic.to_at - traffic.from_at).total_seconds()
    if over_s < DAY_S:
        said += (
            f" That was within {over_s / 60:,.0f} minutes, which tells little of a month: what "
            "follows takes every hour of it to be like these."
        )
    if fleet is None:
        return f"{said} How many a box carries is not known: offhook bench capacity, or --carries."
    boxes = "1 box" if fleet.boxes == 1 else f"{fleet.boxes} boxes"
    wait = (
        f"on average {fleet.mean_wait_s:.1f} s"
        if math.isfinite(fleet.mean_wait_s)
        else "without end"
    )
    return (
        f"{said} At {blocking:.1%} refused (Erlang B) that takes {boxes} of "
        f"{here.concurrent_calls} calls at once: {fleet.idle_busy_hour:.0%} idle in the busy hour, "
        f"{fleet.idle:.1%} over all. Were callers to hold the line instead (Erlang C), "
        f"{fleet.waiting:.1%} would wait, {wait}."
    )


def to_json(found: Comparison, note: str) -> dict[str, Any]:
    """All of it; dollars as exact text, null where not known. ``note``: what dollars leave out."""
    traffic, fleet = found.traffic, found.fleet
    return {
        "boxes": [_box_json(each, found.rates) for each in (found.here, *found.others)],
        "break_even": [_crossing_json(each) for each in found.crossings],
        "sensitivity": {
            "stack": found.against,
            "assumptions": [
                {
                    "assumption": swing.assumption,
                    "value": swing.value,
                    "minutes_at_half": swing.low.minutes_per_month,
                    "minutes_at_one_and_a_half": swing.high.minutes_per_month,
                }
                for swing in found.swings
            ],
        },
        "traffic": {
            "calls": traffic.calls,
            "from": traffic.from_at.isoformat(),
            "to": traffic.to_at.isoformat(),
            "mean_call_s": traffic.mean_call_s,
            "busy_hour": traffic.busy_hour.isoformat() if traffic.busy_hour else None,
            "busy_erlangs": traffic.busy_erlangs,
            "mean_erlangs": traffic.mean_erlangs,
        },
        "fleet": None if fleet is None else _fleet_json(fleet, found.blocking),
        "advice": found.advice,
        "note": note,
    }


def _box_json(scenario: Scenario, rates: Mapping[str, Decimal | None]) -> dict[str, Any]:
    owned = scenario.owned
    return {
        "name": owned.name,
        "what": scenario.box.hardware.what,
        "fixed_usd_per_month": owned.fixed_usd_per_month,
        "marginal_usd_per_min": owned.marginal_usd_per_min,
        "concurrent_calls": owned.concurrent_calls,
        "assumed": list(owned.assumed),
        "leaves_out": owned.leaves_out,
        "calls_to_beat": {
            stack: None if rate is None else scenario.calls_to_beat(rate)
            for stack, rate in rates.items()
        },
    }


def _crossing_json(each: BreakEven) -> dict[str, Any]:
    return {
        "box": each.box,
        "stack": each.stack,
        "rented_usd_per_min": each.rented_usd_per_min,
        "verdict": each.verdict.value,
        "minutes_per_month": each.minutes_per_month,
        "utilisation": each.utilisation,
        "why": each.why,
        "sentence": sentence(each),
    }


def _fleet_json(fleet: Fleet, blocking: float) -> dict[str, Any]:
    return {
        "blocking": blocking,
        "boxes": fleet.boxes,
        "lines": fleet.lines,
        "blocked": fleet.blocked,
        "waiting": fleet.waiting,
        # JSON has no infinity: null is a wait without end.
        "mean_wait_s": fleet.mean_wait_s if math.isfinite(fleet.mean_wait_s) else None,
        "idle_busy_hour": fleet.idle_busy_hour,
        "idle": fleet.idle,
    }


def _crossing(each: BreakEven, least: str) -> str:
    if each.minutes_per_month is not None:
        return f"{least}{each.minutes_per_month:,.0f}"
    return "never" if each.verdict is Verdict.RENT else "unknown"


def _minutes(minutes: Decimal | None, otherwise: str) -> str:
    return otherwise if minutes is None else f"{minutes:,.0f}"
