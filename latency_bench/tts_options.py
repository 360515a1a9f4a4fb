"""What `offhook bench tts` takes; light, for `offhook --help` reads it."""

import argparse
from collections.abc import Callable
from pathlib import Path

DEFAULT_VOICE = "piper-en_US-joe-medium"
CLAUSES = {
    1: "Certainly.",
    3: "Let me check,",
    5: "I can help with that.",
    8: "We are open until six in the evening.",
    12: "Your appointment is booked for Tuesday at ten in the morning, thank you.",
    25: "The office on the corner of Main Street is open from nine until five on weekdays, "
    "and on Saturdays it closes at one in the afternoon.",
}
"""By rough number of words."""
MAX_THREADS = 64
MAX_RUNS = 1000


def add_parser(kinds: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `offhook bench tts`."""
    tts = kinds.add_parser(
        "tts",
        help="speech synthesis alone: first audio, work and likeness, against whole sentences",
        description="Speaks clauses of 1 to 25 words with the voice in windows and with Piper as "
        "it comes, in turn, and reports the time to first audio, the work, the likeness to the "
        "unsplit model, and whether a window would come late.",
    )
    tts.add_argument("--voice", default=DEFAULT_VOICE, help=f"default: {DEFAULT_VOICE}")
    tts.add_argument(
        "--threads",
        type=_numbers(MAX_THREADS),
        default=[1, 2],
        metavar="N,N,...",
        help="engine threads to try (default: 1,2)",
    )
    tts.add_argument(
        "--words",
        type=_clauses,
        default=list(CLAUSES),
        metavar="N,N,...",
        help=f"clauses to speak, of {', '.join(map(str, CLAUSES))} words (default: all)",
    )
    tts.add_argument(
        "--runs", type=_runs, default=7, metavar="N", help="of each clause (default: 7)"
    )
    tts.add_argument("--json", type=Path, metavar="FILE", help="write the report there")
    tts.set_defaults(func=_run)


def _run(args: argparse.Namespace) -> int:
    # Imported when it runs: `offhook --help` stays quick.
    from latency_bench.tts_bench import run

    return run(args)


def _clauses(text: str) -> list[int]:
    counts = _numbers(max(CLAUSES))(text)
    if unknown := [count for count in counts if count not in CLAUSES]:
        raise argparse.ArgumentTypeError(
            f"must be of {', '.join(map(str, CLAUSES))}, not {unknown[0]}"
        )
    return counts


def _runs(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MAX_RUNS:
        raise argparse.ArgumentTypeError(f"must be 1 to {MAX_RUNS}, not {text!r}")
    return int(text)


def _numbers(most: int) -> Callable[[str], list[int]]:
    def numbers(text: str) -> list[int]:
        counts = [int(part) for part in text.split(",") if part.isdecimal()]
        if len(counts) != text.count(",") + 1 or not all(1 <= n <= most for n in counts):
            raise argparse.ArgumentTypeError(f"must be numbers of 1 to {most}, not {text!r}")
        return counts

    return numbers
