"""A report in one sentence and a handful of figures. Pure."""

import re
from dataclasses import dataclass
from typing import Literal

from latency_bench.reports.bench_views import limit_words
from latency_bench.reports.report_file import Report, Trend
from latency_bench.reports.wording import (
    NOTHING,
    count,
    ms,
    number,
    percent,
    plain,
    seconds,
    spoken_name,
)

Status = Literal["good", "fair", "bad", "none"]
MOS_GOOD = 4.03
"""Users satisfied, by ITU-T G.107 annex B (R of 80)."""
MOS_FAIR = 3.60
"""Some users dissatisfied, by the same (R of 70)."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One tile: ``detail`` says of what, ``status`` whether it is as it should be."""

    name: str
    value: str
    unit: str = ""
    detail: str = ""
    status: Status = "none"


def verdict(report: Report) -> tuple[Status, str]:
    """How it went, and a sentence that says so."""
    status, text = _VERDICTS[report.kind](report)
    if report.interrupted:
        text = f"Stopped before its end. {text}"
        status = "fair" if status == "good" else status
    if report.errors:
        status = "bad"
    return status, text


def figures(report: Report) -> list[Figure]:
    """The headline figures of its kind."""
    return _FIGURES[report.kind](report)


def _run_verdict(report: Report) -> tuple[Status, str]:
    summary = report.summary
    calls = len(report.calls)
    failed = sum(not call.passed for call in report.calls)
    p50, p95 = summary.get("v2v_p50_ms"), summary.get("v2v_p95_ms")
    pace = (
        "No answer could be timed."
        if p50 is None or p95 is None
        else f"Half of the answers begin within {ms(p50)}, 95% within {ms(p95)}."
    )
    if not calls:
        return "bad", "No call took place."
    if failed:
        went = f"{failed} of {calls} calls did not go as they should."
        return "bad", f"{'The call did not go as it should.' if calls == 1 else went} {pace}"
    went = (
        "The call went as it should." if calls == 1 else f"All {calls} calls went as they should."
    )
    return "good", f"{went} {pace}"


def _capacity_verdict(report: Report) -> tuple[Status, str]:
    capacity = report.capacity
    if capacity is not None and capacity.verdict:
        return "good" if capacity.calls else "bad", plain(capacity.verdict, 400)
    if capacity is None or not capacity.calls:
        why = f": {capacity.why}" if capacity is not None and capacity.why else ""
        return "bad", f"Not even one call kept to the objective{why}."
    why = f" Beyond that: {capacity.why}." if capacity.why else ""
    return "good", f"It holds {count(capacity.calls, 'call')} at once within the objective.{why}"


def _quality_verdict(report: Report) -> tuple[Status, str]:
    rows = sum(len(table.rows) for table in report.tables)
    if not rows:
        return "bad", "Nothing was measured."
    return "none", f"{count(rows, 'condition')} measured in {count(len(report.tables), 'table')}."


def _soak_verdict(report: Report) -> tuple[Status, str]:
    if not report.samples:
        return "bad", "Nothing was measured."
    lasted = seconds(report.samples[-1].at_s - report.samples[0].at_s)
    words = "; ".join(
        f"{spoken_name(name)}: {trend.verdict}"
        for name, trend in report.trends.items()
        if trend.verdict
    )
    return "none", f"{lasted} of calls. {words}{'.' if words else ''}"


def _calibrate_verdict(report: Report) -> tuple[Status, str]:
    errors = {
        name: door.abs_error_ms.p95
        for name, door in report.door.items()
        if door.abs_error_ms.p95 is not None
    }
    if not errors:
        return "bad", "Nothing was measured."
    name, worst = max(errors.items(), key=lambda entry: entry[1])
    return (
        "good" if worst <= 10 else "bad",
        f"The measurement is right to within {worst:.1f} ms (P95) over its worst door, {name}.",
    )


