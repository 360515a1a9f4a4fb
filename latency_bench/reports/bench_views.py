"""What the page shows of capacity, quality, soak and calibration. Pure."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from latency_bench.report import STAGE_NAMES
from latency_bench.reports.charts import NARROW, Line, both, lines
from latency_bench.reports.report_file import Level, Report, Sample
from latency_bench.reports.wording import NOTHING, count, ms, number, percent, plain, spoken_name

_SAMPLED: tuple[tuple[str, str, Callable[[Sample], float | None]], ...] = (
    ("Voice to voice, P50, ms", "v2v_p50_ms", lambda sample: sample.v2v_p50_ms),
    ("Resident memory, MB", "rss_mb", lambda sample: sample.rss_mb),
    ("Open descriptors", "descriptors", lambda sample: sample.descriptors),
    ("Threads", "threads", lambda sample: sample.threads),
)
_MEASURED: tuple[tuple[str, Callable[[Level], float | None]], ...] = (
    ("Missed turns, %", lambda level: _hundred(level.missed_rate)),
    ("Processor, cores", lambda level: level.cpu_cores),
    ("Resident memory, MB", lambda level: level.rss_mb),
)


def capacity_view(report: Report) -> dict[str, Any]:
    """The curve, what else was measured at each level, and the levels' table."""
    if not report.levels:
        return {}
    stages = list({name: None for level in report.levels for name in level.stages_ms})
    columns = ["calls", "turns", "P50", "P95", "missed", "cores", "memory"]
    columns += [f"{STAGE_NAMES.get(name, plain(name, 30))}, P95" for name in stages]
    gpus = list({name: None for level in report.levels for name in level.gpu or {}})
    columns += [f"GPU, {plain(name, 30)}" for name in gpus]
    rows = [
        (
            number(level.calls),
            number(level.turns),
            ms(None if level.v2v_ms is None else level.v2v_ms.p50),
            ms(None if level.v2v_ms is None else level.v2v_ms.p95),
            percent(level.missed_rate),
            number(level.cpu_cores),
            NOTHING if level.rss_mb is None else f"{level.rss_mb:,.0f} MB",
            *(
                ms(level.stages_ms[name].p95 if name in level.stages_ms else None)
                for name in stages
            ),
            *(plain(number((level.gpu or {}).get(name)), 40) for name in gpus),
            "within" if level.within else "broken",
        )
        for level in report.levels
    ]
    columns.append("objective")
    objective = report.objective
    told = " and ".join(
        f"{spoken_name(plain(name, 60))} up to {limit_words(name, limit)}"
        for name, limit in objective.items()
    )
    more = [
        (name, _small(name, figure, report.levels))
        for name, figure in _MEASURED
        if sum(figure(level) is not None for level in report.levels) > 1
    ]
    return {
        "capacity_chart": both(lambda width: capacity_chart(report, width)),
        "capacity_more": more,
        "level_columns": columns,
        "level_rows": rows,
        "level_numeric": tuple(range(1, len(columns) - 1)),
        "objective_words": f": {told}" if told else " was not told",
    }


def capacity_chart(report: Report, width: float) -> Markup:
    """P50 and P95 as calls are added, with the objective and how many calls keep to it."""
    timed = [(level.calls, level.v2v_ms) for level in report.levels if level.v2v_ms is not None]
    held = report.capacity.calls if report.capacity is not None else None
    limit = report.objective.get("v2v_p95_ms")
    label = "Latency by calls at once: " + "; ".join(
        f"{calls}: P50 {found.p50:.0f} ms, P95 {found.p95:.0f} ms" for calls, found in timed
    )
    if not timed:
        return Markup('<p class="note">No answer could be timed.</p>')
    return lines(
        [
            Line("P95", [(calls, found.p95) for calls, found in timed], "p95"),
            Line("P50", [(calls, found.p50) for calls, found in timed], "p50"),
        ],
        width,
        x_name="calls at once",
        y_name="voice to voice, ms",
        label=label,
        limit=None if limit is None else (limit, f"objective: P95 {ms(limit)}"),
        upright=None if not held else (held, f"holds {count(held, 'call')}"),
        height=340,
        x_ticks=[level.calls for level in report.levels],
    )


