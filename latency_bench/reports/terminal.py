"""A report in the terminal."""

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from latency_bench.figures import Spread
from latency_bench.measures.summary import UNPLACED
from latency_bench.report import STAGE_NAMES, waterfall
from latency_bench.reports.assertion import Asserted
from latency_bench.reports.bench_views import numeric_columns
from latency_bench.reports.compare import Comparison, shown
from latency_bench.reports.expectations import unmet
from latency_bench.reports.headline import Status, figures, verdict
from latency_bench.reports.page import facts
from latency_bench.reports.report_file import Report
from latency_bench.reports.run_view import typical_turns
from latency_bench.reports.wording import NOTHING, ms, number, percent, plain

FAILURES_MAX = 12
_COLOURS: dict[Status, str] = {"good": "green", "fair": "yellow", "bad": "red", "none": "default"}
_SPREADS = {
    "v2v_ms": "voice to voice (caller's side)",
    "first_answer_ms": "first answer, without fillers",
    "inside_ms": "agent's own clock",
    "outside_gap_ms": "caller's clock less agent's",
    "stop_ms": "barge-in stop",
    "greeting_ms": "greeting",
    "answer_ms": "call taken",
}


def show_run(console: Console, report: Report) -> None:
    """Any bench's report, in a screen or so."""
    status, sentence = verdict(report)
    console.print()
    console.print(f"[bold {_COLOURS[status]}]{escape(sentence)}[/]", highlight=False)
    told = [plain(report.name, 80), *(value for name, value in facts(report) if value)]
    console.print(f"[dim]{escape(' · '.join(told))}[/dim]", highlight=False)
    for error in report.errors:
        console.print(f"[red]{escape(plain(error, 400))}[/red]", highlight=False)
    console.print()
    if report.spreads:
        if (spreads := _spreads(report)).row_count:
            console.print(spreads)
        _show_waterfall(console, report)
        console.print(_scenarios(report))
        console.print(_counts(report))
        _show_failures(console, report)
    else:
        _show_bench(console, report)


def show_comparison(console: Console, comparison: Comparison) -> None:
    """Each figure in both, and what can be said of it."""
    for warning in comparison.warnings:
        console.print(f"[yellow]! {escape(plain(warning, 500))}[/yellow]", highlight=False)
    table = Table(title="A against B", title_justify="left")
    for name in ("", "A", "B", "difference, 95% CI"):
        table.add_column(name, justify="left" if not name else "right")
    for one in comparison.differences:
        interval = interval_words(one.unit, one.difference, one.ci95)
        style = {"better": "green", "worse": "red", "unclear": ""}[one.outcome]
        table.add_row(
            one.name, shown(one.unit, one.a), shown(one.unit, one.b), interval, style=style
        )
    console.print(table)
    for one in comparison.differences:
        mark = {"better": "[green]+[/]", "worse": "[red]-[/]", "unclear": "[dim]=[/]"}[one.outcome]
        console.print(f"{mark} {escape(one.sentence)}", highlight=False)


def interval_words(unit: str, difference: float | None, ci95: tuple[float, float] | None) -> str:
    """``-120 ms (-160 to -80)``."""
    if difference is None:
        return ""
    scale, places, after = {"rate": (100, 1, " points"), "mos": (1, 2, "")}.get(unit, (1, 0, " ms"))
    text = f"{scale * difference:+,.{places}f}{after}"
    if ci95 is None:
        return text
    low, high = (f"{scale * end:+,.{places}f}" for end in ci95)
    return f"{text} ({low} to {high})"


def show_assertions(console: Console, asserted: Sequence[Asserted]) -> None:
    """Each, and whether it is met."""
    for one in asserted:
        word, colour = ("met", "green") if one.met else ("NOT MET", "red")
        console.print(f"[{colour}]{word}[/] {escape(str(one))}", highlight=False)


def _spreads(report: Report) -> Table:
    table = Table(title="Milliseconds over all turns that count", title_justify="left")
    for name in ("", "P50", "P95", "min", "max", "n"):
        table.add_column(name, justify="left" if not name else "right")
    for key, found in report.spreads.items():
        if found is None:
            continue
        stage = key.removeprefix("stage.")
        name = _SPREADS.get(key) or f"  {STAGE_NAMES.get(stage, stage)}"
        table.add_row(
            escape(plain(name, 60)), *_spread_cells(found), style="bold" if key == "v2v_ms" else ""
        )
    return table


def _spread_cells(found: Spread) -> list[str]:
    return [f"{v:,.0f}" for v in (found.p50, found.p95, found.min, found.max)] + [str(found.n)]


