"""What `/metrics` says of calls, in each of the formats that Prometheus asks for."""

import asyncio
import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
from google.protobuf.internal.decoder import _DecodeVarint32  # type: ignore[import-untyped]
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain
from scripted_door import QuietBox, a_store

from agent.budget_section import BudgetConfig
from agent.budgets.ledger import Account, Standing
from agent.call import Origin
from agent.config import Config
from agent.cost.bill import Bill
from agent.latency import TurnTrace
from agent.metrics.budget_metrics import budgets_of
from agent.metrics.call_metrics import CallMetrics
from agent.metrics.exposition import wants_protobuf, written
from agent.metrics.protobuf import CONTENT_TYPE, MetricFamily
from agent.metrics.tally import MOST_SERIES, OTHER, HistogramFamily, Tally
from agent.records.record import CallRecord, TurnRecord
from agent.usage import Usage
from agent.web.server import WebServer
from models.llm.step_figures import StepFigures
from models.schedule import Schedule

LIMIT_S = 30.0
TOKEN = "a token for this test alone"
NATIVE = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,"
    "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
"""What Prometheus 2.42 sends where it takes native histograms."""
PLAIN = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
BEGAN = datetime(2026, 1, 2, tzinfo=UTC)
STEPPED = StepFigures(steps=2, shares=3, tokens=40, busy_s=0.5, places=4)
SPOKEN = TurnTrace(turn=1, speech_end_s=10.0, end_of_turn_s=10.2, first_packet_s=10.6)


class TalkedTo:
    """Stands in for a call: what a watcher reads of it."""

    def __init__(self, usage: Usage, profile: str = "") -> None:
        self.door, self.usage, self.origin = "sip", usage, Origin(profile=profile)


def turn(number: int, trace: TurnTrace, *, interrupted: bool = False) -> TurnRecord:
    return TurnRecord("c", number, "", "", interrupted, trace, Usage())


def record(usage: Usage, **fields: Any) -> CallRecord:
    return CallRecord(
        "c", BEGAN, "sip", "joe", "Robin", cause="caller hung up", usage=usage, **fields
    )


