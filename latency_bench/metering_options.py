"""What `offhook bench metering` takes; light, for `offhook --help` reads it."""

import argparse
from pathlib import Path


def add_parser(kinds: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `offhook bench metering`."""
    metering = kinds.add_parser(
        "metering",
        help="what the meter itself takes: processor time idle, a call, a turn",
        description="Runs the box's meter on this machine's real counters, with calls that do "
        "nothing themselves, and reports what it takes of the processor (limit: 1% of a core) and "
        "what a turn's counting takes (limit: 1 ms).",
    )
    metering.add_argument(
        "--calls",
        type=_counts,
        default=[1, 4, 16],
        metavar="N,N,...",
        help="calls at once in each round (default: 1,4,16)",
    )
    metering.add_argument(
        "--seconds", type=_seconds, default=10, metavar="S", help="of a round (default: 10)"
    )
    metering.add_argument("--json", type=Path, metavar="FILE", help="write the report there")
    metering.set_defaults(func=_run)


def _run(args: argparse.Namespace) -> int:
    # Imported when it runs: `offhook --help` stays quick.
    from latency_bench.metering_bench import run

    return run(args)


def _counts(text: str) -> list[int]:
    counts = [int(part) for part in text.split(",") if part.isdecimal()]
    if len(counts) != text.count(",") + 1 or not all(1 <= count <= 1000 for count in counts):
        raise argparse.ArgumentTypeError(f"must be numbers of 1 to 1000, such as 1,4, not {text!r}")
    return counts


def _seconds(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 600:
        raise argparse.ArgumentTypeError(f"must be 1 to 600, not {text!r}")
    return int(text)
