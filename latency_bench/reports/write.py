"""Everything that is made of a report, in one go: what every bench calls at its end."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from latency_bench.reports.assertion import (
    Assertion,
    AssertionMistake,
    check,
    parse_assertion,
)
from latency_bench.reports.junit import junit
from latency_bench.reports.page import AUDIO_LIMIT_MB, report_page
from latency_bench.reports.report_file import Report, ReportError, parse_report
from latency_bench.reports.rows import write_csv
from latency_bench.reports.terminal import show_assertions, show_run


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to make of a report; None: not wanted. ``png`` and ``csv`` are folders."""

    html: Path | None = None
    png: Path | None = None
    csv: Path | None = None
    junit: Path | None = None
    asserts: Sequence[Assertion] = ()
    audio_limit_mb: float = AUDIO_LIMIT_MB


def write_reports(
    report: Mapping[str, Any] | Report,
    folder: Path,
    wanted: Wanted,
    *,
    console: Console | None = None,
) -> int:
    """Shows the report in the terminal and writes what is wanted. Returns the exit status: 1
    where an assertion is not met, else 0.

    ``folder`` is what the calls' ``audio`` is relative to. Raises ReportError for a report that
    is none, AssertionMistake for an unknown figure, OSError where a file cannot be written.
    """
    console = console or Console()
    found = report if isinstance(report, Report) else parse_report(report)
    show_run(console, found)
    written: list[Path] = []
    if wanted.html is not None:
        written.append(write_text(wanted.html, report_page(found, folder, wanted.audio_limit_mb)))
    if wanted.png is not None:
        # Imported when asked for: matplotlib takes a second to load.
        from latency_bench.reports.pictures import write_pictures

        written += write_pictures(found, wanted.png)
    if wanted.csv is not None:
        written += write_csv(found, wanted.csv)
    asserted = [check(one, found.summary) for one in wanted.asserts]
    if wanted.junit is not None:
        written.append(write_text(wanted.junit, junit(found, asserted)))
    if asserted:
        console.print()
        show_assertions(console, asserted)
    for path in written:
        console.print(f"[dim]wrote {escape(str(path))}[/dim]", highlight=False)
    return 0 if all(one.met for one in asserted) else 1


def write_text(path: Path, text: str) -> Path:
    """Writes a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
    return path


def write_json(path: Path, body: Mapping[str, Any]) -> Path:
    """Writes JSON, for people and programs."""
    return write_text(path, json.dumps(body, indent=2, ensure_ascii=False) + "\n")


__all__ = [
    "Assertion",
    "AssertionMistake",
    "ReportError",
    "Wanted",
    "parse_assertion",
    "write_json",
    "write_reports",
    "write_text",
]