def samples(metrics: CallMetrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    found = {}
    for family in metrics.families():
        for sample in family.samples:
            found[sample.name, tuple(sorted(sample.labels.items()))] = sample.value
    return found


def of(metrics: CallMetrics, name: str, /, **labels: str) -> float | None:
    return samples(metrics).get((name, tuple(sorted(labels.items()))))


def test_usage_is_counted_turn_by_turn_and_once() -> None:
    metrics = CallMetrics()
    call: Any = TalkedTo(Usage(stt_busy_s=0.5, prompt_tokens=40))
    metrics.began(call)
    metrics.turn_over(call, turn(1, SPOKEN))
    busy = "offhook_stage_busy_seconds_total"
    assert of(metrics, busy, stage="stt") == 0.5
    call.usage = Usage(stt_busy_s=0.75, prompt_tokens=90, stt_wasted_s=0.25, bytes_in=160)
    metrics.turn_over(call, turn(2, SPOKEN, interrupted=True))
    metrics.ended(call, record(call.usage + Usage(stt_busy_s=0.25, call_s=30.0)))
    assert of(metrics, busy, stage="stt") == 1.0
    assert of(metrics, "offhook_stage_wasted_seconds_total", stage="stt") == 0.25
    assert of(metrics, "offhook_tokens_total", kind="prompt") == 90
    assert of(metrics, "offhook_media_bytes_total", direction="in") == 160
    assert of(metrics, "offhook_turns_total", profile="agent", interrupted="true") == 1
    assert of(metrics, "offhook_call_duration_seconds_sum", door="sip") == 30.0
    assert of(metrics, "offhook_voice_to_voice_seconds_count", door="sip", profile="agent") == 2
    stages = [v for (name, _), v in samples(metrics).items() if name.endswith("stage_seconds_sum")]
    assert sum(stages) == pytest.approx(2 * 0.6)


def test_a_greeting_is_no_turn_and_a_turn_without_an_answer_has_no_latency() -> None:
    metrics = CallMetrics()
    call: Any = TalkedTo(Usage(), profile="sales")
    metrics.began(call)
    metrics.turn_over(call, turn(0, replace(SPOKEN, turn=0)))
    metrics.turn_over(call, turn(1, replace(SPOKEN, first_packet_s=None)))
    assert of(metrics, "offhook_turns_total", profile="sales", interrupted="false") == 1
    assert not [name for name, _ in samples(metrics) if name.startswith("offhook_voice")]


def test_a_bill_with_an_unknown_line_adds_nothing_and_is_told() -> None:
    metrics = CallMetrics()
    bill = Bill.load(Config())
    metrics.expect(bill)
    assert of(metrics, "offhook_owned_usd_total", view="at capacity", line="idle") == 0
    usage = Usage(call_s=60.0)
    owned = {
        "marginal": {"stt": Decimal("0.25"), "idle": Decimal(0)},
        "at measured utilisation": {"stt": Decimal("0.25"), "trunk": None},
        "at capacity": None,
    }
    rented = {"known": {"llm": Decimal("0.5")}, "unknown": {"llm": Decimal("0.5"), "tts": None}}
    for _ in range(2):
        metrics.ended(TalkedTo(usage), record(usage, owned_lines=owned, rented_lines=rented))  # type: ignore[arg-type]
    assert of(metrics, "offhook_owned_usd_total", view="marginal", line="stt") == 0.5
    assert of(metrics, "offhook_owned_call_seconds_total", view="marginal") == 120
    for view in ("at measured utilisation", "at capacity"):
        assert of(metrics, "offhook_owned_call_seconds_total", view=view) == 0
        assert of(metrics, "offhook_calls_unpriced_total", bill="owned", name=view) == 2
    assert of(metrics, "offhook_rented_usd_total", stack="known", part="llm") == 1.0
    assert of(metrics, "offhook_rented_usd_total", stack="unknown", part="llm") is None
    assert of(metrics, "offhook_calls_unpriced_total", bill="rented", name="unknown") == 2


def test_outcomes_are_counted_with_their_value_and_are_bounded() -> None:
    metrics = CallMetrics()
    for outcome, value in (("resolved", Decimal(4)), ("resolved", None), ("", None)):
        ended = record(Usage(), outcome=outcome, outcome_value_usd=value, workflow="orders")
        metrics.ended(TalkedTo(Usage()), ended)  # type: ignore[arg-type]
    labels = {"profile": "agent", "workflow": "orders"}
    assert of(metrics, "offhook_call_outcomes_total", **labels, outcome="resolved") == 2
    assert of(metrics, "offhook_call_outcomes_total", **labels, outcome="none") == 1
    assert of(metrics, "offhook_call_outcome_value_usd_total", **labels, outcome="resolved") == 4
    tally = Tally("t", "", ("outcome",))
    for number in range(2 * MOST_SERIES):
        tally.add(str(number))
    assert len(tally.series) == MOST_SERIES + 1 and tally.series[OTHER,] == MOST_SERIES


def test_a_counter_never_falls() -> None:
    tally = Tally("t", "", ())
    tally.add(by=2.0)
    tally.add(by=-1e-12)
    assert tally.series[()] == 2.0


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        (NATIVE, True),
        (PLAIN, False),
        ("", False),
        ("application/vnd.google.protobuf", False),
        ("application/vnd.google.protobuf; encoding=text; proto=x", False),
    ],
)
def test_protobuf_is_for_those_who_ask(accept: str, wanted: bool) -> None:
    assert wants_protobuf(accept) is wanted


def families_in(body: bytes) -> dict[str, Any]:
    found, at = {}, 0
    while at < len(body):
        length, at = _DecodeVarint32(body, at)
        family = MetricFamily.FromString(body[at : at + length])
        found[family.name] = family
        at += length
    return found


def lint(text: str) -> str:
    """What Prometheus' own checker says of metrics; nothing where it is not installed."""
    promtool = shutil.which("promtool")
    if promtool is None:
        return ""
    check = [promtool, "check", "metrics"]
    done = subprocess.run(check, input=text, capture_output=True, text=True, timeout=LIMIT_S)
    return done.stdout + done.stderr


def test_a_native_histogram_is_in_protobuf_alone() -> None:
    metrics = CallMetrics()
    call: Any = TalkedTo(Usage())
    metrics.began(call)
    for late_s in (0.0, 0.0, 0.8):
        trace = replace(SPOKEN, first_packet_s=10.6 + late_s)
        metrics.turn_over(call, turn(1, trace))
    body, content_type = written(metrics.families(), NATIVE)
    assert content_type == CONTENT_TYPE
    families = families_in(body)
    v2v = families["offhook_voice_to_voice_seconds"]
    assert v2v.type == 4
    (metric,) = v2v.metric
    assert {pair.name: pair.value for pair in metric.label} == {"door": "sip", "profile": "agent"}
    histogram = metric.histogram
    assert (histogram.sample_count, histogram.schema) == (3, 3)
    assert histogram.sample_sum == pytest.approx(0.6 + 0.6 + 1.4)
    # 0.6 is in (2**-0.75, 2**-0.625], number -5 of the eighths; 1.4 in (2**0.375, 2**0.5], 4.
    assert [(span.offset, span.length) for span in histogram.positive_span] == [(-5, 1), (8, 1)]
    assert list(histogram.positive_delta) == [2, -1]
    assert families["offhook_turns_total"].metric[0].counter.value == 3
    text, content_type = written(metrics.families(), PLAIN)
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    (of_text,) = [f for f in openmetrics(text.decode()) if f.name == v2v.name]
    buckets = {s.labels["le"]: s.value for s in of_text.samples if s.name.endswith("_bucket")}
    assert buckets["0.6"] in (0, 2) and buckets["0.8"] == 2 and buckets["+Inf"] == 3


