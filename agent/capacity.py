"""How many calls at once the box takes: as the settings say, or as `offhook bench capacity` found.

With ``max_calls = "auto"`` a measurement of this machine with these models decides; it lies in
``capacity.json`` beside the call records (`docs/bench-report.md`, kind ``capacity``).
"""

import os
import platform
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent.config import Config
from agent.sections import DEFAULT_CALLS

FILE = "capacity.json"
LIMIT_BYTES = 4 * 1024 * 1024
STAGES: tuple[Literal["stt", "llm", "tts"], ...] = ("stt", "llm", "tts")
MEASURE = "`offhook bench capacity --install` measures what this machine carries"

From = Literal["settings", "measured", "default"]


@dataclass(frozen=True, slots=True)
class Places:
    """How many calls at once, and where the number is from."""

    calls: int
    source: From
    why: str
    """Where the number is from, in words; names no file, for callers may read it."""
    warning: str | None = None
    """Why a measurement that is there does not count, and what to do."""


class _Machine(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    cpu: str
    cores: int
    gpu: str | None = None
    models: Mapping[str, str]


class _Capacity(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    calls: int = Field(ge=0, le=10_000)


class _Settings(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    devices: Mapping[str, str] = {}


class _Measured(BaseModel):
    """What admission needs of the file; everything else in it is for people."""

    model_config = ConfigDict(extra="ignore", strict=True)

    schema_: Literal["offhook-bench/1"] = Field(alias="schema")
    kind: Literal["capacity"]
    began_utc: datetime = Field(strict=False)
    machine: _Machine
    settings: _Settings = _Settings()
    capacity: _Capacity


def capacity_file(config: Config) -> Path:
    """Where the measurement of a box with these settings lies."""
    return config.records.path.expanduser().parent / FILE


def model_names(config: Config) -> dict[str, str]:
    """The models by stage, as a measurement names them."""
    models = config.models
    llm = f"{config.llm.model} at {config.llm.endpoint}" if config.llm.endpoint else models.llm
    return {"stt": models.stt, "llm": llm, "tts": models.tts}


def wanted_devices(config: Config) -> dict[str, str]:
    """The device asked for at each stage."""
    return {stage: config.models.device_of(stage) for stage in STAGES}


def cpu_name() -> str:
    """The processor, as it names itself."""
    facts = Path("/proc/cpuinfo")
    if facts.is_file():
        for line in facts.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def places_of(config: Config) -> Places:
    """How many calls at once a box with these settings takes; never raises for a bad file."""
    asked = config.calls.max_calls
    if asked != "auto":
        return Places(asked, "settings", "set by `max_calls` in [calls]")
    path = capacity_file(config)
    if not path.exists():
        return Places(DEFAULT_CALLS, "default", f"the default; {MEASURE}")
    obstacle, measured = _read(path, config)
    if measured is None:
        return Places(
            DEFAULT_CALLS,
            "default",
            "the default; the measurement that is there does not count",
            f"{path} does not count: {obstacle}; {MEASURE}",
        )
    day = measured.began_utc.date().isoformat()
    calls = measured.capacity.calls
    if calls == 0:
        return Places(
            1,
            "measured",
            f"measured on this machine, {day}: not even one kept to its objective",
            f"{path}: not even one call kept to its objective, so one is taken at a time: choose "
            "smaller models, or set `max_calls` in [calls]",
        )
    return Places(calls, "measured", f"measured on this machine, {day}")


def share_of(config: Config) -> dict[str, str]:
    """Variables for each of several workers, so that together they take what was measured."""
    places = places_of(config)
    if places.source != "measured" or config.workers.count < 2:
        return {}
    return {"OFFHOOK_CALLS__MAX_CALLS": str(max(1, places.calls // config.workers.count))}


def _read(path: Path, config: Config) -> tuple[str, _Measured | None]:
    """Why the file does not count, or the measurement."""
    try:
        if path.stat().st_size > LIMIT_BYTES:
            return f"it is over {LIMIT_BYTES // 1024**2} MiB", None
        measured = _Measured.model_validate_json(path.read_bytes())
    except OSError as error:
        return f"it cannot be read: {error.strerror}", None
    except ValidationError as error:
        first: Any = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        return f"it is no report of that bench ({place or 'the file'}: {first['msg']})", None
    obstacle = _foreign(measured, config)
    return obstacle, None if obstacle else measured


def _foreign(measured: _Measured, config: Config) -> str:
    """What differs between what was measured and this box; empty where nothing does."""
    machine = measured.machine
    here = (cpu_name(), os.cpu_count() or 1)
    if (machine.cpu, machine.cores) != here:
        return (
            f"it was measured on {machine.cpu} with {machine.cores} cores, and this machine is "
            f"{here[0]} with {here[1]}"
        )
    if machine.gpu is not None and shutil.which("nvidia-smi") is None:
        return f"it was measured with a GPU, {machine.gpu}, and this machine shows none"
    names = model_names(config)
    for stage in STAGES:
        if machine.models.get(stage) != names[stage]:
            was = machine.models.get(stage) or "no model"
            return f"it was measured with {was} for {stage}, and this box has {names[stage]}"
        wanted = wanted_devices(config)[stage]
        if measured.settings.devices.get(stage, wanted) != wanted:
            return (
                f"it was measured with device {measured.settings.devices[stage]} for {stage}, "
                f"and this box has {wanted}"
            )
    return ""