def _show_waterfall(console: Console, report: Report) -> None:
    typical = typical_turns(report)
    if not typical:
        return
    name, call, turn = typical[0]
    console.print(f"\n{name} (call {call.call}, turn {turn.part})", highlight=False)
    stages = {escape(plain(stage, 40)): took for stage, took in turn.stages_ms.items()}
    console.print(waterfall(stages, turn.v2v_ms))
    console.print()


def _scenarios(report: Report) -> Table:
    table = Table(title="Scenarios", title_justify="left")
    for name in ("", "passed", "V2V P50", "V2V P95", "stop P50"):
        table.add_column(name, justify="left" if not name else "right")
    for name, of in report.by_scenario.items():
        good = of.passed == of.calls
        table.add_row(
            escape(plain(name, 60)),
            f"[{'green' if good else 'red'}]{of.passed} of {of.calls}[/]",
            ms(None if of.v2v_ms is None else of.v2v_ms.p50),
            ms(None if of.v2v_ms is None else of.v2v_ms.p95),
            ms(None if of.stop_ms is None else of.stop_ms.p50),
        )
    return table


def _counts(report: Report) -> Table:
    summary = report.summary
    table = Table(box=None, show_header=False, padding=(0, 1))
    missed, cut_ins = number(summary.get("turns_missed")), number(summary.get("cut_ins"))
    mos = (number(summary.get("mos_p50")), number(summary.get("mos_min")))
    rows = [
        ("turns that owe an answer", number(summary.get("turns"))),
        ("missed", f"{missed} ({percent(summary.get('missed_rate'))})"),
        ("cut-ins", f"{cut_ins} ({percent(summary.get('cut_in_rate'))})"),
        ("false stops", number(summary.get("false_stops"))),
        ("interruptions ignored", number(summary.get("not_stopped"))),
        ("MOS, P50 and lowest", ", ".join(mos)),
        ("word error rate, heard", percent(summary.get("wer"))),
        ("word error rate, said", percent(summary.get("returned_wer"))),
    ]
    if summary.get("repeat_spread") is not None:
        rows.append(("spread of P50 over repeats", percent(summary["repeat_spread"])))
    for name, value in rows:
        table.add_row(name, value)
    return table


def _show_failures(console: Console, report: Report) -> None:
    failed = [call for call in report.calls if not call.passed]
    if failed:
        console.print("\n[bold]Calls that did not go as they should[/bold]")
    for call in failed[:FAILURES_MAX]:
        reasons = unmet(call)
        # A call that never came about met none of its rules: why it did not says it all.
        told = len(reasons) > 1 and call.outcome not in UNPLACED
        more = f" (and {len(reasons) - 1} more)" if told else ""
        console.print(
            f"  {call.call} {escape(plain(call.scenario, 60))} [red]{call.outcome}[/red]: "
            f"{escape(reasons[0] if reasons else '')}{more}",
            highlight=False,
        )
    if len(failed) > FAILURES_MAX:
        console.print(f"  and {len(failed) - FAILURES_MAX} more, in the JSON and the page")


def _show_bench(console: Console, report: Report) -> None:
    if report.levels:
        console.print(_levels(report))
    for table in report.tables:
        rows = [[number(cell) for cell in row] for row in table.rows]
        console.print(_table(table.title, table.columns, rows, numeric_columns(table.rows)))
    facts_ = Table(box=None, show_header=False, padding=(0, 1))
    for figure in figures(report):
        facts_.add_row(
            escape(plain(figure.name, 60)),
            escape(f"{figure.value} {figure.unit}".strip()),
            escape(plain(figure.detail, 120)),
        )
    console.print(facts_)


def _levels(report: Report) -> Table:
    rows = [
        (
            number(level.calls),
            _whole(None if level.v2v_ms is None else level.v2v_ms.p50),
            _whole(None if level.v2v_ms is None else level.v2v_ms.p95),
            percent(level.missed_rate),
            number(level.cpu_cores),
            number(level.rss_mb),
            "within" if level.within else "broken",
        )
        for level in report.levels
    ]
    columns = ("calls", "P50 ms", "P95 ms", "missed", "cores", "MB", "objective")
    return _table("Calls at once", columns, rows, range(1, 6))


def _whole(value: float | None) -> str:
    return NOTHING if value is None else f"{value:,.0f}"


def _table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    numeric: Sequence[int],
) -> Table:
    table = Table(title=escape(plain(title, 120)), title_justify="left")
    for place, name in enumerate(columns):
        table.add_column(escape(plain(name, 60)), justify="right" if place in numeric else "left")
    for row in rows:
        table.add_row(*(escape(plain(cell, 120)) for cell in row))
    return table