def test_budgets_have_no_callers_names() -> None:
    def standing(per: str, subject: str, spent: str) -> Standing:
        budget = BudgetConfig.model_validate({"name": f"of-{per}", "per": per, "limit": 10})
        return Standing(budget, Account(budget.name, subject, BEGAN), Decimal(spent))

    standings = [
        standing("caller", "+15550001", "12"),
        standing("caller", "+15550002", "1"),
        standing("profile", "sales", "8.5"),
    ]
    families = {family.name: family for family in budgets_of(standings)}
    found = {
        (name, *sample.labels.values()): sample.value
        for name, family in families.items()
        for sample in family.samples
    }
    assert found["offhook_budget_spent", "of-profile", "sales", "usd"] == 8.5
    assert found["offhook_budget_accounts", "of-caller", "spent"] == 1
    assert found["offhook_budget_accounts", "of-profile", "warned"] == 1
    assert found["offhook_budget_used_ratio", "of-caller"] == 1.2
    assert not [key for key in found if any("+1555" in part for part in key)]
    assert list(budgets_of([])) == []


async def test_the_route_asks_for_the_token_and_speaks_both_formats(tmp_path: Path) -> None:
    config = Config.model_validate({"server": {"port": 0, "token": TOKEN}})
    box = QuietBox(config, a_store(tmp_path))
    schedule = Schedule(1)
    engines: Any = SimpleNamespace(
        models={"llm": "m"},
        devices={"llm": "cpu"},
        schedule=schedule,
        llm=SimpleNamespace(load=lambda now_s: 0.5, figures=lambda: STEPPED),
    )
    box.engines, box._bill = engines, Bill.load(config)
    box.refusals["sip"] += 2
    schedule.submit(lambda: None, 0.0, kind="tts").result(LIMIT_S)
    try:
        async with asyncio.timeout(LIMIT_S), WebServer(config.server) as server:
            await server.start(box)
            async with httpx2.AsyncClient(base_url=server.url, trust_env=False) as http:
                assert (await http.get("/metrics")).status_code == 401
                headers = {"Authorization": f"Bearer {TOKEN}"}
                text = await http.get("/metrics", headers=headers)
                native = await http.get("/metrics", headers={**headers, "Accept": NATIVE})
    finally:
        schedule.close()
        await asyncio.to_thread(box.store.close)
    assert text.status_code == native.status_code == 200
    assert lint(text.text) == ""
    of_text = {family.name: family for family in plain(text.text)}
    assert of_text["offhook_calls_refused"].samples[0].value == 2
    jobs = {s.labels["kind"]: s.value for s in of_text["offhook_engine_jobs"].samples}
    assert jobs["tts"] == 1
    load = {s.labels["engine"]: s.value for s in of_text["offhook_engine_utilisation"].samples}
    assert load["llm"] == 0.5
    (steps,), (shares,) = (
        of_text[f"offhook_llm_{name}"].samples for name in ("steps", "step_conversations")
    )
    assert (steps.value, shares.value) == (2, 3)
    hourly = {s.labels["line"]: s.value for s in of_text["offhook_box_usd_per_hour"].samples}
    assert hourly["capital"] > 0 and set(hourly) == {"capital", "place", "operations", "idle draw"}
    assert of_text["process_resident_memory_bytes"].samples[0].value > 1e6
    assert native.headers["Content-Type"] == CONTENT_TYPE
    assert "process_cpu_seconds_total" in families_in(native.content)


def test_every_family_has_its_unit_or_counts_and_a_help_text() -> None:
    for family in CallMetrics().families():
        assert family.documentation.endswith("."), family.name
        assert family.name.startswith("offhook_")
        assert isinstance(family, HistogramFamily) is family.name.endswith(
            ("duration_seconds", "voice_to_voice_seconds", "turn_stage_seconds")
        )
