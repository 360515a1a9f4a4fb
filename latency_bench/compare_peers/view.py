"""A comparison in the terminal."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from latency_bench.reports.wording import NOTHING, count, number, percent, plain

COLUMNS = (
    *("calls", "door", "agent", "P50 ms", "P95 ms", "answers", "missed", "broken"),
    *("cut-offs", "gaps", "cores", "MB", "discarded"),
)


def show(console: Console, report: Mapping[str, Any]) -> None:
    """Both rows of each level, ours by theirs, and what it comes to."""
    rows = report["rows"]
    if not rows:
        console.print("Nothing was measured.")
        return
    console.print(_table(report))
    _notes(console, rows)
    for peer in report["ratios"].values():
        for door in peer.values():
            for figures in door.values():
                console.print(escape(figures["sentence"]), highlight=False, soft_wrap=True)
    limits = report["settings"]["limits"]
    console.print(
        f"Calls carried with P95 <= {limits['v2v_p95_ms']:g} ms, under "
        f"{percent(limits['lost_share'], 0)} of questions missed or broken, and no audible gap:"
    )
    for name, doors in report["capacity"].items():
        told = ", ".join(f"{calls} over {door}" for door, calls in doors.items())
        console.print(f"  {escape(name)}: {told}", highlight=False)


def trial_line(row: Mapping[str, Any], round_: int) -> str:
    """One trial as soon as it is over."""
    v2v = row["v2v_ms"]
    latency = "no answer" if v2v is None else f"V2V P50 {v2v['p50']:.0f}, P95 {v2v['p95']:.0f} ms"
    lost = f"{row['missed_turns']} missed, {row['broken_turns']} broken of {row['questions']}"
    cpu = "" if row["cpu"] is None else f", {row['cpu']:.2f} cores"
    error = f"; {plain(row['errors'][0], 300)}" if row["errors"] else ""
    return (
        f"{row['calls']:3d} {row['door']:6} {row['peer']}, round {round_ + 1}: "
        f"{latency}, {lost}{cpu}{error}"
    )


def _table(report: Mapping[str, Any]) -> Table:
    table = Table(title="Voice to voice, callers' side", title_justify="left")
    for name in COLUMNS:
        table.add_column(name, justify="left" if name in ("door", "agent") else "right")
    rows = report["rows"]
    for place, row in enumerate(rows):
        table.add_row(*map(escape, _cells(row)), style="dim" if row["skipped"] else "")
        following = rows[place + 1] if place + 1 < len(rows) else None
        if following is None or (following["calls"], following["door"]) != _level(row):
            _ratio_rows(table, report, row)
            table.add_section()
    return table


def _ratio_rows(table: Table, report: Mapping[str, Any], row: Mapping[str, Any]) -> None:
    for peer, doors in report["ratios"].items():
        figures = doors.get(row["door"], {}).get(str(row["calls"]))
        if figures is None:
            continue
        cells = ["", "", f"ours / {peer}", *(_times(figures[f"v2v_{p}"]) for p in ("p50", "p95"))]
        cells += ["", "", "", "", "", _times(figures["cpu"]), _times(figures["rss_mb"]), ""]
        table.add_row(*map(escape, cells), style="bold")


def _cells(row: Mapping[str, Any]) -> list[str]:
    v2v = row["v2v_ms"]
    latency = [NOTHING, NOTHING, "0"]
    if v2v is not None:
        latency = [f"{v2v['p50']:,.0f}", f"{v2v['p95']:,.0f}", str(v2v["n"])]
    if row["skipped"]:
        latency = ["skipped", NOTHING, NOTHING]
    names = ("missed_turns", "broken_turns", "false_cutoffs", "gaps", "cpu", "rss_mb")
    figures = [number(row[name]) for name in names]
    return [
        *(str(row["calls"]), row["door"], plain(row["peer"], 30)),
        *latency,
        *figures,
        percent(row["discarded_fraction"]),
    ]


def _notes(console: Console, rows: list[Mapping[str, Any]]) -> None:
    for row in rows:
        at = f"{row['peer']}, {count(row['calls'], 'call')} over {row['door']}"
        if row["skipped"]:
            text = f"{at}: not tried: {row['skipped']}"
            console.print(f"[dim]{escape(plain(text, 400))}[/dim]", highlight=False)
        for error in row["errors"]:
            text = f"{at}: {error}"
            console.print(f"[red]{escape(plain(text, 800))}[/red]", highlight=False)


def _level(row: Mapping[str, Any]) -> tuple[int, str]:
    return row["calls"], row["door"]


def _times(figure: Mapping[str, Any]) -> str:
    if figure["ratio"] is None:
        return NOTHING
    ci95 = figure.get("ci95")
    interval = f" ({ci95[0]:.2f}-{ci95[1]:.2f})" if ci95 else ""
    return f"{figure['ratio']:.2f} x{interval}"
