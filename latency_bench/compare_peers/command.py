"""Options of `offhook bench compare`. Imports nothing heavy: `offhook --help` stays quick."""

import argparse
from pathlib import Path

from latency_bench.options import number, seconds

CALLS = (1, 2, 4, 8, 16)
MOST_CALLS = 64
DOORS = ("webrtc", "sip")


def add_parser(kinds: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `offhook bench compare`."""
    parser = kinds.add_parser(
        "compare",
        help="this box and other agents, asked the same, in turn",
        description="Starts a box and its peers one after the other (A B A B), each fresh and "
        "warmed, with the same models; asks all of them the same questions at 1, 2, 4, ... calls "
        "at once, and reports voice-to-voice latency, missed and broken turns, gaps, processor "
        "time and memory of each, and ours by theirs. Ctrl-C stops it and still reports what ran.",
    )
    parser.add_argument(
        "--peers",
        type=_names,
        default=("stock-pipecat",),
        metavar="NAME,...",
        help="whom to compare the box with (default: stock-pipecat)",
    )
    parser.add_argument(
        "--door",
        action="append",
        choices=DOORS,
        help="how to call; may be given twice (default: webrtc, and sip of agents that have it)",
    )
    parser.add_argument(
        "--calls",
        type=_calls,
        default=CALLS,
        metavar="N,N,...",
        help=f"calls at once (default: {','.join(map(str, CALLS))})",
    )
    parser.add_argument(
        "--rounds",
        type=number(1, 20),
        default=2,
        metavar="R",
        help="how often each agent has its turn (default: 2)",
    )
    parser.add_argument(
        "--seconds",
        type=seconds,
        default=60.0,
        metavar="S",
        help="how long each turn is measured, at least (default: 60)",
    )
    parser.add_argument(
        "--questions",
        type=number(1, 10_000),
        default=8,
        metavar="N",
        help="questions that each turn has to count, at least; it lasts up to four times as long "
        "for them (default: 8)",
    )
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
    parser.add_argument(
        "--speech",
        type=Path,
        metavar="DIR",
        help="ask with recordings: a folder with a manifest.json; else they are synthesised",
    )
    parser.add_argument("--voice", metavar="NAME", help="the voice that synthesises them")
    parser.add_argument(
        "--codec",
        choices=("pcmu", "pcma", "g722", "opus"),
        help="what to offer over SIP (default: pcmu)",
    )
    parser.add_argument(
        "--no-words",
        action="store_true",
        help="do not recognise the answers' words: fillers then count as answers",
    )
    parser.add_argument("--recogniser", metavar="NAME", help="what recognises them")
    parser.add_argument(
        "--seed", type=int, default=1, help="for when callers come and pause (default: 1)"
    )
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="keep the calls' sound and the agents' logs there"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="docs/bench-report.md")
    parser.add_argument(
        "--png", type=Path, metavar="DIR", help="latency against calls, as a picture"
    )
    parser.set_defaults(func=_run)


def _run(args: argparse.Namespace) -> int:
    # Imported when it runs.
    from latency_bench.compare_peers.bench import run

    return run(args)


def _names(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    if not all(names):
        raise argparse.ArgumentTypeError(f"{text!r} names nobody: write stock-pipecat")
    return names


def _calls(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdigit() and 1 <= int(part) <= MOST_CALLS for part in parts):
        raise argparse.ArgumentTypeError(
            f"{text!r} are no numbers of calls: write numbers of 1 to {MOST_CALLS}, such as 1,2,4"
        )
    return tuple(sorted({int(part) for part in parts}))
