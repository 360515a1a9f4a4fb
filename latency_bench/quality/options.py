"""Options of `offhook bench quality`. Imports nothing heavy: `offhook --help` stays quick."""

import argparse
from pathlib import Path

from latency_bench.options import number
from latency_bench.target import WAYS

PARTS = ("hearing", "end-of-turn", "barge-in", "answers")


def add_parser(kinds: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `offhook bench quality`."""
    parser = kinds.add_parser(
        "quality",
        help="how well a box hears, takes turns and answers",
        description="Runs the engines that the settings name, faster than real time, on speech "
        "through telephone codecs, noise and lost packets, and reports word errors, turns ended "
        "too early or too late, what silences the agent, and answers checked by rules. Ctrl-C "
        "stops it and still reports what ran. docs/quality.md explains each figure.",
    )
    parser.add_argument(
        "target",
        metavar="TARGET",
        nargs="?",
        help=f"ask the questions over calls to another agent: {WAYS.replace(', or self', '')}; "
        "else the box's own language model answers, without a call",
    )
    parser.add_argument(
        "--speech",
        type=Path,
        metavar="DIR",
        help="recordings: a folder with a manifest.json; else sentences are synthesised, which "
        "are easier than people's",
    )
    parser.add_argument(
        "--only", type=_parts, metavar="PART,...", help=f"some parts of {','.join(PARTS)}"
    )
    parser.add_argument(
        "--utterances",
        type=number(1, 1000),
        metavar="N",
        help="at most so many of each set in each part, and so many questions",
    )
    parser.add_argument(
        "--full",
        action="store_true",
        help="every codec with every noise with every loss, which takes about an hour; else "
        "each of the three alone",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="docs/bench-report.md")
    parser.set_defaults(func=_run)


def _run(args: argparse.Namespace) -> int:
    # Imported when it runs.
    from latency_bench.quality.bench import run

    return run(args)


def _parts(text: str) -> list[str]:
    wanted = [part.strip() for part in text.split(",")]
    for part in wanted:
        if part not in PARTS:
            raise argparse.ArgumentTypeError(f"{part!r} is none of {', '.join(PARTS)}")
    return [part for part in PARTS if part in wanted]
