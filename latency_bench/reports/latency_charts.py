"""Charts of latencies: their distribution, and every answer by itself. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from latency_bench.figures import CallFigures, TurnFigures
from latency_bench.reports.anchors import Anchor
from latency_bench.reports.charts import LETTER, WIDE
from latency_bench.reports.svg import Points, drawing, line, path, tag, text, ticks
from latency_bench.reports.wording import plain


@dataclass(frozen=True, slots=True)
class Series:
    """A named line. ``class_`` gives its colour and dashes; of a CDF only the values count."""

    name: str
    values: Sequence[float]
    class_: str


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
