"""Options of `offhook bench endpointing`. Imports nothing heavy: `offhook --help` stays quick."""

import argparse
from pathlib import Path

from latency_bench.options import number


def add_parser(kinds: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `offhook bench endpointing`."""
    parser = kinds.add_parser(
        "endpointing",
        help="when turns end: the wait after complete utterances against callers cut off",
        description="Runs turn taking with the settings' models over utterances of which it is "
        "known where they end and where their speaker only paused, on simulated time, at 16 kHz "
        "and through G.711, and prints the curve: this box's rule, the turn model alone, and a "
        "fixed silence. docs/turn-taking.md explains each figure.",
    )
    parser.add_argument(
        "--speech",
        type=Path,
        metavar="DIR",
        help="recordings: a folder with a manifest.json; else sentences are synthesised, which "
        "are easier than people's",
    )
    parser.add_argument(
        "--utterances", type=number(1, 1000), metavar="N", help="at most so many of each set"
    )
    parser.add_argument(
        "--cache",
        type=Path,
        metavar="FILE",
        help="keep there what the models said, for the next run with the same models and speech",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report there")
    parser.set_defaults(func=_run)


def _run(args: argparse.Namespace) -> int:
    # Imported when it runs.
    from latency_bench.endpointing.bench import run

    return run(args)
