"""A report's charts as inline SVG, each at a wide and a narrow width. Pure.

Colours come from the page's classes; nothing is told by colour alone.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from latency_bench.figures import TurnFigures
from latency_bench.report import STAGE_NAMES
from latency_bench.reports.svg import drawing, line, path, tag, text, tick_size, ticks
from latency_bench.reports.wording import number, plain

WIDE, NARROW = 960.0, 400.0
LETTER = 6.6
"""About a letter's width in the drawings' type."""
STAGE_CLASSES = 8


@dataclass(frozen=True, slots=True)
class Line:
    """A named line through points; None breaks it."""

    name: str
    points: Sequence[tuple[float, float | None]]
    class_: str


def both(draw: Callable[[float], Markup]) -> Markup:
    """The wide drawing and the narrow one; the page shows the one that fits."""
    return Markup('<div class="wide">{}</div><div class="narrow">{}</div>').format(
        draw(WIDE), draw(NARROW)
    )


def waterfall(turn: TurnFigures, stages: Sequence[str], end_ms: float, width: float) -> Markup:
    """A turn's stages one after the other, and the two clocks under them. A stage's colour is
    that of its place among all ``stages`` of the report."""
    wide = width == WIDE
    left, right = (190.0, 76.0) if wide else (10.0, 10.0)
    row_h = 30.0 if wide else 40.0
    scale = (width - left - right) / end_ms
    rows: list[tuple[str, float, float, str]] = []
    reached = 0.0
    for name, took_ms in turn.stages_ms.items():
        style = f"bar s{stages.index(name) % STAGE_CLASSES}"
        rows.append((STAGE_NAMES.get(name, plain(name, 28)), reached, took_ms, style))
        reached += took_ms
    total_ms = turn.v2v_ms or 0.0
    inside_ms = turn.inside_ms if turn.inside_ms is not None else reached or None
    if inside_ms is not None and total_ms > inside_ms:
        rows.append(("wire, buffers, codecs", inside_ms, total_ms - inside_ms, "bar wire"))
    clocks = len(rows)
    if inside_ms is not None:
        rows.append(("agent's clock", 0.0, inside_ms, "bar inside"))
    rows.append(("caller's clock", 0.0, total_ms, "bar outside"))
    height = row_h * len(rows) + (14 if clocks < len(rows) else 0)
    parts = []
    for place, (name, start, took, style) in enumerate(rows):
        top = row_h * place + (12 if place >= clocks else 0)
        name_class = "row-name strong" if place >= clocks else "row-name"
        begin = left + start * scale
        long = max(2.0, took * scale)
        if wide:
            parts.append(text(left - 14, top + 19, name, name_class, "end"))
            bar_y, bar_h = top + 5, 20.0
            parts.append(text(begin + long + 8, top + 19, f"{took:,.0f} ms", "value"))
        else:
            bar_y, bar_h = top + 18, 14.0
            parts.append(text(left, top + 13, name, name_class))
            parts.append(text(width - right, top + 13, f"{took:,.0f} ms", "value", "end"))
        parts.append(line(left, bar_y + bar_h, width - right, bar_y + bar_h, "grid"))
        parts.append(tag("rect", x=begin, y=bar_y, width=long, height=bar_h, rx=3, class_=style))
    words = ", ".join(f"{name} {took:.0f} ms" for name, _, took, _ in rows)
    return drawing(width, height + 2, f"Waterfall of one turn: {words}.", parts, "chart waterfall")


def lines(
    series: Sequence[Line],
    width: float,
    *,
    x_name: str,
    y_name: str,
    label: str,
    limit: tuple[float, str] | None = None,
    upright: tuple[float, str] | None = None,
    from_zero: bool = True,
    height: float = 300.0,
    x_ticks: Sequence[float] | None = None,
) -> Markup:
    """Lines over a common axis. ``limit`` is a height not to pass, ``upright`` a place on x."""
    wide = width == WIDE
    left, right, bottom = (64.0, 24.0, 42.0) if wide else (50.0, 10.0, 40.0)
    head = 26.0 if y_name else 8.0
    xs = [x for one in series for x, _ in one.points]
    ys = [y for one in series for _, y in one.points if y is not None] or [1.0]
    if limit is not None:
        ys.append(limit[0])
    x_low, x_high = min(xs), max(xs)
    x_span = x_high - x_low or 1.0
    low = 0.0 if from_zero else min(ys)
    step = tick_size(max(max(ys) - low, 1e-9) if from_zero else max(ys) - low or 4.0, 4)
    low = math.floor(low / step) * step
    high = max(max(ys) + 0.06 * (max(ys) - low), low + step)
    plot_w, plot_h = width - left - right, height - head - bottom

    def x(at: float) -> float:
        return left + plot_w * (at - x_low) / x_span

    def y(value: float) -> float:
        return head + plot_h * (1 - (value - low) / (high - low))

    parts = [text(left, 14, y_name, "axis-name")] if y_name else []
    for value in np.arange(low, high + step * 1e-6, step).tolist():
        parts.append(line(left, y(value), width - right, y(value), "grid"))
        parts.append(text(left - 8, y(value) + 4, number(round(value, 4)), "tick", "end"))
    marks = list(x_ticks) if x_ticks is not None else [x_low + t for t in ticks(x_span, 6)]
    for at in marks:
        parts.append(text(x(at), y(low) + 18, number(round(at, 4)), "tick", "middle"))
    parts.append(text(width - right, height - 4, x_name, "axis-name", "end"))
    if upright is not None:
        at, words = upright
        parts.append(
            tag("rect", x=left, y=head, width=max(0.0, x(at) - left), height=plot_h, class_="held")
        )
        parts.append(line(x(at), head, x(at), y(low), "upright"))
        past, anchor = (-7, "end") if x(at) > width / 2 else (7, "start")
        parts.append(text(x(at) + past, y(low) - 10, words, "mark-name", anchor))
    if limit is not None:
        parts.append(line(left, y(limit[0]), width - right, y(limit[0]), "limit"))
        parts.append(text(left + 6, y(limit[0]) - 6, limit[1], "limit-name"))
    for one in series:
        points = [(x(at), y(value)) for at, value in one.points if value is not None]
        if len(points) > 1:
            parts.append(path(points, f"curve {one.class_}"))
        if len(points) <= 40:
            parts += [
                tag("circle", cx=px, cy=py, r=4, class_=f"mark {one.class_}") for px, py in points
            ]
        if points and len(series) > 1:
            px, py = points[-1]
            parts.append(text(px - 4, py - 10, one.name, f"line-name {one.class_}", "end"))
    return drawing(width, height, label, parts, "chart lines")


def intervals(
    rows: Sequence[tuple[str, float, float, float, str]], width: float, *, x_name: str, label: str
) -> Markup:
    """Rows of (name, low, middle, high, class) around zero."""
    wide = width == WIDE
    left, right = (210.0, 30.0) if wide else (16.0, 16.0)
    row_h = 36.0 if wide else 48.0
    reach = max((abs(value) for row in rows for value in row[1:4]), default=1.0) * 1.1 or 1.0
    height = row_h * len(rows) + 40
    floor = row_h * len(rows) + 4

    def x(value: float) -> float:
        return left + (width - left - right) * (value + reach) / (2 * reach)

    parts = []
    for step in ticks(reach, 4 if wide else 2):
        for value in {step, -step}:
            style = "zero" if value == 0 else "grid"
            parts.append(line(x(value), 4, x(value), floor, style))
            shown = "0" if value == 0 else f"{value:+g}"
            parts.append(text(x(value), floor + 16, shown, "tick", "middle"))
    parts.append(text(width - right, height - 3, x_name, "axis-name", "end"))
    for place, (name, low, middle, high, style) in enumerate(rows):
        at = row_h * place + (row_h / 2 + 2 if wide else row_h * 0.68)
        parts.append(
            text(left - 14, at + 4, name, "row-name", "end")
            if wide
            else text(left, at - 14, name, "row-name")
        )
        parts.append(line(x(low), at, x(high), at, f"whisker {style}"))
        for end in (low, high):
            parts.append(line(x(end), at - 6, x(end), at + 6, f"whisker {style}"))
        parts.append(tag("circle", cx=x(middle), cy=at, r=5.5, class_=f"mark {style}"))
    return drawing(width, height, label, parts, "chart intervals")
