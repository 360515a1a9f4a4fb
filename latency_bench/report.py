"""Figures for people: tables and bars in the terminal."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

BAR_WIDTH = 40
STAGE_NAMES = {
    "end_of_turn": "end of turn decided",
    "transcript": "transcript",
    "first_token": "first token",
    "first_clause": "first clause",
    "first_audio": "first audio",
    "first_packet": "first packet",
}


def waterfall(stages_ms: Mapping[str, float], total_ms: float | None) -> Table:
    """Each stage's bar, where the one before it ended; then the wire's share of the total."""
    steps = dict(stages_ms)
    inside_ms = sum(steps.values())
    end_ms = max(inside_ms, total_ms or 0.0)
    table = Table(box=None, show_header=False, padding=(0, 1))
    reached_ms = 0.0
    for stage, took_ms in steps.items():
        name = STAGE_NAMES.get(stage, stage)
        table.add_row(name, f"{took_ms:.0f} ms", _bar(reached_ms, took_ms, end_ms))
        reached_ms += took_ms
    if total_ms is not None and steps and total_ms > inside_ms:
        rest_ms = total_ms - inside_ms
        bar = _bar(reached_ms, rest_ms, end_ms)
        table.add_row("wire, buffers, codecs", f"{rest_ms:.0f} ms", bar)
    return table


def show_first_call(console: Console, result: Mapping[str, Any]) -> None:
    """One call's words, waterfall and cost."""
    words = Table(box=None, show_header=False, padding=(0, 1))
    words.add_column(style="bold", no_wrap=True)
    words.add_column()
    if result["expected"]:
        words.add_row("Asked", escape(result["expected"]))
    words.add_row("Heard", escape(result["heard"]) or "[red]nothing[/red]")
    words.add_row("Answered", escape(result["answer"]) or "[red]nothing[/red]")
    words.add_row("Came back as", escape(result["returned_audio_text"]) or "[red]nothing[/red]")
    words.add_row("", f"[dim]question: {escape(result['question_source'])}[/dim]")
    console.print(words)
    total_ms = result["v2v_ms"]
    if total_ms is not None:
        console.print(
            f"\n[bold]{total_ms:.0f} ms[/bold] from the caller's last sound to the answer's "
            "first, on the caller's side of the wire",
            highlight=False,
        )
    console.print(waterfall(result["stages_ms"], total_ms))
    show_cost(console, result["cost_usd"])


def show_cost(console: Console, cost: Mapping[str, Any]) -> None:
    """What the call cost here, in every view that was measured, beside rented parts."""
    owned, rented = cost.get("owned"), cost.get("rented")
    if not isinstance(owned, Mapping):
        return
    # The headline first; a box that has just been started has no utilisation of its own yet.
    bills = [owned, *(each for each in owned.get("views", ()) if each["view"] != owned["view"])]
    bills = [each for each in bills if each.get("lines")]
    if not bills:
        return
    table = Table(title="What this call cost, US dollars", title_justify="left")
    table.add_column("this box")
    for bill in bills:
        table.add_column(escape(str(bill["view"])), justify="right")
    for line in bills[0]["lines"]:
        table.add_row(str(line).replace("_", " "), *(_usd(bill["lines"][line]) for bill in bills))
    table.add_section()
    for name, key in (("together", "total_usd"), ("a minute", "usd_per_min")):
        table.add_row(name, *(_usd(bill.get(key)) for bill in bills), style="bold")
    console.print()
    console.print(table)
    elsewhere = Table(title="The same call, rented", title_justify="left")
    for name in ("stack", "together", "a minute"):
        elsewhere.add_column(name, justify="left" if name == "stack" else "right")
    for stack in rented if isinstance(rented, list) else []:
        amounts = (_usd(stack.get(key)) for key in ("total_usd", "usd_per_min"))
        elsewhere.add_row(escape(str(stack["stack"])), *amounts)
    console.print(elsewhere)


def show_bench(console: Console, report: Mapping[str, Any]) -> None:
    """The whole report of `offhook bench quick`."""
    machine = report["machine"]
    console.print(
        f"\n{escape(str(machine['cpu']))}, {machine['cores']} cores, "
        f"{machine['memory_gb']} GB; {escape(report['speech'])}",
        highlight=False,
    )
    table = Table(title="Milliseconds over all answered turns", title_justify="left")
    for name in ("", "P50", "P95", "min", "max"):
        table.add_column(name, justify="left" if not name else "right")
    rows = {"voice to voice (caller's side)": report["v2v_ms"], **_named(report["stages_ms"])}
    for name, figures in rows.items():
        cells = [_ms(figures.get(key)) for key in ("p50", "p95", "min", "max")]
        table.add_row(name, *cells, style="bold" if name.startswith("voice") else "")
    console.print(table)
    facts = Table(box=None, show_header=False, padding=(0, 1))
    for name, value in _facts(report):
        facts.add_row(name, value)
    console.print(facts)


def _facts(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = [
        ("turns answered", f"{report['n']} of {report['asked']}"),
        ("missed turns", str(report["missed_turns"])),
        ("cut-ins", str(report["cut_ins"])),
    ]
    if report["wer"] is not None:
        rows.append(("word error rate", f"{report['wer']:.1%}"))
    if report["ready_s"] is not None:
        rows += [
            ("ready after", f"{report['ready_s']:.1f} s"),
            ("resident memory", f"{report['rss_mb']:.0f} MiB"),
            ("idle", f"{report['idle_cpu']:.1%} of a core"),
        ]
    if report["silent_call_cpu"] is not None:
        rows.append(("one silent call", f"{report['silent_call_cpu']:.1%} of a core"))
    return rows


def _named(stages: Mapping[str, Any]) -> dict[str, Any]:
    return {STAGE_NAMES.get(stage, stage): figures for stage, figures in stages.items()}


def _bar(start_ms: float, took_ms: float, end_ms: float) -> str:
    scale = BAR_WIDTH / end_ms if end_ms else 0.0
    start = round(start_ms * scale)
    return " " * start + "█" * max(1, round((start_ms + took_ms) * scale) - start)


def _ms(value: object) -> str:
    return f"{value:.0f}" if isinstance(value, int | float) else ""


def _usd(value: object) -> str:
    return f"{value:.6f}" if isinstance(value, int | float) else "not known"
