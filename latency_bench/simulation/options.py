"""The command line of `offhook bench simulate`. Imports nothing heavy."""

import argparse
from pathlib import Path

MOST_CALLS = 1000
CALLS = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 100, 150, 200)


def add_parser(kinds: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds it to `offhook bench`."""
    parser = kinds.add_parser(
        "simulate",
        help="what more calls, or a GPU, would do: the box in simulated time",
        description="Runs the box's own queue and batcher in simulated time, with the cost of "
        "every job as it was recorded, and says how latency grows with the calls and what runs "
        "out. docs/density.md says what is assumed.",
    )
    parser.add_argument(
        "--calls",
        type=_calls,
        default=CALLS,
        metavar="N,N,...",
        help=f"calls at once (default: {','.join(map(str, CALLS))})",
    )
    parser.add_argument(
        "--costs",
        type=Path,
        metavar="FILE",
        help="costs that --record wrote (default: those of a 2-core machine)",
    )
    parser.add_argument(
        "--record",
        type=Path,
        metavar="FILE",
        help="measure the costs of this machine first, write them there, and use them",
    )
    parser.add_argument(
        "--speech",
        type=Path,
        metavar="DIR",
        help="with --record: recordings, a folder with a manifest.json; else they are synthesised",
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="with --record: the settings")
    parser.add_argument(
        "--gpu", action="store_true", help="an imagined GPU with larger models in place of them"
    )
    parser.add_argument(
        "--compare",
        action="store_true",
        help="also without guesses, with guesses whatever the load, and first come first served",
    )
    parser.add_argument(
        "--check",
        type=Path,
        metavar="FILE",
        help="set the simulation beside a report of `offhook bench capacity`",
    )
    parser.add_argument(
        "--seconds",
        type=_seconds,
        default=300.0,
        metavar="S",
        help="simulated time of each level (default: 300)",
    )
    parser.add_argument(
        "--p95-ms",
        type=_milliseconds,
        default=1200.0,
        metavar="MS",
        help="the P95 that a load must keep to (default: 1200)",
    )
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="draws other callers")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report there")
    parser.set_defaults(func=_run)


def _run(args: argparse.Namespace) -> int:
    # Imported when it runs: `offhook --help` stays quick.
    from latency_bench.simulation.command import run

    return run(args)


def _calls(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(part.isdigit() and 1 <= int(part) <= MOST_CALLS for part in parts):
        raise argparse.ArgumentTypeError(
            f"must be numbers of 1 to {MOST_CALLS}, such as 1,10, not {text!r}"
        )
    return tuple(sorted({int(part) for part in parts}))


def _seconds(text: str) -> float:
    return _number(text, 10, 36_000)


def _milliseconds(text: str) -> float:
    return _number(text, 1, 60_000)


def _number(text: str, least: float, most: float) -> float:
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not least <= found <= most:
        raise argparse.ArgumentTypeError(f"must be {least:g} to {most:g}, not {text!r}")
    return found
