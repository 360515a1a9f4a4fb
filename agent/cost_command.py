"""`offhook cost`: what calls cost here, and what they would cost rented."""

import argparse
import sys
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from importlib import import_module
from pathlib import Path

DESCRIPTION = """\
Prices the recorded calls: on this box, in three views that are always named (marginal, at measured
utilisation, at capacity), and on rented stacks by their own rules of billing.

  offhook cost report       recorded calls, grouped: a minute, a turn, a caller, an outcome
  offhook cost machine      this machine's own dollars a minute by stage, beside every rented stack
  offhook cost break-even   from how many minutes a month on owning beats renting, and how many
                            boxes the recorded traffic needs
  offhook cost claims       the founding articles' claims, each with formula, inputs and verdict
  offhook cost plan         training and inference as two budgets, month by month

docs/costs.md has every formula. Prices of your own: `book` in [cost].
"""

BY = ("call", "caller", "profile", "workflow", "outcome", "trunk", "tenant", "door", "day")
VIEWS = ("marginal", "utilisation", "capacity")
INPUTS = {
    "agentic_tokens_per_turn": "tokens of a turn of an agent that uses tools",
    "minutes_per_usd_a_year_ago": "minutes of call that a dollar bought on a full box",
    "turns_per_joule_a_year_ago": "turns that a joule answered",
}
"""Of the claims: what no box can measure of itself."""
MOST_CALLS = 100_000
BLOCKING = 0.01
"""Of the busy hour's calls, how many may be refused."""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command to `offhook`."""
    parser = subparsers.add_parser(
        "cost",
        help="what calls cost here, and what they would cost rented",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    kinds = parser.add_subparsers(title="what", metavar="WHAT", required=True)
    machine = kinds.add_parser(
        "machine", help="this machine's own dollars a minute, beside every rented stack"
    )
    break_even = kinds.add_parser(
        "break-even",
        help="from how many minutes a month on owning beats renting",
        description="For this box as measured, and for the other hardware of the price book. How "
        "many calls that carries is not known unless its row or --carries ROW=N says so.",
    )
    break_even.add_argument(
        "--carries",
        type=_carries,
        action="append",
        metavar="[ROW=]N",
        help="calls at once of this box (default: as `offhook bench capacity` measured), or of "
        "another row of the price book; may be given again",
    )
    break_even.add_argument(
        "--blocking",
        type=float,
        default=BLOCKING,
        metavar="SHARE",
        help=f"of the busy hour's calls, how many may be refused (default: {BLOCKING:g})",
    )
    break_even.add_argument("--png", type=Path, metavar="FILE", help="draw the chart there")
    claims = kinds.add_parser(
        "claims", help="the founding articles' claims, with formula, inputs and verdict"
    )
    claims.add_argument(
        "--input",
        type=_input,
        action="append",
        metavar="NAME=VALUE",
        help="what this box cannot measure and you know: "
        + "; ".join(f"{name} ({what})" for name, what in INPUTS.items()),
    )
    report = kinds.add_parser(
        "report",
        help="recorded calls by caller, profile, workflow, outcome, trunk or day, owned and rented",
    )
    report.add_argument(
        "--by",
        choices=(*BY, "stack"),
        default="day",
        help="what calls are grouped by; stack: all of them, on this box and on each rented stack "
        "(default: day)",
    )
    report.add_argument(
        "--format",
        choices=("table", "csv", "json", "focus"),
        default="table",
        help="focus: the FinOps Foundation's cost and usage columns, a row a line of a call's bill",
    )
    plan = kinds.add_parser(
        "plan",
        help="training and inference as two budgets, month by month",
        description="Training is entered as [cost.training.NAME]: cost_usd, date, model, months. "
        "It is written off in equal parts, and shown apart from what calls cost.",
    )
    plan.add_argument(
        "--blend", action="store_true", help="add both up, too, and show a minute with training in"
    )
    for command in (report, plan):
        command.add_argument(
            "--view",
            choices=VIEWS,
            default="utilisation",
            help="which share of the box a call pays for (default: utilisation)",
        )
    for command, module in (
        (report, "report_command"),
        (plan, "plan_command"),
        (machine, "machine_command"),
        (break_even, "break_even_command"),
        (claims, "claims_command"),
    ):
        command.add_argument(
            "--since",
            type=_day,
            metavar="DAY",
            help="only calls from that day on, and the idle time since (YYYY-MM-DD, UTC)",
        )
        command.add_argument(
            "--until", type=_day, metavar="DAY", help="only calls before that day (UTC)"
        )
        command.add_argument("--json", type=Path, metavar="FILE", help="write it as JSON, too")
        command.set_defaults(func=_run, module=f"agent.cost.{module}")


def _run(args: argparse.Namespace) -> int:
    # Imported when it runs: prices, charts and the database take a second to load.
    from agent.cost.ask import Asked
    from agent.records.schema import StoreError

    try:
        asked = Asked.of(args)
        status: int = import_module(args.module).run(args, asked)
    except StoreError as error:
        print(f"offhook: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"offhook: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    return status


def _day(text: str) -> datetime:
    try:
        return datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no day: write it as 2026-11-30") from error


def _input(text: str) -> tuple[str, Decimal]:
    name, _, value = text.partition("=")
    if name not in INPUTS:
        raise argparse.ArgumentTypeError(f"no input named {name!r}; there are: {', '.join(INPUTS)}")
    try:
        number = Decimal(value)
    except InvalidOperation:
        number = Decimal(0)
    if not number.is_finite() or number <= 0:
        raise argparse.ArgumentTypeError(f"{text!r}: write a number over 0 after {name}=")
    return name, number


def _carries(text: str) -> tuple[str, int]:
    """A row of the book, empty for this box, and its calls at once."""
    row, _, calls = text.rpartition("=")
    if not calls.isdecimal() or not 1 <= int(calls) <= MOST_CALLS:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no number of calls: write 1 to {MOST_CALLS}, after ROW= where it is "
            "another row's"
        )
    return row.strip(), int(calls)
