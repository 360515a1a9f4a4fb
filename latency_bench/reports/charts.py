"""A report's charts as inline SVG, each at a wide and a narrow width. Pure.

Colours come from the page's classes; nothing is told by colour alone.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from latency_bench.figures import CallFigures, TurnFigures
from latency_bench.report import STAGE_NAMES
from latency_bench.reports.anchors import Anchor
from latency_bench.reports.svg import Points, drawing, line, path, tag, text, tick_size, ticks
from latency_bench.reports.wording import number, plain

WIDE, NARROW = 960.0, 400.0
LETTER = 6.6
"""About a letter's width in the drawings' type."""
STAGE_CLASSES = 8


@dataclass(frozen=True, slots=True)
class Series:
    """A named line. ``class_`` gives its colour and dashes; of a CDF only the values count."""

    name: str
    values: Sequence[float]
    class_: str


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


def latency_top(series: Sequence[Series]) -> float:
    """Where the axis of a latency chart ends: far outliers are counted beyond it."""
    p95 = max(float(np.percentile(one.values, 95)) for one in series)
    largest = max(max(one.values) for one in series)
    top = max(1800.0, min(largest * 1.04, p95 * 1.8))
    return float(np.ceil(top / 100) * 100)


def cdf(series: Sequence[Series], anchors: Sequence[Anchor], width: float) -> Markup:
    """The share of answers that had begun by each moment, with published figures beside it."""
    wide = width == WIDE
    top_ms = latency_top(series)
    left, right, bottom = (46.0, 18.0, 40.0) if wide else (38.0, 8.0, 38.0)
    labels, rows = _anchor_rows(anchors, top_ms, left, width - right, wide)
    head = 12.0 + 18.0 * rows
    height = head + (290 if wide else 220) + bottom
    plot_w, plot_h = width - left - right, height - head - bottom

    def x(at_ms: float) -> float:
        return left + plot_w * min(max(at_ms, 0.0), top_ms) / top_ms

    def y(share: float) -> float:
        return head + plot_h * (1 - share)

    parts: list[Markup] = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(line(left, y(share), width - right, y(share), "grid"))
        parts.append(text(left - 7, y(share) + 4, f"{share:.0%}", "tick", "end"))
    for at_ms in ticks(top_ms, 10 if wide else 4):
        parts.append(line(x(at_ms), y(0), x(at_ms), y(0) + 4, "axis"))
        parts.append(text(x(at_ms), y(0) + 18, f"{at_ms:,.0f}", "tick", "middle"))
    parts.append(text(width - right, height - 4, "milliseconds", "axis-name", "end"))
    for anchor, row, at, words in labels:
        base = 14.0 + 18.0 * row
        if anchor.to_ms is not None:
            band = max(2.0, x(anchor.to_ms) - x(anchor.at_ms))
            parts.append(
                tag("rect", x=x(anchor.at_ms), y=head, width=band, height=plot_h, class_="band")
            )
        parts.append(line(x(anchor.at_ms), base + 4, x(anchor.at_ms), y(0), f"anchor {anchor.how}"))
        parts.append(text(at, base, words, "anchor-name"))
    for one in series:
        parts.append(path(_steps(one.values, top_ms, x, y), f"area {one.class_}", y(0)))
    for one in series:
        parts.append(path(_steps(one.values, top_ms, x, y), f"curve {one.class_}"))
        for share in (0.5, 0.95):
            at_ms = float(np.percentile(one.values, 100 * share))
            if at_ms <= top_ms:
                parts.append(
                    tag("circle", cx=x(at_ms), cy=y(share), r=4.5, class_=f"mark {one.class_}")
                )
    parts += _percentile_names(series, top_ms, x, y)
    beyond = sum(value > top_ms for value in series[0].values)
    if beyond:
        parts.append(text(width - right, y(0) - 8, f"{beyond} beyond →", "beyond", "end"))
    parts.append(line(left, head, left, y(0), "cursor"))
    label = "Share of answers begun by each moment. " + " ".join(
        f"{one.name}: half within {np.percentile(one.values, 50):.0f} ms, 95% within "
        f"{np.percentile(one.values, 95):.0f} ms."
        for one in series
    )
    return drawing(
        width,
        height,
        label,
        parts,
        "chart cdf",
        data_left=left,
        data_right=width - right,
        data_top_ms=top_ms,
    )


def histogram(values: Sequence[float]) -> Markup:
    """How the latencies are spread, small, on an axis that begins at 0."""
    top_ms = max(1000.0, min(max(values), float(np.percentile(values, 99)) * 1.2))
    counts, edges = np.histogram(np.clip(values, 0, top_ms), bins=40, range=(0, top_ms))
    tallest = int(counts.max())
    bars = [
        tag(
            "rect",
            x=300 * float(edge) / top_ms + 0.5,
            y=70 - 66 * int(many) / tallest,
            width=6.5,
            height=66 * int(many) / tallest,
            rx=1.5,
        )
        for many, edge in zip(counts, edges[:-1], strict=True)
        if many
    ]
    label = f"Spread of {len(values)} latencies between {min(values):.0f} and {max(values):.0f} ms"
    return drawing(300, 72, label, [*bars, line(0, 71, 300, 71, "zero")], "histogram")


def turn_dots(
    by_scenario: Mapping[str, Sequence[tuple[CallFigures, TurnFigures]]], width: float
) -> Markup:
    """Each turn that owes an answer as a mark: when its answer began, and whether all was well."""
    wide = width == WIDE
    values = [t.v2v_ms for pairs in by_scenario.values() for _, t in pairs if t.v2v_ms is not None]
    top_ms = latency_top([Series("", values or [1000.0], "")])
    left, right = (186.0, 106.0) if wide else (10.0, 76.0)
    row_h = 40.0 if wide else 52.0
    height = row_h * len(by_scenario) + 36
    plot_w = width - left - right
    floor = row_h * len(by_scenario) + 4

    def x(at_ms: float) -> float:
        return left + plot_w * min(max(at_ms, 0.0), top_ms) / top_ms

    parts = []
    for at_ms in ticks(top_ms, 10 if wide else 4):
        parts.append(line(x(at_ms), 4, x(at_ms), floor, "grid"))
        parts.append(text(x(at_ms), floor + 16, f"{at_ms:,.0f}", "tick", "middle"))
    parts.append(text(width, floor + 16, "no answer", "tick", "end"))
    for row, (name, pairs) in enumerate(by_scenario.items()):
        middle = row_h * row + (row_h / 2 + 2 if wide else row_h * 0.66)
        shown = plain(name, 26)
        if wide:
            parts.append(text(left - 14, middle + 4, shown, "row-name", "end"))
        else:
            parts.append(text(left, middle - 17, shown, "row-name"))
        parts.append(line(left, middle, width - right, middle, "row"))
        lanes: dict[int, int] = {}
        for call, turn in pairs:
            at = width - 28 if turn.v2v_ms is None else x(turn.v2v_ms)
            lane = lanes.get(round(at / 5), 0)
            lanes[round(at / 5)] = lane + 1
            offset = (lane + 1) // 2 * (1 if lane % 2 else -1) * 4.5
            parts.append(_turn_mark(at, middle + max(-13.0, min(13.0, offset)), call, turn))
    label = "Every answer by scenario; the table of turns below holds the same figures."
    return drawing(width, height, label, parts, "chart dots")


def waterfall(turn: TurnFigures, stages: Sequence[str], end_ms: float, width: float) -> Markup:
    """A turn's stages one after the other, and the two clocks under them."""
    wide = width == WIDE
    left, right = (190.0, 76.0) if wide else (10.0, 10.0)
    row_h = 30.0 if wide else 40.0
    scale = (width - left - right) / end_ms
    told = [(name, turn.stages_ms[name]) for name in stages if name in turn.stages_ms]
    rows: list[tuple[str, float, float, str]] = []
    reached = 0.0
    for name, took_ms in told:
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


