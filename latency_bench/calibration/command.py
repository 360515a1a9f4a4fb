"""`offhook bench calibrate`: the error of the measurement itself, by door.

Imports nothing heavy: `offhook --help` stays quick.
"""

import argparse
from pathlib import Path

from latency_bench.target import DOORS

TURNS = 10
LIMIT_MS = 10.0
"""What the bench promises at each door, at the 95th percentile."""


def add_parser(kinds: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command."""
    parser = kinds.add_parser(
        "calibrate",
        help="the error of the measurement itself, by door",
        description="Calls an agent of its own that answers after 0, 50, 200 and 800 ms and "
        "through a network that delays packets by up to 40 ms, and compares what it measured "
        "with what the agent knows to be true. Exit status 1 where the error is over "
        f"{LIMIT_MS:g} ms at the 95th percentile.",
    )
    parser.add_argument(
        "--door",
        action="append",
        choices=DOORS,
        help="only this door; may be given several times (default: all)",
    )
    parser.add_argument(
        "--turns", type=_turns, default=TURNS, metavar="N", help=f"at each delay (default: {TURNS})"
    )
    parser.add_argument(
        "--seed", type=int, default=1, help="of where in its frames a sound begins (default: 1)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report there")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    from latency_bench.calibration.report import run

    return run(args)


def _turns(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 200:
        raise argparse.ArgumentTypeError(f"must be 1 to 200, not {text!r}")
    return int(text)
