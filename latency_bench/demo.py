"""`offhook demo`: the box calls itself once, shows what happened, then keeps serving."""

import argparse
from pathlib import Path


def command(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `offhook demo`."""
    parser = subparsers.add_parser(
        "demo",
        help="place one call to itself, show what happened, then serve",
        description="Loads the models, opens the doors, and calls itself over WebRTC as any "
        "caller would: speaks a question, hears the answer, and shows the words, where the "
        "milliseconds went and what it cost. Then serves the page until Ctrl-C.",
    )
    parser.add_argument(
        "--once",
        action="store_true",
        help="stop after the call; exit status 0 only if the speech was recognised, answered "
        "and heard back",
    )
    question = parser.add_mutually_exclusive_group()
    question.add_argument(
        "--wav", type=Path, metavar="FILE", help="ask with this recording (PCM WAV)"
    )
    question.add_argument("--say", metavar="TEXT", help="ask this, in a synthesised voice")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result there")
    parser.set_defaults(func=_run)


def _run(args: argparse.Namespace) -> int:
    # Imported when it runs: `offhook --help` stays quick.
    from latency_bench.first_call import run

    return run(args)
