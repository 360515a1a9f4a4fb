"""What a load used, and which of it ran out. Pure."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from latency_bench.report import STAGE_NAMES

MACHINE_FULL = 0.88
"""Share of the machine's cores; the rest is lost to waiting for one another."""
THREAD_FULL = 0.85
"""Share of one core that one thread can use at most, or nearly."""
GPU_FULL = 0.9
MEMORY_LEFT = 0.04
"""Share of the machine's memory that is as good as none."""
FOREIGN_SHARE = 0.2
"""Callers, or other programs, that took more of the machine than this were part of the load."""
GREW = 1.25
"""A stage that grew by less did not grow."""
THREADS = {
    "event loop": "the event loop",
    "llm": "the language model's thread",
    "stt": "the recogniser's thread",
    "engine": "the engines' threads (synthesis, end of turn, voice)",
}
"""Threads by name, for people."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """One NVIDIA GPU, or the mean over several."""

    utilisation: float
    """0 to 1."""
    memory_mb: float
    memory_total_mb: float


@dataclass(frozen=True, slots=True)
class Usage:
    """What was used while a load lasted. Cores are means over the time; 1.0 is one whole core."""

    cores: int
    machine_cores: float
    """Everything on the machine."""
    callers_cores: float
    """The bench and its callers."""
    memory_total_mb: float
    memory_left_mb: float
    """The least that was available."""
    core_busy: tuple[float, ...] = ()
    """Each core of the machine, 0 to 1."""
    box_cores: float | None = None
    """The box's processes; None where the target is not the bench's own."""
    rss_mb: float | None = None
    """Most resident memory of the box."""
    threads: Mapping[str, float] = field(default_factory=dict)
    """Cores by the name of the box's threads; those of one name together."""
    busiest: tuple[str, float] | None = None
    """The busiest single thread and its share of a core."""
    gpu: Gpu | None = None

    @property
    def callers_share(self) -> float:
        """Of the whole machine."""
        return self.callers_cores / self.cores

    @property
    def others_cores(self) -> float | None:
        """What neither the box nor its callers used; None where the box is another's."""
        if self.box_cores is None:
            return None
        return max(0.0, self.machine_cores - self.box_cores - self.callers_cores)

    def to_json(self) -> dict[str, Any]:
        """As a level of the report holds it."""
        found = {
            "cpu_cores": _round(self.box_cores),
            "machine_cores": _round(self.machine_cores),
            "callers_cores": _round(self.callers_cores),
            "others_cores": _round(self.others_cores),
            "core_busy": [round(share, 3) for share in self.core_busy],
            "rss_mb": _round(self.rss_mb, 1),
            "memory_left_mb": round(self.memory_left_mb, 1),
            "memory_total_mb": round(self.memory_total_mb, 1),
            "threads": {name: round(cores, 3) for name, cores in self.threads.items()},
            "busiest_thread": None,
            "gpu": asdict(self.gpu) if self.gpu else None,
        }
        if self.busiest:
            found["busiest_thread"] = {"name": self.busiest[0], "share": round(self.busiest[1], 3)}
        return found


@dataclass(frozen=True, slots=True)
class Saturated:
    """``what`` in a word or two, ``why`` with the figures that show it."""

    what: str
    why: str
    full: bool = True
    """Whether something was used up; False: only slower."""


def saturated(
    usage: Usage,
    first_ms: Mapping[str, float],
    last_ms: Mapping[str, float],
) -> Saturated:
    """What ran out at a load that broke the objective.

    ``first_ms``, ``last_ms``: median of each stage at the lightest load and at this one.
    """
    grown = growth(first_ms, last_ms)
    slower = f"; {grown}" if grown else ""
    if usage.memory_left_mb < MEMORY_LEFT * usage.memory_total_mb:
        return Saturated(
            "memory", f"{usage.memory_left_mb:.0f} of {usage.memory_total_mb:.0f} MB were left"
        )
    if usage.gpu is not None and usage.gpu.utilisation >= GPU_FULL:
        return Saturated("GPU", f"the GPU was busy {usage.gpu.utilisation:.0%} of the time{slower}")
    busy = usage.machine_cores / usage.cores
    if busy >= MACHINE_FULL:
        return Saturated("cores", f"{_cores(usage)}{slower}")
    if usage.busiest is not None and usage.busiest[1] >= THREAD_FULL:
        name, share = usage.busiest
        told = THREADS.get(name, f"the thread {name}")
        return Saturated(told, f"{told} was busy {share:.0%} of the time{slower}")
    if grown:
        # Jobs wait for one another without any core being busy for long.
        stage = _grown_stage(first_ms, last_ms)
        return Saturated(stage, f"{grown}; {_cores(usage)}", full=False)
    return Saturated("nothing that was seen", _cores(usage), full=False)


