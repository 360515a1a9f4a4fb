"""The end of a bench that placed calls: its report in every form that was asked for."""

import argparse
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from latency_bench.reports.assertion import Assertion, check, parse_assertion
from latency_bench.reports.write import Wanted, write_json, write_reports
from latency_bench.run_store import REPORT

STOPPED = 130
"""What a shell makes of Ctrl-C."""


def asserted(texts: Iterable[str], names: Iterable[str]) -> tuple[Assertion, ...]:
    """Reads assertions before anything runs. Raises AssertionMistake, for unknown names too."""
    unmeasured: dict[str, float | None] = dict.fromkeys(names)
    found = tuple(parse_assertion(text) for text in texts)
    for assertion in found:
        check(assertion, unmeasured)
    return found


def finish(
    report: Mapping[str, Any],
    args: argparse.Namespace,
    asserts: tuple[Assertion, ...],
    folder: Path,
    *,
    kept: bool,
) -> int:
    """Shows and writes it all; returns the exit status.

    ``folder``: where the calls' sound is; ``kept``: whether it stays there. 1: an assertion does
    not hold, a call failed or none took place; 130: stopped before the end.
    """
    console = Console()
    wanted = Wanted(args.html, args.png, args.csv, args.junit, asserts)
    status = write_reports(report, folder, wanted, console=console)
    if kept:
        write_json(folder / REPORT, report)
    if args.json is not None:
        write_json(args.json, _beside(report, folder if kept else None, args.json.parent))
        console.print(f"[dim]wrote {escape(str(args.json))}[/dim]", highlight=False)
    for error in report["errors"]:
        console.print(f"[red]{escape(error)}[/red]", highlight=False)
    if report["interrupted"]:
        console.print("Stopped before the end: this is what ran.")
        return STOPPED
    calls = report.get("calls", [])
    failed = not calls or report["errors"] or any(not call["passed"] for call in calls)
    return 1 if status or failed else 0


def _beside(report: Mapping[str, Any], folder: Path | None, place: Path) -> dict[str, Any]:
    """The report with its sound files named from where it will lie; None where none is kept."""

    def audio(call: Mapping[str, Any]) -> str | None:
        if folder is None or call["audio"] is None:
            return None
        return os.path.relpath(folder / call["audio"], place)

    return {**report, "calls": [{**call, "audio": audio(call)} for call in report["calls"]]}
