"""The end of a bench that loads an agent: its report in every form that was asked for."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from latency_bench.finish import STOPPED
from latency_bench.reports.assertion import Assertion
from latency_bench.reports.write import Wanted, write_json, write_reports


def finish_load(
    report: Mapping[str, Any], args: argparse.Namespace, asserts: tuple[Assertion, ...]
) -> int:
    """Shows and writes it all; 1 where an assertion does not hold, 2 where something went wrong
    outside a call, 130 where the user stopped it.

    Raises OSError where a file cannot be written.
    """
    console = Console()
    wanted = Wanted(args.html, args.png, args.csv, args.junit, asserts)
    # First what cannot be had again.
    if args.json is not None:
        write_json(args.json, report)
        console.print(f"[dim]wrote {escape(str(args.json))}[/dim]", highlight=False)
    status = write_reports(report, Path(), wanted, console=console)
    for text in report.get("warnings", ()):
        console.print(f"[yellow]{escape(text)}[/yellow]", highlight=False, soft_wrap=True)
    if report["interrupted"]:
        console.print("Stopped before the end: this is what ran.")
        return STOPPED
    return 2 if report["errors"] else status
