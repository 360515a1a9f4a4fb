"""Turns and calls as CSV: RFC 4180, UTF-8, a header, empty where nothing was measured.

The columns are the fields of docs/bench-report.md; those of a turn's call stand before its own.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from latency_bench.figures import CallFigures, TurnFigures, WireFigures
from latency_bench.measures.traces import whole
from latency_bench.reports.report_file import Report

_OF_CALL = (
    "call repeat scenario door outcome reason codec began_s duration_s answer_ms greeting_ms "
    "transferred_to audio"
).split()
_OF_WIRE = [field.name for field in fields(WireFigures)]
_OF_TURN = [
    field.name for field in fields(TurnFigures) if field.name not in ("stages_ms", "verdicts")
]
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write_csv(report: Report, folder: Path) -> list[Path]:
    """Writes ``turns.csv`` and ``calls.csv``; of capacity, quality and soak also their tables."""
    folder.mkdir(parents=True, exist_ok=True)
    tables: dict[str, str] = {}
    if report.calls or report.kind == "run":
        tables = {"turns.csv": turns_csv(report), "calls.csv": calls_csv(report)}
    if report.levels:
        tables["levels.csv"] = _levels(report)
    if report.samples:
        names = list(type(report.samples[0]).model_fields)
        tables["samples.csv"] = _written(
            names, [[getattr(sample, name) for name in names] for sample in report.samples]
        )
    for place, table in enumerate(report.tables, 1):
        tables[f"table-{place}.csv"] = _written(table.columns, table.rows)
    written = []
    for name, text in tables.items():
        path = folder / name
        path.write_text(text, encoding="utf-8", newline="")
        written.append(path)
    return written


def turns_csv(report: Report) -> str:
    """A row a turn. ``stage.NAME`` are what the agent says each stage took, in ms; ``unmet``
    are the rules that were not met."""
    stages = list({name: None for c in report.calls for t in c.turns for name in t.stages_ms})
    header = [
        *_OF_CALL[:5],
        *_OF_TURN,
        "outside_gap_ms",
        "counts",
        *(f"stage.{name}" for name in stages),
        "unmet",
    ]
    rows = []
    for call in report.calls:
        for turn in call.turns:
            rows.append(
                [
                    *(getattr(call, name) for name in _OF_CALL[:5]),
                    *(getattr(turn, name) for name in _OF_TURN),
                    turn.outside_gap_ms,
                    turn.counts,
                    *(turn.stages_ms.get(name) for name in stages),
                    " ".join(verdict.rule for verdict in turn.verdicts if not verdict.met),
                ]
            )
    return _written(header, rows)


def calls_csv(report: Report) -> str:
    """A row a call. ``wire.NAME`` are the fields of ``wire``."""
    header = [
        *_OF_CALL,
        "passed",
        "turns",
        "turns_missed",
        *(f"wire.{name}" for name in _OF_WIRE),
        "unmet",
    ]
    return _written(header, [_call_row(call) for call in report.calls])


def _call_row(call: CallFigures) -> list[object]:
    verdicts = [*call.verdicts, *(verdict for turn in call.turns for verdict in turn.verdicts)]
    return [
        *(getattr(call, name) for name in _OF_CALL),
        call.passed,
        len(call.turns),
        sum(turn.missed for turn in call.turns),
        *(getattr(call.wire, name) for name in _OF_WIRE),
        " ".join(dict.fromkeys(verdict.rule for verdict in verdicts if not verdict.met)),
    ]


def _levels(report: Report) -> str:
    names = ("p50", "p95", "min", "max")
    header = ["calls", "turns", *(f"v2v_{name}_ms" for name in names)]
    header += ["missed_rate", "cpu_cores", "rss_mb", "within"]
    rows = [
        [
            level.calls,
            level.turns,
            *(None if level.v2v_ms is None else getattr(level.v2v_ms, name) for name in names),
            level.missed_rate,
            level.cpu_cores,
            level.rss_mb,
            level.within,
        ]
        for level in report.levels
    ]
    return _written(header, rows)


def _written(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([_cell(name) for name in header])
    writer.writerows([_cell(value) for value in row] for row in rows)
    return out.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # A report of another's making may hold half a character, which no file can.
        value = whole(value)
    # A spreadsheet would take an agent's "=HYPERLINK(...)" for a formula of its own.
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value
