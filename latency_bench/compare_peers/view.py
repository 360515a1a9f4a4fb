"""A comparison in the terminal."""

from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from latency_bench.reports.wording import NOTHING, count, number, percent, plain

COLUMNS = (
    *("calls", "agent", "P50 ms", "P95 ms", "answers", "missed", "broken"),
    *("cut-offs", "gaps", "cores", "MB", "wasted"),
)
DOOR_NAMES = {"webrtc": "WebRTC", "sip": "SIP"}


def show(console: Console, report: Mapping[str, Any]) -> None:
    """Both rows of each level, ours by theirs, and what it comes to."""
    rows = report["rows"]
    if not rows:
        console.print("Nothing was measured.")
        return
    for door in dict.fromkeys(row["door"] for row in rows):
        console.print(_table(report, door))
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


def _table(report: Mapping[str, Any], door: str) -> Table:
    title = f"Voice to voice over {DOOR_NAMES.get(door, door)}, callers' side"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in COLUMNS:
        table.add_column(name, justify="left" if name == "agent" else "right", no_wrap=True)
    rows = [row for row in report["rows"] if row["door"] == door]
    for place, row in enumerate(rows):
        table.add_row(*map(escape, _cells(row)), style="dim" if row["skipped"] else "")
        if place + 1 == len(rows) or rows[place + 1]["calls"] != row["calls"]:
            _ratio_rows(table, report, row)
    return table


def _ratio_rows(table: Table, report: Mapping[str, Any], row: Mapping[str, Any]) -> None:
    for peer, doors in report["ratios"].items():
        figures = doors.get(row["door"], {}).get(str(row["calls"]))
        if figures is None:
            continue
        cells = ["", f"ours / {peer}", *(_times(figures[f"v2v_{p}"]) for p in ("p50", "p95"))]
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
        *(str(row["calls"]), plain(row["peer"], 30)),
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


def _times(figure: Mapping[str, Any]) -> str:
    return NOTHING if figure["ratio"] is None else f"{figure['ratio']:.2f} x"
