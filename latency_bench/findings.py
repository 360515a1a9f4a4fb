"""What a bench has found so far, and its report. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from latency_bench.figures import Spread, TurnFigures, spread
from latency_bench.measures.summary import stage_spreads
from latency_bench.words import word_error_rate


@dataclass(slots=True)
class Findings:
    """Grows as the bench runs, so that a report can be written at any time."""

    speech: str
    """Which speech was used."""
    turns: list[TurnFigures] = field(default_factory=list)
    calls: int = 0
    errors: list[str] = field(default_factory=list)
    """Calls that could not be placed, and the end of a box that died."""
    ready_s: float | None = None
    """Start of the process to its first answer; None of a box that ran already."""
    idle_cpu: float | None = None
    """Share of one core without a call; so is the next, with a call and no speech."""
    silent_call_cpu: float | None = None
    rss_mb: float | None = None
    interrupted: bool = False
    """Stopped by the user before the end."""

    @property
    def answered(self) -> list[TurnFigures]:
        """Turns whose latency counts: a voice came back, and not before the question's end."""
        return [turn for turn in self.turns if turn.counts]

    def report(self, machine: Mapping[str, Any]) -> dict[str, Any]:
        """The report in the form that ``--json`` writes."""
        answered = self.answered
        v2v = [turn.v2v_ms for turn in answered if turn.v2v_ms is not None]
        inside = [turn.inside_ms for turn in answered if turn.inside_ms is not None]
        return {
            "machine": dict(machine),
            "n": len(answered),
            "v2v_ms": _figures(spread(v2v)),
            "stages_ms": {
                stage: {"p50": figure.p50, "p95": figure.p95}
                for stage, figure in stage_spreads(answered).items()
            },
            "rss_mb": self.rss_mb,
            "ready_s": self.ready_s,
            "idle_cpu": self.idle_cpu,
            "silent_call_cpu": self.silent_call_cpu,
            "inside_ms": _figures(spread(inside)),
            "speech": self.speech,
            "calls": self.calls,
            "asked": len(self.turns),
            "missed_turns": sum(turn.missed for turn in self.turns),
            "cut_ins": sum(turn.cut_in for turn in self.turns),
            "wer": self._wer(),
            "interrupted": self.interrupted,
            "errors": list(self.errors),
            "turns": [_turn(turn) for turn in self.turns],
        }

    def _wer(self) -> float | None:
        known = [turn for turn in self.turns if turn.said is not None]
        if not any(turn.heard for turn in known):
            # An agent that does not say what it heard cannot be scored.
            return None
        return word_error_rate([turn.said or "" for turn in known], [t.heard for t in known])


def _figures(found: Spread | None) -> dict[str, float | None]:
    keys = ("p50", "p95", "min", "max")
    return {key: getattr(found, key) if found else None for key in keys}


def _turn(turn: TurnFigures) -> dict[str, Any]:
    return {
        "turn": turn.part,
        "expected": turn.said,
        "heard": turn.heard,
        "answer": turn.answer,
        "v2v_ms": turn.v2v_ms,
        "cut_in": turn.cut_in,
        "stages_ms": dict(turn.stages_ms),
        "inside_ms": turn.inside_ms,
        "missed": turn.missed,
    }