def _steps(
    values: Sequence[float],
    top_ms: float,
    x: Callable[[float], float],
    y: Callable[[float], float],
) -> Points:
    """The empirical distribution as stairs; past 400 values, every so many-th stair."""
    ordered = np.sort(np.asarray(values, np.float64))
    count = len(ordered)
    places = np.unique(np.linspace(0, count - 1, min(count, 400)).round().astype(int))
    points = [(x(0.0), y(0.0))]
    share = 0.0
    for place in places:
        value = float(ordered[place])
        if value > top_ms:
            break
        points.append((x(value), y(share)))
        share = (int(place) + 1) / count
        points.append((x(value), y(share)))
    points.append((x(top_ms), y(share)))
    return points


def _percentile_names(
    series: Sequence[Series],
    top_ms: float,
    x: Callable[[float], float],
    y: Callable[[float], float],
) -> list[Markup]:
    """P50 and P95 of the soonest curve, where there is room: to its left lies no other. Of two
    agents the later one's as well, to its right."""
    ordered = sorted(series, key=lambda one: float(np.percentile(one.values, 50)))
    pairs = [(ordered[0], False)]
    if any(one.class_ == "second" for one in series):
        pairs.append((ordered[-1], True))
    parts = []
    for one, after in pairs:
        for share, name in ((0.5, "P50"), (0.95, "P95")):
            at_ms = float(np.percentile(one.values, 100 * share))
            if at_ms > top_ms:
                continue
            words = f"{name} {at_ms:,.0f} ms"
            room = x(at_ms) - 12 - LETTER * len(words) > x(0.0)
            if room and not after:
                parts.append(text(x(at_ms) - 12, y(share) + 4, words, "mark-name", "end"))
            else:
                parts.append(text(x(at_ms) + 12, y(share) + 18, words, "mark-name"))
    return parts