def _run_figures(report: Report) -> list[Figure]:
    summary = report.summary
    turns = int(summary.get("turns") or 0)
    counted = len(report.counted)
    mos = summary.get("mos_p50")
    found = [
        _latency("Voice to voice", report, "v2v", f"{count(counted, 'turn')}"),
        _latency("First answer", report, "first_answer", "without fillers"),
        _share("Missed turns", summary.get("turns_missed"), summary.get("missed_rate"), turns),
        _share("Cut-ins", summary.get("cut_ins"), summary.get("cut_in_rate"), turns),
        _latency("Barge-in stop", report, "stop", "to the agent's silence"),
        Figure(
            "MOS",
            NOTHING if mos is None else f"{mos:.2f}",
            "",
            "E-model, of 4.5; " + f"lowest {summary['mos_min']:.2f}"
            if summary.get("mos_min") is not None
            else "E-model, of 4.5",
            "none"
            if mos is None
            else "good"
            if mos >= MOS_GOOD
            else "fair"
            if mos >= MOS_FAIR
            else "bad",
        ),
    ]
    if summary.get("outside_gap_p50_ms") is not None:
        gap = summary["outside_gap_p50_ms"]
        found.append(Figure("Two clocks apart", *_split(gap), "P50, caller's less agent's"))
    found.append(_latency("Greeting", report, "greeting", "after the call was answered"))
    return [figure for figure in found if figure.value != NOTHING or figure.name in _ALWAYS]


_ALWAYS = ("Voice to voice", "Missed turns", "Cut-ins", "MOS")


def _latency(name: str, report: Report, key: str, of: str) -> Figure:
    p50 = report.summary.get(f"{key}_p50_ms")
    p95 = report.summary.get(f"{key}_p95_ms")
    detail = of if p95 is None else f"P95 {ms(p95)} · {of}"
    return Figure(name, *_split(p50), detail)


def _split(value: float | None) -> tuple[str, str]:
    return (NOTHING, "") if value is None else (f"{value:,.0f}", "ms")


def _share(name: str, happened: float | None, rate: float | None, of: int) -> Figure:
    if happened is None:
        return Figure(name, NOTHING)
    detail = f"{percent(rate)} of {count(of, 'turn')}"
    return Figure(name, number(happened), "", detail, "bad" if happened else "good")


def _capacity_figures(report: Report) -> list[Figure]:
    capacity = report.capacity
    found = [
        Figure(
            "Capacity",
            NOTHING if capacity is None else number(capacity.calls),
            "calls at once",
            f"of {count(len(report.levels), 'level')} tried",
        )
    ]
    if capacity is not None and capacity.saturated:
        found.append(Figure("Saturated first", capacity.saturated, "", capacity.why or ""))
    for name, limit in report.objective.items():
        value, _, unit = limit_words(name, limit).partition(" ")
        found.append(Figure("Objective", value, unit, f"{spoken_name(plain(name, 60))} at most"))
    best = next((level.v2v_ms for level in report.levels if level.v2v_ms), None)
    if best is not None:
        found.append(
            Figure(f"With {count(report.levels[0].calls, 'call')}", *_split(best.p50), "P50")
        )
    return found


def _summary_figures(report: Report) -> list[Figure]:
    return [
        Figure(
            spoken_name(name),
            percent(value) if _is_share(name) else number(value),
            "ms" if name.endswith("_ms") and value is not None else "",
        )
        for name, value in list(report.summary.items())[:8]
    ]


def _is_share(name: str) -> bool:
    return (
        name.endswith(("_rate", "_share"))
        or re.fullmatch(r"(returned_)?wer(_.*)?", name) is not None
    )


def _soak_figures(report: Report) -> list[Figure]:
    return [
        Figure(
            f"{spoken_name(name)} drifts",
            NOTHING if trend.per_hour is None else f"{trend.per_hour:+.3g}",
            f"{_UNITS.get(name.rpartition('_')[2], '')} an hour".strip(),
            _drift(trend),
        )
        for name, trend in report.trends.items()
    ]


_UNITS = {"ms": "ms", "mb": "MB"}


def _drift(trend: Trend) -> str:
    if trend.ci95 is None:
        return trend.verdict
    return f"{trend.verdict} · 95% CI {trend.ci95[0]:.3g} to {trend.ci95[1]:.3g}"


def _calibrate_figures(report: Report) -> list[Figure]:
    return [
        Figure(
            name,
            NOTHING if door.abs_error_ms.p95 is None else f"{door.abs_error_ms.p95:.1f}",
            "ms",
            f"error, P95 · {count(door.n, 'turn')}",
            "none"
            if door.abs_error_ms.p95 is None
            else "good"
            if door.abs_error_ms.p95 <= 10
            else "bad",
        )
        for name, door in report.door.items()
    ]


_VERDICTS = {
    "run": _run_verdict,
    "capacity": _capacity_verdict,
    "quality": _quality_verdict,
    "soak": _soak_verdict,
    "calibrate": _calibrate_verdict,
}
_FIGURES = {
    "run": _run_figures,
    "capacity": _capacity_figures,
    "quality": _summary_figures,
    "soak": _soak_figures,
    "calibrate": _calibrate_figures,
}
