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
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from latency_bench.reports import bench_views
from latency_bench.reports.anchors import ANCHORS, HOW_WORDS
from latency_bench.reports.clips import gather
from latency_bench.reports.headline import Status, figures, verdict
from latency_bench.reports.page_data import page_data
from latency_bench.reports.report_file import Report
from latency_bench.reports.run_view import run_view
from latency_bench.reports.wording import count, ms, number, plain, seconds

AUDIO_LIMIT_MB = 12.0
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
        **run_view(report),
        **bench_views.capacity_view(report),
        **bench_views.quality_view(report),
        **bench_views.soak_view(report),
        **bench_views.calibrate_view(report),
    }
    view["sections"] = _sections(view)
    title = f"{plain(report.name, 80)}: offhook bench {report.kind}"
    return render("report.html.j2", title, view, page_data(report, clips))


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
        rows.append((f"Setting, {plain(name, 60)}", plain(number(value), 300)))
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
