"""How the box is now: its places, its queue, its engines, and what it costs by the hour."""

import time
from collections.abc import Iterable
from importlib.metadata import version

from prometheus_client import ProcessCollector
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)

from agent.box import Box
from agent.metrics.tally import OTHER
from models.job_figures import JobFigures
from models.llm.step_figures import StepFigures, Stepping

KINDS = ("stt", "tts", "turn")
"""Of jobs, those that every call has."""
FIGURES = (
    ("jobs", "offhook_engine_jobs", "Jobs taken by the engines' workers."),
    ("runs", "offhook_engine_runs", "Runs of the engines; jobs over runs is the batch size."),
    ("busy_s", "offhook_engine_busy_seconds", "Time that workers spent on it."),
    ("guess_busy_s", "offhook_engine_guess_seconds", "Of it, on guesses nobody had confirmed."),
    ("waited_s", "offhook_engine_wait_seconds", "Time that jobs waited before they began."),
    ("cancelled", "offhook_engine_jobs_cancelled", "Jobs taken back before they began."),
    ("dropped", "offhook_engine_jobs_dropped", "Guesses that gave way in a full queue."),
    ("refused", "offhook_engine_jobs_refused", "Jobs that a full queue did not take."),
)
"""Field of `JobFigures`, the metric's name, and what it is."""
STEPS = (
    ("steps", "offhook_llm_steps", "Runs of the language model."),
    ("shares", "offhook_llm_step_conversations", "Conversations in them; over steps, the batch."),
    ("tokens", "offhook_llm_step_tokens", "Tokens evaluated in them, of prompts and answers."),
    ("busy_s", "offhook_llm_busy_seconds", "Time that they took."),
)
"""The same of `StepFigures`; each a counter."""
STANDING = (
    ("answering", "offhook_llm_answering", "Answers under way, guesses among them."),
    ("open", "offhook_llm_conversations", "Conversations that calls hold."),
    ("places", "offhook_llm_places", "Conversations that there is room for."),
    ("cells", "offhook_llm_cache_tokens", "Tokens that the cache has room for."),
    ("cells_used", "offhook_llm_cache_tokens_used", "Of these, in use."),
)
"""The same, of gauges."""


def places_of(box: Box) -> Iterable[Metric]:
    """Calls now, and how many there may be."""
    info = InfoMetricFamily("offhook", "This box.")
    info.add_metric([], {"version": version("offhook"), "agent": box.config.agent.name})
    yield info
    for name, text, value in (
        ("offhook_calls_active", "Calls admitted and not over.", box.active_calls),
        ("offhook_calls_admitted_at_once", "Calls that the box takes at once.", box.places.calls),
        ("offhook_calls_waiting", "Callers who hold the line.", box.waiting_room.waiting),
        ("offhook_calls_waiting_places", "Callers who may.", box.waiting_room.places),
    ):
        yield GaugeMetricFamily(name, text, value=value)
    refused = CounterMetricFamily(
        "offhook_calls_refused", "Callers who got no place, by door.", labels=("door",)
    )
    # Prometheus counts no rise to a first value: the doors that are always there begin at 0.
    doors = ("sip", "webrtc", "outbound", *box.refusals)
    for door, number in {door: box.refusals[door] for door in doors}.items():
        refused.add_metric([door], number)
    yield refused


def engines_of(box: Box) -> Iterable[Metric]:
    """Which engines there are, how busy they are, and what waits for them."""
    engines, now_s = box.engines, time.monotonic()
    which = InfoMetricFamily("offhook_engine", "Engines.", labels=("stage",))
    for stage, device in engines.devices.items():
        which.add_metric([stage], {"model": engines.models[stage], "device": device})
    yield which
    load = GaugeMetricFamily(
        "offhook_engine_utilisation",
        "Share of the last seconds that it worked, 0 to 1: the workers of recognition, synthesis "
        "and turn taking, and the language model's thread.",
        labels=("engine",),
    )
    load.add_metric(["workers"], engines.schedule.load(now_s))
    load.add_metric(["llm"], engines.llm.load(now_s))
    yield load
    queue = GaugeMetricFamily("offhook_engine_queue_jobs", "Jobs not yet begun.", labels=("kind",))
    for kind, waiting in (dict.fromkeys(KINDS, 0) | engines.schedule.waiting_by_kind).items():
        queue.add_metric([kind or OTHER], waiting)
    yield queue
    yield from jobs_of(engines.schedule.figures())
    # An endpoint's model works elsewhere, and tells nothing of it.
    if isinstance(engines.llm, Stepping):
        yield from steps_of(engines.llm.figures())


def jobs_of(figures: dict[str, JobFigures]) -> Iterable[Metric]:
    """What the workers did, by kind of job. Pure."""
    for field, name, text in FIGURES:
        family = CounterMetricFamily(name, text, labels=("kind",))
        for kind, each in figures.items():
            family.add_metric([kind or OTHER], getattr(each, field))
        yield family


def steps_of(figures: StepFigures) -> Iterable[Metric]:
    """What a language model in the box did: steps that its callers shared. Pure."""
    for field, name, text in STEPS:
        yield CounterMetricFamily(name, text, value=getattr(figures, field))
    for field, name, text in STANDING:
        yield GaugeMetricFamily(name, text, value=getattr(figures, field))


def money_of(box: Box) -> Iterable[Metric]:
    """What the box costs whether it works or not, and how many share it."""
    bill = box.bill
    hourly = GaugeMetricFamily(
        "offhook_box_usd_per_hour",
        "What the box costs without a call, by what for; a price nobody knows is left out.",
        labels=("line",),
    )
    for line, usd in bill.box.fixed_lines_usd_per_hour.items():
        if usd is not None:
            hourly.add_metric([line], float(usd))
    yield hourly
    mean = bill.utilisation.mean_calls(time.monotonic())
    for name, text, value in (
        ("offhook_box_mean_calls", "Calls at once on average since it opened.", mean),
        ("offhook_box_capacity_calls", "Calls at once that it was measured to carry.",
         bill.capacity_calls),
    ):  # fmt: skip
        family = GaugeMetricFamily(name, text)
        if value is not None:
            family.add_metric([], float(value))
        yield family


def process_of() -> Iterable[Metric]:
    """Processor seconds, memory and open files of this process."""
    return ProcessCollector(registry=None).collect()