def alone(level: int, p95_ms: Mapping[str, float]) -> Saturated:
    """Where already the lightest load, of ``level`` calls, broke the objective: it is not the load.

    ``p95_ms``: of each stage.
    """
    slowest = max(p95_ms, key=lambda stage: p95_ms[stage], default=None)
    told = ""
    if slowest is not None:
        told = f"; the slowest stage is {STAGE_NAMES.get(slowest, slowest)}, P95 "
        told += f"{p95_ms[slowest]:.0f} ms"
    calls = f"{level} call{'' if level == 1 else 's'}"
    return Saturated(
        "the agent by itself", f"{calls} broke it already, and nothing is full{told}", full=False
    )


def growth(first_ms: Mapping[str, float], last_ms: Mapping[str, float]) -> str:
    """The stage that grew most, in words; empty where none did."""
    stage = _grown_stage(first_ms, last_ms)
    if not stage:
        return ""
    key = next(key for key in last_ms if STAGE_NAMES.get(key, key) == stage)
    return f"{stage} grew most, from {first_ms[key]:.0f} to {last_ms[key]:.0f} ms"


def verdict(
    who: str,
    carried: int,
    v2v_p95_ms: float | None,
    broken_at: int | None,
    what: Saturated | None,
) -> str:
    """The result in a sentence; ``who``: its subject, such as ``This box``."""
    calls = f"{carried} call{'' if carried == 1 else 's'} at once"
    p95 = "" if v2v_p95_ms is None else f" with P95 V2V of {v2v_p95_ms:.0f} ms"
    ran_out = f" ({what.why})" if what is not None else ""
    name = what.what if what is not None else ""
    if carried == 0:
        if broken_at is None:
            return "Nothing was measured."
        return f"{who} does not carry {broken_at} at once within the objective{ran_out}."
    if broken_at is None:
        return f"{who} carries at least {calls}{p95}; more were not tried."
    if what is not None and not what.full:
        return f"{who} carries {calls}{p95}; at {broken_at} nothing is full: {what.why}."
    verb = "saturate" if name == "cores" or "threads" in name else "saturates"
    article = "" if name.startswith("the ") else "the "
    return f"{who} carries {calls}{p95}; at {broken_at} {article}{name} {verb}{ran_out}."


def warnings(level: int, usage: Usage) -> list[str]:
    """Said where the bench itself, or anybody else, was a good part of the load."""
    at = f"at {level} call{'' if level == 1 else 's'}"
    found = []
    if usage.callers_share > FOREIGN_SHARE:
        found.append(
            f"{at} the callers took {usage.callers_share:.0%} of this machine "
            f"({usage.callers_cores:.1f} of {usage.cores} cores): the box had less than all of it; "
            "call from another machine for the whole capacity"
        )
    others = usage.others_cores or 0.0
    if others / usage.cores > FOREIGN_SHARE:
        found.append(
            f"{at} other programs took {others / usage.cores:.0%} of this machine: end "
            "them and measure again"
        )
    return found


def _grown_stage(first_ms: Mapping[str, float], last_ms: Mapping[str, float]) -> str:
    both = [key for key in last_ms if key in first_ms and last_ms[key] > GREW * first_ms[key]]
    if not both:
        return ""
    key = max(both, key=lambda stage: last_ms[stage] - first_ms[stage])
    return STAGE_NAMES.get(key, key)


def _cores(usage: Usage) -> str:
    shares = f"callers {usage.callers_cores:.1f}"
    if usage.box_cores is not None and usage.others_cores is not None:
        shares = f"box {usage.box_cores:.1f}, {shares}, others {usage.others_cores:.1f}"
    return f"{usage.machine_cores:.1f} of {usage.cores} cores were busy ({shares})"


def _round(value: float | None, digits: int = 3) -> float | None:
    return None if value is None else round(value, digits)
