"""`offhook calls`: what was said, how fast, and what it cost."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from agent.config import load_config
from agent.cost.breakdown import exact, shown_in_steps, sum_usd
from agent.latency import STAGES
from agent.records.history import calls, find_call, records_source
from agent.records.record import CallRecord, TurnRecord
from agent.records.schema import StoreError

STEP = Decimal("0.000001")
"""What a dollar is shown in; lines add up as they are shown."""
DESCRIPTION = """\
Lists the latest calls: when, through which door (and trunk), from or to whom, how long, how many
turns, how fast (median and 95th percentile, end of speech to first packet, as seen from
inside), what the call cost here, and why it ended. With CALL_ID (its first letters are enough):
that call's turns, where their milliseconds went, and what it would have cost on rented parts.
"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command to `offhook`."""
    parser = subparsers.add_parser(
        "calls",
        help="what was said, how fast, and what it cost",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("call_id", nargs="?", metavar="CALL_ID", help="show one call")
    parser.add_argument(
        "--limit", type=_positive, default=20, metavar="N", help="how many (default: 20)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Prints what was asked for; 1 where there is none, or the file cannot be read."""
    settings = load_config(getattr(args, "config", None), os.environ).records
    source = records_source(settings, os.environ)
    console = Console(soft_wrap=not sys.stdout.isatty())
    try:
        if args.call_id is None:
            latest = list(calls(source, limit=args.limit, newest_first=True))
            return _list(console, latest, args.json)
        found = find_call(source, args.call_id)
    except StoreError as error:
        print(f"offhook: {error}", file=sys.stderr)
        return 1
    if found is None:
        print(f"offhook: no call {args.call_id!r} in {source}", file=sys.stderr)
        return 1
    return _show(console, *found, args.json)


def calls_table(calls: Sequence[CallRecord]) -> Table:
    """One row a call."""
    table = Table(
        # The name of a call is there to be copied, on a narrow terminal too.
        Column("call", no_wrap=True, min_width=12),
        *("when (UTC)", "door", "with", "length", "turns", "P50", "P95", "cost", "end"),
    )
    for call in calls:
        table.add_row(
            call.call_id,
            f"{call.started_at:%Y-%m-%d %H:%M:%S}",
            Text(f"{call.door} ({call.trunk})" if call.trunk else call.door),
            Text(f"{'to' if call.direction == 'outbound' else 'from'} {call.caller or '-'}"),
            _length(call),
            str(call.turns),
            _ms(call.latency_ms(50)),
            _ms(call.latency_ms(95)),
            _usd(call.owned_usd),
            Text(call.cause or "under way"),
        )
    return table


def turns_table(turns: Sequence[TurnRecord]) -> Table:
    """One row a turn: the waterfall's steps in milliseconds, the words below each other."""
    table = Table("turn", *(stage.replace("_", " ") for stage in STAGES), "total", "cost", "words")
    for turn in turns:
        steps = turn.trace.stages_ms()
        words = f"> {turn.heard}\n{turn.answer}" if turn.heard else turn.answer
        table.add_row(
            str(turn.turn),
            *(_ms(steps.get(stage)) for stage in STAGES),
            _ms(turn.trace.total_ms),
            _usd(turn.owned_usd),
            # Text: what a caller says must not be read as the terminal's markup.
            Text(words + (" (interrupted)" if turn.interrupted else "")),
        )
    return table


def owned_table(call: CallRecord) -> Table:
    """What the call cost here: a row a line, a column a view, as they were reckoned at its end."""
    views = {
        view: shown_in_steps(lines, STEP)
        for view, lines in call.owned_lines.items()
        if lines is not None
    }
    table = Table("this box", *(Column(view, justify="right") for view in [*views] or [""]))
    for line in next(iter(views.values()), {}):
        table.add_row(line.replace("_", " "), *(_usd(lines[line]) for lines in views.values()))
    table.add_section()
    totals = [sum_usd(lines.values()) for lines in views.values()] or [call.owned_usd]
    table.add_row("together", *map(_usd, totals))
    table.add_row("a minute", *(_usd(_by_minute(call, usd)) for usd in totals))
    return table


def rented_table(call: CallRecord) -> Table:
    """What it would have cost on each rented stack, part by part."""
    parts = list(dict.fromkeys(part for lines in call.rented_lines.values() for part in lines))
    names = (*parts, "together", "a minute")
    table = Table("rented", *(Column(name, justify="right") for name in names))
    for stack, usd in call.rented_usd.items():
        lines = shown_in_steps(call.rented_lines.get(stack, {}), STEP)
        cells = (_usd(lines[part]) if part in lines else "" for part in parts)
        table.add_row(Text(stack), *cells, _usd(usd), _usd(_by_minute(call, usd)))
    return table


def _list(console: Console, calls: Sequence[CallRecord], as_json: bool) -> int:
    if as_json:
        print(json.dumps([_call_json(call) for call in calls], indent=2))
    else:
        console.print(calls_table(calls) if calls else "no calls yet")
    return 0


def _show(console: Console, call: CallRecord, turns: Sequence[TurnRecord], as_json: bool) -> int:
    if as_json:
        print(json.dumps({**_call_json(call), "turn_records": _turns_json(turns)}, indent=2))
        return 0
    console.print(calls_table([call]))
    if call.dialled or call.profile:
        # Text: a caller chooses the name that is dialled.
        console.print(Text(f"dialled: {call.dialled or '-'}; profile: {call.profile or 'agent'}"))
    if call.workflow or call.tenant or call.outcome:
        worth = (
            "" if call.outcome_value_usd is None else f", worth {call.outcome_value_usd} dollars"
        )
        console.print(
            Text(
                f"workflow: {call.workflow or '-'}; tenant: {call.tenant or '-'}; "
                f"outcome: {call.outcome or '-'}{worth}"
            )
        )
    for table in (turns_table(turns), owned_table(call), rented_table(call)):
        console.print(table)
    return 0


def _call_json(call: CallRecord) -> dict[str, Any]:
    return {**call.to_json(), "p50_ms": call.latency_ms(50), "p95_ms": call.latency_ms(95)}


def _turns_json(turns: Sequence[TurnRecord]) -> list[dict[str, Any]]:
    return [
        {
            **turn.to_json(),
            "stages_ms": turn.trace.stages_ms(),
            "at_ms": turn.trace.at_ms(),
            "total_ms": turn.trace.total_ms,
        }
        for turn in turns
    ]


def _length(call: CallRecord) -> str:
    if call.cause is None or not call.usage.call_s:
        return "-"
    minutes, seconds = divmod(round(call.usage.call_s), 60)
    return f"{minutes}:{seconds:02d}"


def _by_minute(call: CallRecord, usd: Decimal | None) -> Decimal | None:
    minutes = exact(call.usage.call_s) / 60
    return None if usd is None or not minutes else usd / minutes


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} ms"


def _usd(value: Decimal | None) -> str:
    return "-" if value is None else f"${value:.6f}"


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return value
