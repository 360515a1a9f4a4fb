"""A bench's report as it was written, checked. docs/bench-report.md is the schema."""

import json
import math
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from latency_bench.figures import SCHEMA, CallFigures, Spread, TurnFigures

LIMIT_BYTES = 512 * 1024 * 1024
Kind = Literal["run", "capacity", "quality", "soak", "calibrate"]
Cell = str | float | bool | None


class ReportError(Exception):
    """A report cannot be used; the message names the file, the place and the remedy."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    @model_validator(mode="before")
    @classmethod
    def _without_nothing(cls, data: Any) -> Any:
        """A null is what is not told."""
        if isinstance(data, Mapping):
            return {key: value for key, value in data.items() if value is not None}
        return data


class Target(_Part):
    """Who was called."""

    text: str
    door: str = ""
    name: str = ""


class Machine(_Part):
    """The caller's machine; with ``self``, the box's as well."""

    cpu: str = ""
    cores: int | None = None
    memory_gb: float | None = None
    os: str = ""
    python: str = ""
    gpu: str | None = None
    models: Mapping[str, Any] = {}


class OfScenario(_Part):
    """All calls of one scenario."""

    calls: int = 0
    passed: int = 0
    failed: int = 0
    v2v_ms: Spread | None = None
    stop_ms: Spread | None = None


class Repeat(_Part):
    """One run of several."""

    v2v_p50_ms: float | None = None
    v2v_p95_ms: float | None = None
    n: int = 0


class Stage(_Part):
    """A stage's percentiles."""

    p50: float | None = None
    p95: float | None = None


class Level(_Part):
    """So many calls at once, and what came of it."""

    calls: int
    turns: int = 0
    v2v_ms: Spread | None = None
    missed_rate: float | None = None
    cpu_cores: float | None = None
    rss_mb: float | None = None
    gpu: Mapping[str, Any] | None = None
    stages_ms: Mapping[str, Stage] = {}
    within: bool = True


class Capacity(_Part):
    """How many calls the target holds, and what ended it."""

    calls: int | None = None
    saturated: str | None = None
    why: str | None = None
    verdict: str | None = None
    """All of it in a sentence."""


class QualityTable(_Part):
    """One table of `offhook bench quality`."""

    title: str
    about: str = ""
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


class Sample(_Part):
    """The target at one moment of a soak."""

    at_s: float
    rss_mb: float | None = None
    descriptors: float | None = None
    threads: float | None = None
    v2v_p50_ms: float | None = None
    calls: float | None = None


class Trend(_Part):
    """How a figure drifts."""

    per_hour: float | None = None
    ci95: tuple[float, float] | None = None
    verdict: str = ""


class Percentiles(_Part):
    """Of an absolute error."""

    p50: float | None = None
    p95: float | None = None


class DoorError(_Part):
    """The measurement's own error over one door."""

    abs_error_ms: Percentiles = Percentiles()
    bias_ms: float | None = None
    n: int = 0
    not_found: int = 0
    delays: Mapping[str, Any] = {}


class Report(_Part):
    """One bench. ``calls`` of a run; the others' own parts are empty where absent."""

    schema_: str = Field(alias="schema")
    kind: Kind
    target: Target
    machine: Machine = Machine()
    began_utc: datetime | None = None
    elapsed_s: float | None = None
    speech: str = ""
    settings: Mapping[str, Any] = {}
    interrupted: bool = False
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    summary: Mapping[str, float | None] = {}
    spreads: Mapping[str, Spread | None] = {}
    by_scenario: Mapping[str, OfScenario] = {}
    repeats: tuple[Repeat, ...] = ()
    calls: tuple[CallFigures, ...] = ()
    levels: tuple[Level, ...] = ()
    objective: Mapping[str, float] = {}
    """What a level has to keep to: limits by figure, not to be passed."""
    capacity: Capacity | None = None
    tables: tuple[QualityTable, ...] = ()
    samples: tuple[Sample, ...] = ()
    trends: Mapping[str, Trend] = {}
    door: Mapping[str, DoorError] = {}

    @property
    def name(self) -> str:
        """The target, for people."""
        return self.target.name or self.target.text

    @property
    def counted(self) -> list[tuple[CallFigures, TurnFigures]]:
        """The turns whose latency counts, with their calls."""
        return [(call, turn) for call in self.calls for turn in call.turns if turn.counts]

    @property
    def stages(self) -> list[str]:
        """The stages that the agent tells of, in the order of the turn that has most of them."""
        turns = sorted((turn for _, turn in self.counted), key=lambda turn: -len(turn.stages_ms))
        return list({name: None for turn in turns for name in turn.stages_ms})


def parse_report(body: Mapping[str, Any], where: str = "the report") -> Report:
    """Checks what a bench wrote. Figures that are no finite number become None.

    Raises ReportError.
    """
    schema = body.get("schema") if isinstance(body, Mapping) else None
    if schema != SCHEMA:
        raise ReportError(
            f"{where}: schema is {schema!r}, not {SCHEMA!r}: give a file that "
            "`offhook bench run` or another bench wrote with --json"
        )
    try:
        return Report.model_validate(_finite(body))
    except ValidationError as error:
        raise ReportError(_mistakes(where, error)) from error


def read_report(path: Path) -> Report:
    """Reads one file. Raises ReportError."""
    try:
        if path.stat().st_size > LIMIT_BYTES:
            raise ReportError(f"{path}: over {LIMIT_BYTES // 2**20} MiB; too large for a report")
        body = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ReportError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ReportError(f"{path}: cannot be read: {error}") from error
    except (json.JSONDecodeError, RecursionError) as error:
        raise ReportError(f"{path}: is no JSON: {error}") from error
    if not isinstance(body, dict):
        raise ReportError(f"{path}: must hold one JSON object")
    return parse_report(body, str(path))


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _mistakes(where: str, error: ValidationError) -> str:
    lines = []
    for mistake in error.errors()[:10]:
        place = ".".join(str(part) for part in mistake["loc"])
        lines.append(f"{where}: {place}: {mistake['msg']}")
    return "\n".join(lines)
