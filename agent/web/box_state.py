"""How the box is now: its calls against its places, its engines, its queue."""

import os
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from agent.box import Box
from agent.capacity import cpu_name
from agent.config import Config
from agent.engines import Engines
from agent.threads import cores_here
from models.catalogue import Kind
from models.errors import ModelError
from models.job_figures import JobFigures
from models.llm.step_figures import Stepping
from models.loading import locate

KINDS = {"turn_taking": "turn", "stt": "stt", "tts": "tts"}
"""Stage -> the kind of its jobs on the workers; the language model has a thread of its own."""
ORDER = ("turn_taking", "stt", "llm", "tts")


def calls_now(box: Box) -> dict[str, Any]:
    """Calls under way, and how many there may be."""
    places, room, bill = box.places, box.waiting_room, box.bill
    mean = bill.utilisation.mean_calls(bill.now_s())
    return {
        "active": box.active_calls,
        "places": places.calls,
        "places_from": places.source,
        "why": places.why,
        "warning": places.warning,
        "measured_calls": bill.capacity_calls,
        "mean_calls": None if mean is None else float(mean),
        "waiting": room.waiting,
        "waiting_places": room.places,
        "takes_calls": box.takes_calls,
    }


def engines_now(box: Box, weights: Mapping[str, int | None], now_s: float) -> list[dict[str, Any]]:
    """Each stage's engine. ``weights``: bytes by stage; ``now_s``: of ``time.monotonic``.

    Totals are since the start, so that two answers tell what was between them.
    """
    engines, config = box.engines, box.config
    figures, waiting = engines.schedule.figures(), engines.schedule.waiting_by_kind
    names = {"turn_taking": f"{config.models.vad}, {config.models.turn}", **engines.models}
    devices = {"turn_taking": "cpu", **engines.devices}
    threads = {"stt": config.models.threads.stt, "tts": config.models.threads.tts}
    found = []
    for stage in ORDER:
        about = {
            "stage": stage,
            "model": names.get(stage, ""),
            "device": devices[stage],
            "weights_bytes": weights.get(stage),
        }
        if stage == "llm":
            found.append({**about, "threads": config.models.threads.llm, **_llm(engines, now_s)})
        else:
            kind = KINDS[stage]
            job = figures.get(kind, JobFigures())
            about |= {"threads": threads.get(stage, 1), "waiting": waiting.get(kind, 0)}
            found.append({**about, **_jobs(job)})
    return found


def workers_now(engines: Engines, now_s: float) -> dict[str, Any]:
    """The threads that recognition, synthesis and turn-taking share, and their queue."""
    schedule = engines.schedule
    return {
        "workers": schedule.rules.workers,
        "running": schedule.running,
        "waiting": schedule.waiting,
        "limit": schedule.rules.limit,
        "load": schedule.load(now_s),
    }


def machine_now() -> dict[str, Any]:
    """What it runs on."""
    return {"cpu": cpu_name(), "cores": cores_here(), "process_cpu_s": time.process_time()}


def box_state(box: Box, weights: Mapping[str, int | None], now_s: float) -> dict[str, Any]:
    """All but its memory, which takes a while to read."""
    return {
        "at_s": now_s,
        "pid": os.getpid(),
        "version": version("offhook"),
        "agent": box.config.agent.name,
        "calls": calls_now(box),
        "engines": engines_now(box, weights, now_s),
        "workers": workers_now(box.engines, now_s),
        "machine": machine_now(),
    }


def weights_of(config: Config) -> dict[str, int | None]:
    """Bytes of each stage's files on disk; None where it has none here. Blocks."""
    models = config.models
    files: dict[str, list[tuple[str, Kind]]] = {
        "turn_taking": [(models.vad, "vad"), (models.turn, "turn")],
        "stt": [(models.stt, "stt")],
        "tts": [(models.tts, "tts")],
    }
    return {stage: _bytes(named) for stage, named in files.items()}


def _bytes(named: list[tuple[str, Kind]]) -> int | None:
    try:
        return sum(_size(locate(reference, kind)) for reference, kind in named)
    except (ModelError, OSError):
        return None


def _size(path: Path) -> int:
    if path.is_dir():
        return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())
    return path.stat().st_size


def _jobs(job: JobFigures) -> dict[str, Any]:
    return {
        "load": None,
        "jobs": job.jobs,
        "runs": job.runs,
        "batch": job.batch,
        "busy_s": job.busy_s,
        "guess_busy_s": job.guess_busy_s,
        "mean_wait_ms": 1000 * job.waited_s / job.jobs if job.jobs else None,
        "longest_wait_ms": 1000 * job.longest_wait_s if job.jobs else None,
        "cancelled": job.cancelled,
        "dropped": job.dropped,
        "refused": job.refused,
    }


def _llm(engines: Engines, now_s: float) -> dict[str, Any]:
    llm = engines.llm
    if not isinstance(llm, Stepping):
        # Another machine's: nothing is known of its queue.
        return {"load": None, "busy_s": None, "batch": None, "waiting": None}
    steps = llm.figures()
    return {
        "load": llm.load(now_s),
        "weights_bytes": steps.weights_bytes,
        "waiting": steps.answering,
        "places": steps.places,
        "open": steps.open,
        "runs": steps.steps,
        "batch": steps.batch,
        "busy_s": steps.busy_s,
        "tokens": steps.tokens,
        "cells": steps.cells,
        "cells_used": steps.cells_used,
    }
