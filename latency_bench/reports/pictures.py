"""Charts as PNG files for a README, light and dark."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from latency_bench.report import STAGE_NAMES
from latency_bench.reports.anchors import ANCHORS
from latency_bench.reports.latency_charts import Series, latency_top
from latency_bench.reports.report_file import Report
from latency_bench.reports.run_view import cdf_series, typical_turns
from latency_bench.reports.wording import count, ms, plain

DPI = 160
SIZE_IN = (9.0, 4.2)
LIGHT = {
    "paper": "#ffffff",
    "ink": "#12171b",
    "soft": "#515b64",
    "line": "#dfe4e8",
    "edge": "#7d8790",
    "agent": "#0b7a53",
    "caller": "#1d5fc2",
    "answer": "#6941c6",
    "bad": "#b3261e",
    "stages": "#66727d #1f6bd6 #6941c6 #a352cc #b85c00 #0b8072 #b02a6b #5c6b00",
}
DARK = {
    "paper": "#0d1117",
    "ink": "#eaeef1",
    "soft": "#a6b0b9",
    "line": "#2a3138",
    "edge": "#75808a",
    "agent": "#45c896",
    "caller": "#83b1ff",
    "answer": "#b79cf8",
    "bad": "#ff8f85",
    "stages": "#93a0ac #6aa5ff #a98bf5 #d9a6f5 #f0a04b #3cc7b4 #f07cb3 #b9cc4a",
}
Colours = dict[str, str]


def write_pictures(report: Report, folder: Path) -> list[Path]:
    """Writes what the report has figures for: ``latency-cdf.png``, ``waterfall.png``,
    ``capacity.png``, each with a ``-dark`` twin."""
    folder.mkdir(parents=True, exist_ok=True)
    drawings: list[tuple[str, Callable[[Axes, Colours], None]]] = []
    series = cdf_series(report)
    if series:
        drawings.append(("latency-cdf", lambda axes, colours: _cdf(axes, colours, series)))
    if typical_turns(report):
        drawings.append(("waterfall", lambda axes, colours: _waterfall(axes, colours, report)))
    if any(level.v2v_ms is not None for level in report.levels):
        drawings.append(("capacity", lambda axes, colours: _capacity(axes, colours, report)))
    written = []
    for name, draw in drawings:
        for suffix, colours in (("", LIGHT), ("-dark", DARK)):
            path = folder / f"{name}{suffix}.png"
            _draw(path, colours, draw)
            written.append(path)
    return written


def _draw(path: Path, colours: Colours, draw: Callable[[Axes, Colours], None]) -> None:
    # A figure of its own, not pyplot's: nothing global is touched, nothing is left behind.
    figure = Figure(figsize=SIZE_IN, dpi=DPI, facecolor=colours["paper"], layout="constrained")
    axes = figure.add_subplot(facecolor=colours["paper"])
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(colors=colours["soft"], length=0, labelsize=9.5)
    axes.grid(True, axis="both", color=colours["line"], linewidth=0.8)
    axes.set_axisbelow(True)
    draw(axes, colours)
    figure.savefig(path, facecolor=colours["paper"], metadata={"Software": "offhook bench"})


def _title(axes: Axes, colours: Colours, words: str, rows: int = 0) -> None:
    """``rows`` of names stand between the chart and its title."""
    axes.set_title(
        _literal(words),
        loc="left",
        fontsize=13,
        fontweight="bold",
        color=colours["ink"],
        pad=14 + 12 * rows,
    )


def _cdf(axes: Axes, colours: Colours, series: list[Series]) -> None:
    top_ms = latency_top(series)
    row_ends: list[float] = []
    for anchor in ANCHORS:
        if anchor.at_ms > top_ms:
            continue
        if anchor.to_ms is not None:
            axes.axvspan(anchor.at_ms, min(anchor.to_ms, top_ms), color=colours["edge"], alpha=0.12)
        dashes = "-" if anchor.how == "recording" else (0, (1, 3))
        axes.axvline(anchor.at_ms, color=colours["edge"], linewidth=1, linestyle=dashes)
        # A letter is about 1.1% of the axis wide; a name goes into the first row with room.
        room = top_ms * 0.011 * len(anchor.name)
        start = min(anchor.at_ms, top_ms - room)
        row = next((row for row, end in enumerate(row_ends) if start > end), len(row_ends))
        if row == len(row_ends):
            row_ends.append(0.0)
        row_ends[row] = start + room
        axes.annotate(
            anchor.name,
            (start, 1.03),
            xytext=(0, 4 + 12 * row),
            textcoords="offset points",
            fontsize=8.5,
            color=colours["soft"],
            annotation_clip=False,
        )
    for place, one in enumerate(series):
        values = np.sort(one.values)
        shares = np.arange(1, len(values) + 1) / len(values)
        colour = colours["agent" if place == 0 else "answer"]
        axes.step(
            [0.0, *values, top_ms],
            [0.0, *shares, 1.0],
            where="post",
            color=colour,
            linewidth=2.4 if place == 0 else 1.8,
            linestyle="-" if place == 0 else "--",
            label=one.name,
        )
    first = series[0]
    for share, name in ((0.5, "P50"), (0.95, "P95")):
        at_ms = float(np.percentile(first.values, 100 * share))
        axes.plot([at_ms], [share], "o", color=colours["agent"], markersize=7)
        axes.annotate(
            f"{name} {ms(at_ms)}",
            (at_ms, share),
            xytext=(-9, 0),
            textcoords="offset points",
            ha="right",
            va="center",
            fontsize=11,
            fontweight="bold",
            color=colours["ink"],
        )
    axes.set_xlim(0, top_ms)
    axes.set_ylim(0, 1.03)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.set_xlabel("voice to voice, milliseconds", color=colours["soft"])
    if len(series) > 1:
        legend = axes.legend(loc="lower right", frameon=False, fontsize=9.5)
        for text in legend.get_texts():
            text.set_color(colours["ink"])
    _title(
        axes,
        colours,
        f"How soon an answer begins ({count(len(first.values), 'turn')})",
        rows=len(row_ends),
    )


def _waterfall(axes: Axes, colours: Colours, report: Report) -> None:
    name, _, turn = typical_turns(report)[0]
    stages, palette = report.stages, colours["stages"].split()
    rows: list[tuple[str, float, float, dict[str, Any]]] = []
    reached = 0.0
    for stage, took_ms in turn.stages_ms.items():
        named = STAGE_NAMES.get(stage, plain(stage, 28))
        style: dict[str, Any] = {"color": palette[stages.index(stage) % len(palette)]}
        rows.append((named, reached, took_ms, style))
        reached += took_ms
    total_ms = turn.v2v_ms or reached
    inside_ms = turn.inside_ms if turn.inside_ms is not None else reached
    if total_ms > inside_ms:
        style = {"facecolor": "none", "edgecolor": colours["edge"], "linestyle": "--"}
        rows.append(("wire, buffers, codecs", inside_ms, total_ms - inside_ms, style))
    rows.append(("agent's clock", 0.0, inside_ms, {"color": colours["edge"]}))
    rows.append(("caller's clock", 0.0, total_ms, {"color": colours["agent"]}))
    for place, (_, start, took, style) in enumerate(rows):
        axes.barh(place, took, left=start, height=0.62, **style)
        axes.annotate(
            ms(took),
            (start + took, place),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=10,
            color=colours["ink"],
        )
    axes.set_yticks(range(len(rows)), [_literal(row[0]) for row in rows])
    axes.invert_yaxis()
    axes.grid(False, axis="y")
    axes.set_xlim(0, max(total_ms, reached) * 1.1)
    axes.set_xlabel("milliseconds", color=colours["soft"])
    _title(axes, colours, f"Where the time goes: {name.lower()}")


def _capacity(axes: Axes, colours: Colours, report: Report) -> None:
    timed = [(level.calls, level.v2v_ms) for level in report.levels if level.v2v_ms is not None]
    calls = [at for at, _ in timed]
    for key, name, colour in (("p95", "P95", "answer"), ("p50", "P50", "agent")):
        axes.plot(
            calls,
            [getattr(found, key) for _, found in timed],
            "o-",
            color=colours[colour],
            linewidth=2.2,
            markersize=5.5,
            label=name,
        )
    limit = report.objective.get("v2v_p95_ms")
    if limit is not None:
        axes.axhline(limit, color=colours["bad"], linewidth=1.3, linestyle="--")
        axes.annotate(
            f"objective: P95 {ms(limit)}",
            (calls[0], limit),
            xytext=(2, 5),
            textcoords="offset points",
            fontsize=9.5,
            color=colours["bad"],
        )
    held = None if report.capacity is None else report.capacity.calls
    if held:
        axes.axvspan(calls[0], held, color=colours["agent"], alpha=0.08)
        axes.axvline(held, color=colours["agent"], linewidth=1.3, linestyle="--")
    axes.set_ylim(bottom=0)
    axes.set_xticks(calls)
    axes.set_xlabel("calls at once", color=colours["soft"])
    axes.set_ylabel("voice to voice, ms", color=colours["soft"])
    legend = axes.legend(loc="upper left", frameon=False, fontsize=9.5)
    for text in legend.get_texts():
        text.set_color(colours["ink"])
    words = f"It holds {count(held, 'call')} at once" if held else "Latency as calls are added"
    _title(axes, colours, words)


def _literal(words: str) -> str:
    """Without mathematical text: a name with a dollar sign is a name."""
    return words.replace("$", r"\$")
