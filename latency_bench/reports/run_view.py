"""What the page shows of the calls of a run. Pure."""

from typing import Any

from markupsafe import Markup

from latency_bench.figures import CallFigures, TurnFigures
from latency_bench.report import STAGE_NAMES
from latency_bench.reports.anchors import ANCHORS
from latency_bench.reports.charts import both, waterfall
from latency_bench.reports.expectations import rule_rows, unmet
from latency_bench.reports.headline import Status
from latency_bench.reports.latency_charts import Series, cdf, histogram, latency_top, turn_dots
from latency_bench.reports.report_file import Report
from latency_bench.reports.wording import NOTHING, ms, plain

TURNS_MAX = 5000


def cdf_series(report: Report) -> list[Series]:
    """The latencies that count; the first answers apart where fillers came before some."""
    v2v = [turn.v2v_ms for _, turn in report.counted if turn.v2v_ms is not None]
    first = [turn.first_answer_ms for _, turn in report.counted if turn.first_answer_ms is not None]
    found = [Series("first sound", v2v, "sound")] if v2v else []
    if first and sorted(first) != sorted(v2v):
        found.append(Series("first answer, without fillers", first, "answer"))
    return found


def typical_turns(report: Report) -> list[tuple[str, CallFigures, TurnFigures]]:
    """The turns with stages that lie nearest to P50 and to P95."""
    told = sorted(
        ((t.v2v_ms, c, t) for c, t in report.counted if t.stages_ms and t.v2v_ms is not None),
        key=lambda entry: entry[0],
    )
    if not told:
        return []
    picked = [("The median turn", told[(len(told) - 1) // 2])]
    late = told[round((len(told) - 1) * 0.95)]
    if late is not picked[0][1]:
        picked.append(("A slow turn, at P95", late))
    return [(name, call, turn) for name, (_, call, turn) in picked]


def run_view(report: Report) -> dict[str, Any]:
    """What the page shows of a run's calls; nothing of it where there are none."""
    view: dict[str, Any] = {
        "cdf": None,
        "cdf_series": [],
        "histogram": None,
        "dots": None,
        "waterfalls": [],
    }
    series = cdf_series(report)
    if series:
        view["cdf"] = both(lambda width: cdf(series, ANCHORS, width))
        view["cdf_series"] = series
        view["histogram"] = histogram(series[0].values)
        top_ms = latency_top(series)
        view["anchors"] = [anchor for anchor in ANCHORS if anchor.at_ms <= top_ms]
    owing = {
        name: [
            (call, turn)
            for call in report.calls
            for turn in call.turns
            if call.scenario == name and turn.owes_answer and not turn.continues
        ]
        for name in dict.fromkeys(call.scenario for call in report.calls)
    }
    owing = {name: pairs for name, pairs in owing.items() if pairs}
    if owing:
        view["dots"] = both(lambda width: turn_dots(owing, width))
    view["waterfalls"] = _waterfalls(report)
    spreads = report.spreads
    view["stage_rows"] = [
        (
            STAGE_NAMES.get(name, plain(name, 60)),
            *(f"{value:,.0f}" for value in (found.p50, found.p95, found.min, found.max)),
            found.n,
        )
        for name in report.stages
        if (found := spreads.get(f"stage.{name}")) is not None
    ]
    view["counted"] = len(report.counted)
    view["scenarios"] = [_scenario(name, report) for name in report.by_scenario]
    view["failures"] = [_failure(call) for call in report.calls if not call.passed]
    view["scenario_names"] = list(dict.fromkeys(plain(c.scenario, 80) for c in report.calls))
    view["outcomes"] = list(dict.fromkeys(call.outcome for call in report.calls))
    view["turn_columns"] = _TURN_COLUMNS
    rows = [_turn_row(call, turn) for call in report.calls for turn in call.turns]
    view["turn_rows"], view["turns_left_out"] = rows[:TURNS_MAX], max(0, len(rows) - TURNS_MAX)
    return view


def _waterfalls(report: Report) -> list[tuple[str, str, Markup]]:
    typical = typical_turns(report)
    end_ms = max(
        (max(sum(t.stages_ms.values()), t.v2v_ms or 0.0) for _, _, t in typical), default=1.0
    )
    stages = report.stages
    drawn = []
    for name, call, turn in typical:

        def draw(width: float, turn: TurnFigures = turn) -> Markup:
            return waterfall(turn, stages, end_ms, width)

        about = f"{ms(turn.v2v_ms)} · call {call.call}, turn {turn.part}"
        if turn.outside_gap_ms is not None:
            longer = "longer" if turn.outside_gap_ms >= 0 else "shorter"
            about += (
                f" · the caller waited {ms(abs(turn.outside_gap_ms))} {longer} than the agent says"
            )
        drawn.append((name, about, both(draw)))
    return drawn


def _scenario(name: str, report: Report) -> dict[str, Any]:
    of = report.by_scenario[name]
    about = []
    if of.v2v_ms is not None:
        about.append(f"P50 {ms(of.v2v_ms.p50)}, P95 {ms(of.v2v_ms.p95)}")
    if of.stop_ms is not None:
        about.append(f"stops after {ms(of.stop_ms.p50)}")
    calls = [call for call in report.calls if call.scenario == name]
    return {
        "name": plain(name, 80),
        "about": "; ".join(about),
        "calls": of.calls,
        "passed": of.passed,
        "rules": rule_rows(calls),
    }


def _failure(call: CallFigures) -> dict[str, Any]:
    part = next(
        (turn.part for turn in call.turns if not all(v.met for v in turn.verdicts)),
        None,
    )
    reasons = unmet(call)
    return {
        "call": call.call,
        "scenario": plain(call.scenario, 80),
        "outcome": call.outcome,
        "part": part,
        "reasons": [*reasons[:4], *([f"and {len(reasons) - 4} more"] if len(reasons) > 4 else [])],
    }


def _turn_row(call: CallFigures, turn: TurnFigures) -> dict[str, Any]:
    status, state = _turn_state(turn)
    values = (
        turn.v2v_ms,
        turn.first_answer_ms,
        turn.inside_ms,
        turn.outside_gap_ms,
        turn.stop_ms,
    )
    return {
        "call": call.call,
        "part": turn.part,
        "scenario": plain(call.scenario, 80),
        "outcome": call.outcome,
        "said": plain(turn.said or f"({turn.kind})", 200),
        "figures": [NOTHING if value is None else f"{value:,.0f}" for value in values],
        "failed": status == "bad",
        "status": status,
        "state": state,
    }


def _turn_state(turn: TurnFigures) -> tuple[Status, str]:
    if turn.missed:
        return "bad", "no answer"
    if turn.cut_in:
        return "bad", "cut in"
    if not all(verdict.met for verdict in turn.verdicts):
        return "bad", "not met"
    if turn.verdicts:
        return "good", "met"
    return "none", "measured"


_TURN_COLUMNS = [
    {"name": name, "about": about, "numeric": numeric}
    for name, about, numeric in (
        ("call", "the call's number and the part's", False),
        ("scenario", "what the call was to try", False),
        ("said", "the caller's words or keys", False),
        ("V2V", "milliseconds, last voiced sample sent to first one received", True),
        ("first answer", "milliseconds, the same to the first sound that is no filler", True),
        ("inside", "milliseconds, by the agent's own clock", True),
        ("gap", "milliseconds that the caller waited longer than the agent says", True),
        ("stop", "milliseconds until the interrupted agent fell silent", True),
        ("verdict", "whether all was as it should be", False),
    )
]
