"""A report as one HTML file that needs no network.

Everything that an agent said is hostile until proven otherwise: the templates escape by
themselves, the page's data is JSON that cannot close its element, its program only ever makes
text of it, and the page's own policy lets no other program run and nothing be fetched.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from difflib import SequenceMatcher
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from latency_bench.figures import CallFigures, TurnFigures
from latency_bench.report import STAGE_NAMES
from latency_bench.reports import bench_views
from latency_bench.reports.anchors import ANCHORS, HOW_WORDS
from latency_bench.reports.charts import (
    Series,
    both,
    cdf,
    histogram,
    latency_top,
    turn_dots,
    waterfall,
)
from latency_bench.reports.clips import Clips, gather
from latency_bench.reports.expectations import expected, measured, rule_rows, unmet
from latency_bench.reports.headline import Status, figures, verdict
from latency_bench.reports.report_file import Report
from latency_bench.reports.wording import NOTHING, count, ms, number, plain, seconds

AUDIO_LIMIT_MB = 12.0
TURNS_MAX = 5000
WORDS: Mapping[Status, str] = {
    "good": "as it should be",
    "fair": "not complete",
    "bad": "not as it should be",
    "none": "measured",
}


def report_page(report: Report, folder: Path, audio_limit_mb: float = AUDIO_LIMIT_MB) -> str:
    """The page. ``folder`` is the JSON's, which the calls' recordings are relative to."""
    clips = gather(report.calls, folder, round(audio_limit_mb * 1e6))
    status, sentence = verdict(report)
    view: dict[str, Any] = {
        "report": report,
        "status": status,
        "status_word": WORDS[status],
        "sentence": sentence,
        "facts": [("Target", plain(report.name, 200)), *facts(report)],
        "figures": figures(report),
        "about": _about(report),
        "summary_rows": [(name, number(value)) for name, value in report.summary.items()],
        "repeat_rows": [
            (place, ms(one.v2v_p50_ms), ms(one.v2v_p95_ms), one.n)
            for place, one in enumerate(report.repeats, 1)
        ],
        "anchors": ANCHORS,
        "how_words": HOW_WORDS,
        **_run_view(report),
        **bench_views.capacity_view(report),
        **bench_views.quality_view(report),
        **bench_views.soak_view(report),
        **bench_views.calibrate_view(report),
    }
    view["sections"] = _sections(view)
    title = f"{plain(report.name, 80)}: offhook bench {report.kind}"
    return render("report.html.j2", title, view, _data(report, clips))


def render(template: str, title: str, view: Mapping[str, Any], data: Mapping[str, Any]) -> str:
    """A page from its template, with its policy."""
    style, script = _own("page.css"), _own("page.js")
    policy = (
        "default-src 'none'; media-src data:; img-src data:; base-uri 'none'; form-action 'none'; "
        f"style-src '{_hash(style)}'; script-src '{_hash(script)}'"
    )
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("latency_bench.reports", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(
        **view,
        title=title,
        policy=policy,
        style=Markup(style),
        script=Markup(script),
        data=embedded_json(data),
    )


def embedded_json(data: Mapping[str, Any]) -> Markup:
    """JSON that can stand inside a script element, whatever the words in it."""
    written = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for letter in "<>&":
        written = written.replace(letter, f"\\u{ord(letter):04x}")
    return Markup(written)


def facts(report: Report) -> list[tuple[str, str]]:
    """Where, when and with what: for the head of a page."""
    machine = report.machine
    box = [plain(machine.cpu, 80)]
    if machine.cores:
        box.append(count(machine.cores, "core"))
    if machine.memory_gb:
        box.append(f"{machine.memory_gb:g} GB")
    if machine.gpu:
        box.append(plain(machine.gpu, 80))
    began = report.began_utc
    if began is not None and began.tzinfo is not None:
        began = began.astimezone(UTC)
    return [
        ("Door", plain(report.target.door, 40)),
        ("Machine", ", ".join(part for part in box if part)),
        ("Speech", plain(report.speech, 160)),
        ("Began", "" if began is None else _date(began)),
        ("Took", "" if report.elapsed_s is None else seconds(report.elapsed_s)),
    ]


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


def _run_view(report: Report) -> dict[str, Any]:
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


def _data(report: Report, clips: Clips) -> dict[str, Any]:
    slowest = max(report.counted, key=lambda pair: pair[1].v2v_ms or 0.0, default=None)
    return {
        "calls": [_call_data(call, clips) for call in report.calls],
        "first": None if slowest is None else slowest[0].call,
        "stages": report.stages,
        "stage_names": dict(STAGE_NAMES),
        "series": [
            {"name": one.name, "values": sorted(round(value, 1) for value in one.values)}
            for one in cdf_series(report)
        ],
    }


def _call_data(call: CallFigures, clips: Clips) -> dict[str, Any]:
    peaks = clips.peaks.get(call.call)
    timed = [turn.v2v_ms for turn in call.turns if turn.v2v_ms is not None]
    told = [plain(call.reason, 400), call.codec, seconds(call.duration_s)]
    if call.answer_ms is not None:
        told.append(f"answered after {ms(call.answer_ms)}")
    if call.wire.mos is not None:
        told.append(f"MOS {call.wire.mos:.2f}")
    if call.wire.gap_max_ms is not None:
        told.append(f"longest gap {ms(call.wire.gap_max_ms)}")
    told += [plain(note, 300) for note in call.notes[:10]]
    return {
        "call": call.call,
        "scenario": plain(call.scenario, 80),
        "outcome": call.outcome,
        "passed": call.passed,
        "title": f"slowest {ms(max(timed))}" if timed else "",
        "facts": " · ".join(part for part in told if part),
        "duration_s": call.duration_s,
        "greeting_ms": call.greeting_ms,
        "audio": clips.audio.get(call.call),
        "audio_missing": clips.missing.get(call.call, ""),
        "peaks": None
        if peaks is None
        else {
            "step_s": peaks.step_s,
            "bytes": len(peaks.caller),
            "caller": base64.b64encode(peaks.caller).decode(),
            "agent": base64.b64encode(peaks.agent).decode(),
        },
        "turns": [_turn_data(turn) for turn in call.turns],
    }


def _turn_data(turn: TurnFigures) -> dict[str, Any]:
    kept = (
        "part kind began_s ended_s v2v_ms first_answer_ms filler stop_ms stopped missed cut_in "
        "talk_over_ms dead_air_ms answer_began_s answer_ended_s inside_ms"
    ).split()
    return {
        **{name: getattr(turn, name) for name in kept},
        "said": None if turn.said is None else plain(turn.said),
        "heard": plain(turn.heard),
        "heard_words": [] if turn.kind == "keys" else heard_words(turn.said, plain(turn.heard)),
        "answer": plain(turn.answer),
        "recognised": None if turn.recognised is None else plain(turn.recognised),
        "stages_ms": dict(turn.stages_ms),
        "verdicts": [
            {"words": expected(one), "value": measured(one), "met": one.met}
            for one in turn.verdicts
        ],
    }


def heard_words(said: str | None, heard: str) -> list[tuple[str, bool]]:
    """The words that the agent heard, each with whether the caller said it there."""
    got = heard.split()
    if said is None:
        return [(word, True) for word in got]
    matcher = SequenceMatcher(
        a=[_bare(word) for word in said.split()], b=[_bare(word) for word in got], autojunk=False
    )
    same = {
        place
        for block in matcher.get_matching_blocks()
        for place in range(block.b, block.b + block.size)
    }
    return [(word, place in same) for place, word in enumerate(got)]


def _bare(word: str) -> str:
    return "".join(letter for letter in word.lower() if letter.isalnum())


def _about(report: Report) -> list[tuple[str, str]]:
    machine = report.machine
    rows = [
        ("Address", plain(report.target.text, 300)),
        *facts(report),
        ("System", plain(machine.os, 120)),
        ("Python", plain(machine.python, 40)),
    ]
    rows += [(f"Model, {kind}", plain(str(name), 120)) for kind, name in machine.models.items()]
    for name, value in report.settings.items():
        words = ", ".join(map(str, value)) if isinstance(value, list) else number(value)
        rows.append((f"Setting, {name}", plain(words, 300)))
    repeat = report.summary.get("repeat_spread")
    if repeat is not None:
        rows.append(("Spread of P50 over repeats", f"{100 * repeat:.1f}%"))
    return rows


def _sections(view: Mapping[str, Any]) -> list[tuple[str, str]]:
    report: Report = view["report"]
    found = [
        ("latency", "Latency", view["cdf"]),
        ("answers", "Answers", view["dots"]),
        ("stages", "Stages", view["waterfalls"]),
        ("scenarios", "Scenarios", view["scenarios"]),
        ("failed", "Failed", view["failures"]),
        ("call", "A call", report.calls),
        ("turns", "Turns", report.calls),
        ("capacity", "Capacity", report.levels),
        *((f"table-{n}", plain(t["title"], 40), True) for n, t in enumerate(view["tables"], 1)),
        ("trends", "Trends", view["soak_charts"]),
        ("doors", "Error", view["door_rows"]),
        ("about", "About", True),
    ]
    return [(id_, name) for id_, name, there in found if there]


def _date(began: datetime) -> str:
    return f"{began.day} {began:%B %Y, %H:%M} UTC"


def _own(name: str) -> str:
    return (resources.files("latency_bench.reports") / name).read_text(encoding="utf-8").strip()


def _hash(words: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(words.encode()).digest()).decode()
