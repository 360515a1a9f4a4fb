"""`offhook bench`: measures a box from the caller's side of the wire."""

import argparse
from pathlib import Path


def command(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `offhook bench`."""
    bench = subparsers.add_parser(
        "bench",
        help="measure a box from the caller's side of the wire",
        description="Calls a box as a caller would and measures it from outside, with a clock "
        "of its own. docs/measuring.md says how.",
    )
    kinds = bench.add_subparsers(title="benches", metavar="BENCH", required=True)
    quick = kinds.add_parser(
        "quick",
        help="20 questions, one call at a time",
        description="Starts a box in a process of its own, asks it questions over WebRTC, one "
        "call at a time and five questions a call, and reports voice-to-voice latency, stages, "
        "missed turns, word errors, memory, start-up and idle processor time. Ctrl-C stops it "
        "and still reports what ran.",
    )
    quick.add_argument(
        "--questions",
        "--calls",
        type=_count,
        default=20,
        metavar="N",
        help="how many questions to ask (default: 20)",
    )
    quick.add_argument(
        "--speech",
        type=Path,
        metavar="DIR",
        help="ask with recordings: a folder with a manifest.json; else they are synthesised",
    )
    quick.add_argument("--json", type=Path, metavar="FILE", help="write the report there")
    quick.add_argument(
        "--url",
        metavar="URL",
        help="measure a box that already runs there, without figures of its process",
    )
    quick.set_defaults(func=_run_quick)


def _run_quick(args: argparse.Namespace) -> int:
    # Imported when it runs: `offhook --help` stays quick.
    from latency_bench.quick import run

    return run(args)


def _count(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError(f"must be 1 to 1000, not {text!r}")
    return int(text)
