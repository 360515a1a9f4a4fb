"""The command lines of `offhook bench capacity` and `soak`. Imports nothing heavy."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from latency_bench.load.objective import (
    DEFAULT,
    LEVELS,
    MOST_CALLS,
    Objective,
    ObjectiveError,
    levels_up_to,
    parse_levels,
    parse_objective,
)
from latency_bench.options import (
    add_output_arguments,
    add_session_arguments,
    add_target,
    amount,
    number,
    seconds,
)

T = TypeVar("T")


def add_parser(kinds: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Both."""
    add_capacity_parser(kinds)
    add_soak_parser(kinds)


def add_capacity_parser(kinds: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """`offhook bench capacity`."""
    parser = kinds.add_parser(
        "capacity",
        help="how many calls at once an agent carries, and what runs out first",
        description="Raises the number of calls at once until the answers come too late or not at "
        "all, and says how many were carried and what ran out. Callers arrive, pause and leave "
        "as people do, never in step. Ctrl-C stops it and still reports the levels that ran. Of "
        "`self`, --install has the box take as many calls as were carried.",
    )
    add_target(parser, optional=True)
    parser.add_argument(
        "--objective",
        type=_objective,
        default=parse_objective(DEFAULT),
        metavar="LIMITS",
        help=f"what a load must keep to (default: {DEFAULT})",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--levels",
        type=_levels,
        default=LEVELS,
        metavar="N,N,...",
        help="calls at once to try, rising until one breaks the objective, then between "
        f"(default: {','.join(map(str, LEVELS))})",
    )
    which.add_argument(
        "--max",
        dest="levels",
        type=_up_to,
        metavar="N",
        help="the usual levels as far as N",
    )
    parser.add_argument(
        "--seconds",
        type=seconds,
        default=60.0,
        metavar="S",
        help="how long a level is measured, at least (default: 60)",
    )
    parser.add_argument(
        "--turns",
        type=number(1, 10_000),
        default=20,
        metavar="N",
        help="turns that a level has to count, at least; it lasts up to four times as long for "
        "them (default: 20)",
    )
    _add_habits(parser)
    add_session_arguments(parser)
    parser.add_argument("--name", metavar="TEXT", help="what the report calls the target")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="keep every level there as it ends; the same command goes on with a search that was "
        "stopped",
    )
    parser.add_argument(
        "--install",
        action="store_true",
        help="of `self`: put the result where the box reads how many calls it may take",
    )
    add_output_arguments(parser)
    parser.set_defaults(func=_run_capacity)


def add_soak_parser(kinds: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """`offhook bench soak`."""
    parser = kinds.add_parser(
        "soak",
        help="calls for hours: does memory, or latency, grow?",
        description="Calls without a break and says whether memory, open files, threads or "
        "latency grow, with a confidence interval. Figures are written to --out as they come; "
        "the same command goes on with a soak that was stopped. Ctrl-C still reports.",
    )
    add_target(parser, optional=True)
    parser.add_argument(
        "--hours",
        type=amount("hours", 1000),
        default=1.0,
        metavar="H",
        help="how long (default: 1)",
    )
    parser.add_argument(
        "--concurrency",
        type=number(1, 64),
        default=1,
        metavar="C",
        help="calls at once, each from a process of its own (default: 1)",
    )
    parser.add_argument(
        "--every",
        type=seconds,
        default=30.0,
        metavar="S",
        help="how often to look at the box (default: 30)",
    )
    _add_habits(parser)
    add_session_arguments(parser)
    parser.add_argument("--name", metavar="TEXT", help="what the report calls the target")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="where samples go as they come (samples.jsonl)"
    )
    add_output_arguments(parser)
    parser.set_defaults(func=_run_soak)


def _add_habits(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--think",
        type=seconds,
        default=2.0,
        metavar="S",
        help="mean pause of a caller before the next question (default: 2)",
    )
    parser.add_argument(
        "--wait",
        type=seconds,
        default=8.0,
        metavar="S",
        help="no answer by then is a missed turn (default: 8)",
    )


def _objective(text: str) -> Objective:
    return _read(parse_objective, text)


def _levels(text: str) -> tuple[int, ...]:
    return _read(parse_levels, text)


def _up_to(text: str) -> tuple[int, ...]:
    return levels_up_to(number(1, MOST_CALLS)(text))


def _read(read: Callable[[str], T], text: str) -> T:
    try:
        return read(text)
    except ObjectiveError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _run_capacity(args: argparse.Namespace) -> int:
    from latency_bench.load.capacity import run

    return run(args)


def _run_soak(args: argparse.Namespace) -> int:
    from latency_bench.load.soak import run

    return run(args)
