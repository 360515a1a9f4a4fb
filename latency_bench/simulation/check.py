"""The simulation beside what `offhook bench capacity` measured of a real box."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latency_bench.load.callers import Habits
from latency_bench.simulation.box import BoxRules
from latency_bench.simulation.costs import Costs
from latency_bench.simulation.level import SimulatedLevel, Stretch, simulate

LIMIT_BYTES = 16 * 2**20


class CheckError(Exception):
    """The report cannot be set beside a simulation; the message says why."""


@dataclass(frozen=True, slots=True)
class Checked:
    """One level, measured and simulated."""

    calls: int
    turns: int
    """Measured."""
    p50_ms: float
    p95_ms: float
    simulated: SimulatedLevel

    @property
    def errors(self) -> tuple[float, float] | None:
        """Of P50 and of P95: by which share the simulated figure is larger than the measured."""
        found = self.simulated.v2v_ms
        if found is None:
            return None
        return found.p50 / self.p50_ms - 1, found.p95 / self.p95_ms - 1

    def to_json(self) -> dict[str, Any]:
        """As a report holds it."""
        errors = self.errors
        return {
            "calls": self.calls,
            "turns": self.turns,
            "measured_ms": {"p50": self.p50_ms, "p95": self.p95_ms},
            "simulated": self.simulated.to_json(),
            "error": errors and {"p50": errors[0], "p95": errors[1]},
        }


def check(path: Path, costs: Costs, rules: BoxRules, stretch: Stretch) -> list[Checked]:
    """Every level of the report at ``path``, with its callers' habits.

    Raises CheckError, and OSError where it cannot be read.
    """
    if path.stat().st_size > LIMIT_BYTES:
        raise CheckError(f"{path}: over {LIMIT_BYTES // 2**20} MiB: no report of a capacity bench")
    try:
        report = json.loads(path.read_bytes())
        if report["kind"] != "capacity":
            raise CheckError(
                f"{path}: a report of kind {report['kind']!r}; give one that "
                "`offhook bench capacity --json FILE` wrote"
            )
        habits = habits_of(report)
        measured = [
            (int(level["calls"]), int(level["turns"]), level["v2v_ms"])
            for level in report["levels"]
            if level["v2v_ms"] is not None
        ]
        levels = [
            (calls, turns, float(v2v["p50"]), float(v2v["p95"])) for calls, turns, v2v in measured
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckError(
            f"{path}: no report of a capacity bench ({type(error).__name__}: {error})"
        ) from None
    if not levels or min(min(p50, p95, calls) for calls, _, p50, p95 in levels) <= 0:
        raise CheckError(f"{path}: no level with answers in it")
    return [
        Checked(calls, turns, p50, p95, simulate(costs, calls, rules, habits, stretch))
        for calls, turns, p50, p95 in levels
    ]


def habits_of(report: dict[str, Any]) -> Habits:
    """How the callers of the report behaved; what it does not say is as usual."""
    settings, usual = report.get("settings") or {}, Habits()
    turns = settings.get("turns_a_call", usual.turns)
    return Habits(
        think_s=float(settings.get("think_s", usual.think_s)),
        turns=(int(turns[0]), int(turns[1])),
        gap_s=float(settings.get("gap_s", usual.gap_s)),
        wait_s=float(settings.get("wait_s", usual.wait_s)),
    )
