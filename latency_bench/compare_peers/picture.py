"""Latency against calls at once, each agent a pair of lines, for a README: light and dark."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from latency_bench.reports.pictures import DARK, DPI, LIGHT, SIZE_IN, Colours

HUES = ("agent", "answer", "caller")
DOOR = "webrtc"


def write_picture(report: Mapping[str, Any], folder: Path) -> list[Path]:
    """Writes ``compare.png`` and ``compare-dark.png``; nothing where nobody answered."""
    if not any(row["v2v_ms"] for row in report["rows"] if row["door"] == DOOR):
        return []
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for suffix, colours in (("", LIGHT), ("-dark", DARK)):
        # A figure of its own, not pyplot's: nothing global is touched.
        figure = Figure(figsize=SIZE_IN, dpi=DPI, facecolor=colours["paper"], layout="constrained")
        _draw(figure.add_subplot(facecolor=colours["paper"]), colours, report)
        path = folder / f"compare{suffix}.png"
        figure.savefig(path, facecolor=colours["paper"], metadata={"Software": "offhook bench"})
        written.append(path)
    return written


def _draw(axes: Axes, colours: Colours, report: Mapping[str, Any]) -> None:
    rows = [row for row in report["rows"] if row["door"] == DOOR and row["v2v_ms"]]
    calls = sorted({row["calls"] for row in rows})
    for place, name in enumerate(dict.fromkeys(row["peer"] for row in rows)):
        its = [row for row in rows if row["peer"] == name]
        shown = "Offhook" if name == "self" else name.replace("$", r"\$")
        for key, dashes in (("p50", "-"), ("p95", "--")):
            axes.plot(
                [calls.index(row["calls"]) for row in its],
                [row["v2v_ms"][key] for row in its],
                marker="o",
                linestyle=dashes,
                color=colours[HUES[place % len(HUES)]],
                linewidth=2.2,
                markersize=5.5,
                label=f"{shown}, {key.upper()}",
            )
    limit = report["settings"]["limits"]["v2v_p95_ms"]
    axes.axhline(limit, color=colours["bad"], linewidth=1.3, linestyle=":")
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(colors=colours["soft"], length=0, labelsize=9.5)
    axes.grid(True, axis="y", color=colours["line"], linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_ylim(bottom=0)
    axes.set_xticks(range(len(calls)), [str(at) for at in calls])
    axes.set_xlabel("calls at once", color=colours["soft"])
    axes.set_ylabel("voice to voice, ms", color=colours["soft"])
    legend = axes.legend(loc="upper left", frameon=False, fontsize=9.5)
    for text in legend.get_texts():
        text.set_color(colours["ink"])
    axes.set_title(
        "Same models, same machine: how soon an answer begins",
        loc="left",
        fontsize=13,
        fontweight="bold",
        color=colours["ink"],
        pad=14,
    )