def limit_words(name: str, limit: float) -> str:
    """A limit with its unit."""
    if name.endswith("_ms"):
        return ms(limit)
    return percent(limit) if name.endswith("_rate") else number(limit)


def quality_view(report: Report) -> dict[str, Any]:
    """The tables as they are, with figures short and on the right."""
    tables = []
    for table in report.tables:
        rows = [tuple(plain(number(cell), 300) for cell in row) for row in table.rows]
        tables.append(
            {
                "title": plain(table.title, 120),
                "about": plain(table.about, 600),
                "columns": [plain(column, 60) for column in table.columns],
                "rows": rows,
                "numeric": numeric_columns(table.rows),
            }
        )
    return {"tables": tables}


def soak_view(report: Report) -> dict[str, Any]:
    """A chart for each figure that was sampled, and the trends."""
    drawn = []
    for name, key, figure in _SAMPLED:
        points = [(sample.at_s / 3600, figure(sample)) for sample in report.samples]
        if sum(value is not None for _, value in points) > 1:
            drawn.append((name, _trend_chart(name, points, key)))
    return {
        "soak_charts": drawn,
        "trend_rows": [
            (
                plain(name, 60),
                NOTHING if trend.per_hour is None else f"{trend.per_hour:+.3g}",
                NOTHING if trend.ci95 is None else f"{trend.ci95[0]:+.3g} to {trend.ci95[1]:+.3g}",
                plain(trend.verdict, 200),
            )
            for name, trend in report.trends.items()
        ],
    }


def calibrate_view(report: Report) -> dict[str, Any]:
    """The error by door, and by delay."""
    return {
        "door_rows": [
            (
                plain(name, 40),
                _tenth(door.abs_error_ms.p50),
                _tenth(door.abs_error_ms.p95),
                _tenth(door.bias_ms),
                door.n,
                door.not_found,
            )
            for name, door in report.door.items()
        ],
        "delay_rows": [
            (plain(name, 40), plain(str(delay), 40), _flat(found))
            for name, door in report.door.items()
            for delay, found in door.delays.items()
        ],
    }


def numeric_columns(rows: Sequence[Sequence[object]]) -> tuple[int, ...]:
    """The columns, but for the first, that hold nothing but figures."""
    width = min((len(row) for row in rows), default=0)
    return tuple(
        place
        for place in range(1, width)
        if all(
            row[place] is None
            or (isinstance(row[place], int | float) and not isinstance(row[place], bool))
            for row in rows
        )
    )


def _small(name: str, figure: Callable[[Level], float | None], levels: Sequence[Level]) -> Markup:
    return lines(
        [Line(name, [(float(level.calls), figure(level)) for level in levels], "second")],
        NARROW,
        x_name="calls at once",
        y_name="",
        label=f"{name} by calls at once",
        height=180,
        x_ticks=[level.calls for level in levels],
    )


def _trend_chart(name: str, points: Sequence[tuple[float, float | None]], key: str) -> Markup:
    return lines(
        [Line(name, points, "second" if key != "v2v_p50_ms" else "p50")],
        NARROW,
        x_name="hours",
        y_name="",
        label=f"{name} over the hours",
        from_zero=key == "v2v_p50_ms",
        height=200,
    )


def _hundred(value: float | None) -> float | None:
    return None if value is None else 100 * value


def _tenth(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.1f}"


def _flat(found: object) -> str:
    if not isinstance(found, Mapping):
        return number(found)
    parts = []
    for key, value in found.items():
        words = f"({_flat(value)})" if isinstance(value, Mapping) else number(value)
        parts.append(f"{str(key).removesuffix('_ms').replace('_', ' ')} {words}")
    return plain(", ".join(parts), 300)
