"""Two reports against each other as one HTML file that needs no network."""

from typing import Any

from latency_bench.reports.anchors import ANCHORS, HOW_WORDS
from latency_bench.reports.bootstrap import DRAWS
from latency_bench.reports.charts import both, intervals
from latency_bench.reports.compare import Comparison, Difference, shown, side_by_side
from latency_bench.reports.latency_charts import Series, cdf, latency_top
from latency_bench.reports.page import facts, render
from latency_bench.reports.report_file import Report
from latency_bench.reports.run_view import cdf_series
from latency_bench.reports.terminal import interval_words
from latency_bench.reports.wording import NOTHING, number, plain

_STATUS: dict[str, dict[str, str]] = {
    "better": {"status": "good", "word": "better"},
    "worse": {"status": "bad", "word": "worse"},
    "unclear": {"status": "none", "word": "not shown"},
}


def comparison_page(a: Report, b: Report, comparison: Comparison) -> str:
    """The page."""
    names = [f"{letter}: {plain(one.name, 60)}" for letter, one in (("A", a), ("B", b))]
    curves = [
        Series(name, found[0].values, style)
        for name, found, style in zip(
            names, (cdf_series(a), cdf_series(b)), ("sound", "second"), strict=True
        )
        if found
    ]
    top_ms = latency_top(curves) if curves else 0.0
    first = comparison.differences[0] if comparison.differences else None
    status = _STATUS["unclear" if first is None else first.outcome]["status"]
    view: dict[str, Any] = {
        "comparison": comparison,
        "draws": DRAWS,
        "status": status,
        "status_word": {"good": "B is better", "bad": "B is worse"}.get(status, "not shown"),
        "sentence": comparison.sentence,
        "facts": [
            (
                letter,
                " · ".join([plain(one.name, 120), *(value for _, value in facts(one) if value)]),
            )
            for letter, one in (("A", a), ("B", b))
        ],
        "sentences": [
            {**_STATUS[one.outcome], "sentence": one.sentence} for one in comparison.differences
        ],
        "cdf_series": curves,
        "cdf": both(lambda width: cdf(curves, ANCHORS, width)) if curves else None,
        "anchors": [anchor for anchor in ANCHORS if anchor.at_ms <= top_ms],
        "how_words": HOW_WORDS,
        "intervals": _intervals(comparison),
        "rows": [_row(one) for one in comparison.differences],
        "side_rows": [
            (plain(name, 80), number(in_a), number(in_b)) for name, in_a, in_b in side_by_side(a, b)
        ],
    }
    data = {
        "calls": [],
        "series": [
            {"name": one.name, "values": sorted(round(value, 1) for value in one.values)}
            for one in curves
        ],
    }
    return render("compare.html.j2", "offhook bench: A against B", view, data)


def _intervals(comparison: Comparison) -> str | None:
    rows = [
        (
            one.name,
            100 * (one.ratio_ci95[0] - 1),
            100 * (one.ratio - 1),
            100 * (one.ratio_ci95[1] - 1),
            one.outcome,
        )
        for one in comparison.differences
        if one.unit == "ms" and one.ratio is not None and one.ratio_ci95 is not None
    ]
    if not rows:
        return None
    label = "B against A in percent: " + "; ".join(
        f"{name} {middle:+.0f}%, from {low:+.0f}% to {high:+.0f}%"
        for name, low, middle, high, _ in rows
    )
    return both(lambda width: intervals(rows, width, x_name="percent", label=label))


def _row(one: Difference) -> tuple[object, ...]:
    ratio = NOTHING if one.ratio is None else f"{one.ratio:.2f}"
    if one.ratio_ci95 is not None:
        ratio += f" ({one.ratio_ci95[0]:.2f} to {one.ratio_ci95[1]:.2f})"
    return (
        one.name,
        shown(one.unit, one.a),
        shown(one.unit, one.b),
        interval_words(one.unit, one.difference, one.ci95) or NOTHING,
        ratio,
        one.n_a,
        one.n_b,
    )
