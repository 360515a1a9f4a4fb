"""The report of `offhook bench quality`, for people."""

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table


def show(report: dict[str, Any], console: Console) -> None:
    """All tables, for people."""
    machine = report["machine"]
    console.print(
        f"\n{machine['cpu']}, {machine['cores']} cores; {report['speech']}; "
        + ", ".join(f"{part} {took_s:.0f} s" for part, took_s in report["took_s"].items()),
        highlight=False,
        markup=False,
    )
    for one in report["tables"]:
        table = Table(title=escape(one["title"]), title_justify="left", caption_justify="left")
        table.caption = escape(one["about"])
        for place, column in enumerate(one["columns"]):
            table.add_column(escape(column), justify="right" if place else "left")
        for row in one["rows"]:
            table.add_row(*("" if cell is None else escape(str(cell)) for cell in row))
        console.print(table)
    for error in report["errors"]:
        console.print(f"[red]{escape(error)}[/red]", highlight=False)
    if report["interrupted"]:
        console.print("Stopped before the end: this is what ran.")
