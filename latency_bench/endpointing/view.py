"""The report of `offhook bench endpointing`, for people."""

from typing import Any

from rich.console import Console
from rich.table import Table

ABOUT = (
    "Simulated time. P50, P95, longest: from a complete utterance's last voiced sample to the "
    "decision. Cut short: utterances ended before they were over. Pauses cut: those of 0.2 s and "
    "more (the speakers' own; put in between words) taken for the end; broken off: sentences that "
    "break off, ended within 1 s. * ships."
)

COLUMNS = (
    *("rule", "setting", "speakers", "n", "P50 ms", "P95 ms", "longest", "missed", "cut short"),
    *("pauses cut", "own", "put in", "broken off"),
)


def show(report: dict[str, Any], console: Console) -> None:
    """One table for each line."""
    machine = report["machine"]
    console.print(f"\n{machine['cpu']}; {report['speech']}", highlight=False, markup=False)
    for line in dict.fromkeys(row["line"] for row in report["rows"]):
        table = Table(title=f"End of turn, {line}", title_justify="left", caption_justify="left")
        table.caption = ABOUT
        for place, column in enumerate(COLUMNS):
            table.add_column(column, justify="right" if place > 2 else "left")
        for row in report["rows"]:
            if row["line"] == line:
                table.add_row(*_cells(row))
        console.print(table)


def _cells(row: dict[str, Any]) -> list[str]:
    wait, cut = row["wait_ms"], row["false_cutoffs"]
    return [
        row["rule"],
        f"{row['knob']} {row['value']:g}{' *' if row['shipped'] else ''}",
        row["speakers"],
        str(row["utterances"]),
        *("" if wait[key] is None else f"{wait[key]:.0f}" for key in ("p50", "p95", "longest")),
        str(row["missed"]),
        f"{row['utterances_cut'] / max(1, row['utterances']):.1%}",
        *(_rate(cut[key]) for key in ("all", "own", "put_in", "broken_off")),
    ]


def _rate(cutoffs: dict[str, Any]) -> str:
    if cutoffs["rate"] is None:
        return ""
    return f"{cutoffs['rate']:.1%} ({cutoffs['cut']}/{cutoffs['pauses']})"
