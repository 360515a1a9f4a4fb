"""Options that several benches share. Imports nothing heavy: `offhook --help` stays quick."""

import argparse
from collections.abc import Callable
from pathlib import Path

from latency_bench.target import DOORS, WAYS

RING_S = 30.0


def add_target(parser: argparse.ArgumentParser, *, optional: bool = False) -> None:
    """TARGET."""
    parser.add_argument(
        "target",
        metavar="TARGET",
        nargs="?" if optional else None,
        default="self",
        help=f"whom to call: {WAYS}, or a peer such as stock-pipecat"
        + (" (default: self)" if optional else ""),
    )


def add_session_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that `latency_bench.session.open_session` reads, beside TARGET."""
    parser.add_argument(
        "--door",
        action="append",
        choices=DOORS,
        help="by which door to call `self` (default: webrtc); may be given several times",
    )
    parser.add_argument(
        "--speech",
        type=Path,
        metavar="DIR",
        help="speak with recordings: a folder with a manifest.json; else words are synthesised",
    )
    parser.add_argument("--voice", metavar="NAME", help="the voice that synthesises them")
    parser.add_argument(
        "--codec",
        choices=("pcmu", "pcma", "g722", "opus"),
        help="what to offer over SIP (default: pcmu)",
    )
    parser.add_argument("--caller", metavar="USER", help="who calls: a SIP user, or a number")
    parser.add_argument(
        "--ca-file",
        type=Path,
        metavar="FILE",
        help="authorities (PEM) that a SIP far end's TLS certificate is checked against",
    )
    parser.add_argument(
        "--token-env",
        metavar="VARIABLE",
        help="the environment variable with the token that a WebRTC target wants",
    )
    parser.add_argument("--username", metavar="NAME", help="of a SIP account")
    parser.add_argument(
        "--password-env", metavar="VARIABLE", help="the environment variable with its password"
    )
    parser.add_argument(
        "--ring",
        type=seconds,
        default=RING_S,
        metavar="S",
        help=f"how long to let it ring (default: {RING_S:g})",
    )
    parser.add_argument(
        "--seed", type=int, default=1, help="for sounds and for when calls begin (default: 1)"
    )


def amount(unit: str, most: float) -> Callable[[str], float]:
    """Reads an option's value in ``unit``, over 0 and at most ``most``."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = 0.0
        if not 0 < value <= most:
            raise argparse.ArgumentTypeError(
                f"must be {unit}, over 0 and at most {most:g}, not {text!r}"
            )
        return value

    return read


seconds = amount("seconds", 3600)


def add_output_arguments(parser: argparse.ArgumentParser) -> None:
    """Where the report goes, in which forms."""
    out = parser.add_argument_group("the report")
    out.add_argument("--json", type=Path, metavar="FILE", help="docs/bench-report.md")
    out.add_argument("--html", type=Path, metavar="FILE", help="one file to look at and listen to")
    out.add_argument("--png", type=Path, metavar="DIR", help="its charts as pictures")
    out.add_argument("--csv", type=Path, metavar="DIR", help="calls.csv and turns.csv")
    out.add_argument("--junit", type=Path, metavar="FILE", help="for a CI's test report")
    out.add_argument(
        "--assert",
        dest="asserts",
        action="append",
        default=[],
        metavar="EXPR",
        help='what has to hold, such as "v2v_p95_ms<900"; else the exit status is 1',
    )


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """`offhook bench run`."""
    add_target(parser)
    parser.add_argument(
        "--scenario",
        "-s",
        action="append",
        metavar="S",
        help="what the caller does: a shipped scenario's name or a TOML or YAML file; may be "
        "repeated; `all` is every shipped one (default: question)",
    )
    parser.add_argument(
        "--calls",
        type=number(1, 10_000),
        default=1,
        metavar="N",
        help="of each scenario through each door (default: 1)",
    )
    parser.add_argument(
        "--concurrency",
        type=number(1, 64),
        default=1,
        metavar="C",
        help="calls at once, each from a process of its own (default: 1)",
    )
    parser.add_argument(
        "--repeat",
        type=number(1, 100),
        default=1,
        metavar="R",
        help="do all of it so often, and report how the runs differ (default: 1)",
    )
    add_session_arguments(parser)
    parser.add_argument(
        "--no-words",
        action="store_true",
        help="do not recognise the agent's words in its sound",
    )
    parser.add_argument("--recogniser", metavar="NAME", help="what recognises them")
    parser.add_argument("--name", metavar="TEXT", help="what the report calls the target")
    parser.add_argument(
        "--otlp-port",
        type=number(1, 65535),
        metavar="PORT",
        help="take the agent's OpenTelemetry spans there (OTLP over HTTP)",
    )
    parser.add_argument(
        "--spans", type=Path, metavar="FILE", help="read them from a file (OTLP JSON lines)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="keep every call there as it ends; the same command goes on with a run that was "
        "stopped",
    )
    add_output_arguments(parser)


def number(low: int, high: int) -> Callable[[str], int]:
    """Reads an option's whole number within these limits."""

    def read(text: str) -> int:
        if not text.isdigit() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"must be {low} to {high}, not {text!r}")
        return int(text)

    return read
