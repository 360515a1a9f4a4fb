"""`offhook bench report`: a page, pictures, tables or a comparison of what a bench wrote."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from latency_bench.reports.write import Wanted


def add_parser(kinds: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds it to `offhook bench`."""
    parser = kinds.add_parser(
        "report",
        help="make a page, pictures or tables of a report, or compare two",
        description="Reads the JSON that a bench wrote with --json, shows it, and makes of it "
        "one HTML page that needs no network, pictures, tables, or a JUnit file. --compare says "
        "of two runs whether they differ, with confidence intervals.",
    )
    parser.add_argument("report", nargs="?", type=Path, metavar="REPORT.json")
    parser.add_argument(
        "--compare", nargs=2, type=Path, metavar=("A.json", "B.json"), help="hold B against A"
    )
    add_outputs(parser)
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="with --compare: write the comparison there"
    )
    parser.add_argument(
        "--seed", type=int, default=1, metavar="N", help="of the intervals' samples (default: 1)"
    )
    parser.set_defaults(func=run)


def add_outputs(parser: argparse.ArgumentParser) -> None:
    """Adds what every bench can make of its report; ``wanted`` reads it back."""
    parser.add_argument("--html", type=Path, metavar="FILE", help="one page, with sound")
    parser.add_argument(
        "--audio-mb",
        type=_megabytes,
        metavar="MB",
        help="at most so much sound in the page (default: 12; 0: none)",
    )
    parser.add_argument("--png", type=Path, metavar="DIR", help="charts for a README")
    parser.add_argument("--csv", type=Path, metavar="DIR", help="turns and calls as tables")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="JUnit XML for a CI server")
    parser.add_argument(
        "--assert",
        dest="asserts",
        action="append",
        default=[],
        metavar="CONDITION",
        help='such as "v2v_p95_ms<900", of the report\'s summary; may be given again; the exit '
        "status is 1 where one is not met",
    )


def run(args: argparse.Namespace) -> int:
    """Exit status: 0, 1 where an assertion is not met, 2 for bad input."""
    # Imported when it runs: `offhook --help` stays quick.
    from latency_bench.reports.write import AssertionMistake, ReportError, write_reports

    if (args.report is None) == (args.compare is None):
        message = "offhook bench report: give one REPORT.json, or --compare A.json B.json"
        print(message, file=sys.stderr)
        return 2
    try:
        if args.compare is not None:
            return _compare(args)
        from latency_bench.reports.report_file import read_report

        return write_reports(read_report(args.report), args.report.parent, wanted(args))
    except (ReportError, AssertionMistake) as error:
        print(f"offhook bench report: {error}", file=sys.stderr)
    except OSError as error:
        print(f"offhook bench report: {error.filename}: {error.strerror}", file=sys.stderr)
    return 2


def wanted(args: argparse.Namespace) -> "Wanted":
    """What ``add_outputs`` was given. Raises AssertionMistake; call it before the bench runs."""
    from latency_bench.reports.page import AUDIO_LIMIT_MB
    from latency_bench.reports.write import Wanted, parse_assertion

    return Wanted(
        html=args.html,
        png=args.png,
        csv=args.csv,
        junit=args.junit,
        asserts=[parse_assertion(text) for text in args.asserts],
        audio_limit_mb=AUDIO_LIMIT_MB if args.audio_mb is None else args.audio_mb,
    )


def _compare(args: argparse.Namespace) -> int:
    from rich.console import Console

    from latency_bench.reports.compare import compare
    from latency_bench.reports.compare_page import comparison_page
    from latency_bench.reports.report_file import ReportError, read_report
    from latency_bench.reports.terminal import show_comparison
    from latency_bench.reports.write import write_json, write_text

    unfit = [name for name in ("png", "csv", "junit", "asserts") if getattr(args, name)]
    if unfit:
        raise ReportError(
            f"--compare makes --html and --json, not --{unfit[0].replace('asserts', 'assert')}"
        )
    a, b = (read_report(path) for path in args.compare)
    comparison = compare(a, b, seed=args.seed)
    show_comparison(Console(), comparison)
    if args.html is not None:
        write_text(args.html, comparison_page(a, b, comparison))
    if args.json is not None:
        write_json(args.json, comparison.to_json())
    return 0


def _megabytes(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 200:
        raise argparse.ArgumentTypeError(f"must be 0 to 200, not {text!r}")
    return value