def _anchor_rows(
    anchors: Sequence[Anchor], top_ms: float, left: float, right: float, wide: bool
) -> tuple[list[tuple[Anchor, int, float, str]], int]:
    """Each anchor's row, the place of its words, and its words: none over another."""
    ends: list[float] = []
    placed = []
    for number_, anchor in enumerate(anchors, 1):
        if anchor.at_ms > top_ms:
            continue
        at = left + (right - left) * anchor.at_ms / top_ms
        words = f"{number_}  {anchor.name}" if wide else str(number_)
        start = min(at + 5, right - LETTER * len(words))
        row = next((row for row, end in enumerate(ends) if start - 7 > end), len(ends))
        if row == len(ends):
            ends.append(0.0)
        ends[row] = start + LETTER * len(words)
        placed.append((anchor, row, start, words))
    return placed, len(ends)


def _turn_mark(at: float, middle: float, call: CallFigures, turn: TurnFigures) -> Markup:
    met = all(verdict.met for verdict in turn.verdicts)
    if turn.missed:
        shape, state = f"M{at - 5:.1f} {middle - 5:.1f}l10 10m0 -10l-10 10", "missed"
    elif turn.cut_in or not met:
        shape, state = f"M{at:.1f} {middle - 6:.1f}l6 10.5h-12z", "failed"
    else:
        shape = f"M{at - 4.5:.1f} {middle:.1f}a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0 -9 0z"
        state = "met"
    said = plain(turn.said or turn.kind, 60)
    told = "no answer" if turn.v2v_ms is None else f"{turn.v2v_ms:,.0f} ms"
    return tag(
        "path",
        tag("title", f"call {call.call}, “{said}”: {told}"),
        d=shape,
        class_=f"turn {state}",
        data_call=str(call.call),
        data_turn=str(turn.part),
    )
