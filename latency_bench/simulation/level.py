"""So many simulated calls at once for a while, and what came of it."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from latency_bench.figures import Spread, spread
from latency_bench.load.callers import Callers, Habits
from latency_bench.part import Part
from latency_bench.simulation.box import BoxRules, SimulatedBox
from latency_bench.simulation.call import SimulatedCall, SimulatedTurn
from latency_bench.simulation.costs import Costs, TurnCost

FULL = 0.85
"""A resource so busy has run out."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """How long a level lasts."""

    seconds: float = 300.0
    """Measured, once all have called."""
    ramp_s: float = 20.0
    seed: int = 1


@dataclass(frozen=True, slots=True)
class SimulatedLevel:
    """What one load made of the box."""

    calls: int
    turns: int
    v2v_ms: Spread | None
    missed_rate: float | None
    gap_rate: float | None
    """Answers with an audible hole."""
    guessed_rate: float | None
    """Answers begun before their turn was over."""
    discarded: float
    """Of the engines' work, what nobody used."""
    busy: Mapping[str, float]
    """Share of each resource that was in use, 0 to 1."""
    work: Mapping[str, float]
    """Cores' worth of work, by stage."""
    stages_ms: Mapping[str, float]
    """Median of each stage."""
    batches: Mapping[str, float]
    """Jobs in a run, on average, by kind; of ``llm``, tokens generated in a step."""

    @property
    def saturated(self) -> str:
        """The resource that has run out; empty while none has."""
        name = max(self.busy, key=lambda each: self.busy[each])
        return name if self.busy[name] >= FULL else ""

    def within(self, p95_ms: float, missed_rate: float) -> bool:
        """Whether the load kept to such an objective."""
        return (
            self.v2v_ms is not None
            and self.v2v_ms.p95 <= p95_ms
            and (self.missed_rate or 0.0) <= missed_rate
        )

    def to_json(self) -> dict[str, Any]:
        """As a report holds it."""
        return {**asdict(self), "saturated": self.saturated}


def simulate(
    costs: Costs, calls: int, rules: BoxRules, habits: Habits, stretch: Stretch
) -> SimulatedLevel:
    """One level. The same arguments give the same figures."""
    seed = random.Random(f"{stretch.seed}/{calls}").getrandbits(32)
    box = SimulatedBox(costs, rules, calls, seed)
    lines = Lines(box, Callers(_parts(costs.turns), habits, seed), habits)
    lines.open(calls, stretch.ramp_s)
    box.agenda.run(stretch.ramp_s)
    before = _spent(box)
    end_s = stretch.ramp_s + stretch.seconds
    box.agenda.run(end_s)
    spent = {name: each - before[name] for name, each in _spent(box).items()}
    # Until the last question of the window is answered or missed.
    box.agenda.run(end_s + habits.wait_s + 1.0)
    turns = [turn for turn in lines.turns if stretch.ramp_s <= turn.ended_s < end_s]
    return _level(box, calls, turns, spent, stretch.seconds)


class Lines:
    """Each line places one call after the other."""

    def __init__(self, box: SimulatedBox, callers: Callers, habits: Habits) -> None:
        self.turns: list[SimulatedTurn] = []
        self._box, self._callers, self._habits = box, callers, habits

    def open(self, lines: int, within_s: float) -> None:
        """First calls come at random within that time."""
        for place, at_s in enumerate(self._callers.arrivals_s(lines, within_s), start=1):
            self._box.agenda.at(at_s, lambda place=place: self._call(place))  # type: ignore[misc]

    def _call(self, place: int) -> None:
        questions = [
            (self._box.costs.turns[int(part.source)], part.at_s) for part in self._callers.call()
        ]

        def on_end() -> None:
            self._box.agenda.after(self._callers.gap_s(), lambda: self._call(place))

        SimulatedCall(self._box, place, questions, self._habits.wait_s, self.turns.append, on_end)


def _parts(turns: Sequence[TurnCost]) -> list[Part]:
    """Questions as callers of a real bench have them, without their sound."""
    nothing = np.zeros(0, np.int16)
    return [Part(0, "speech", nothing, 16000, 0, 0, source=str(n)) for n in range(len(turns))]


def _spent(box: SimulatedBox) -> dict[str, float]:
    # Counts the event loop's time up to now.
    box.count_loop()
    kinds = {f"work.{kind}": each for kind, each in box.work_s.items()}
    return {
        **dict.fromkeys(("work.stt", "work.turn", "work.tts"), 0.0),
        **kinds,
        "work.llm": box.llm.work_s,
        "busy.processor": box.processor.busy_s + box.background_s,
        "busy.workers": box.workers_busy_s,
        "busy.stt": box.stt_busy_s,
        "busy.llm": box.llm.busy_s,
        "busy.event loop": box.loop_busy_s,
        "discarded": box.discarded_s,
        "steps": box.llm.steps,
        "tokens": box.llm.generated,
    }


def _level(
    box: SimulatedBox,
    calls: int,
    turns: Sequence[SimulatedTurn],
    spent: Mapping[str, float],
    seconds: float,
) -> SimulatedLevel:
    answered = [turn for turn in turns if turn.v2v_s is not None]
    count = len(turns)
    work = {name[5:]: each / seconds for name, each in spent.items() if name.startswith("work.")}
    processor = "gpu" if box.costs.gpu else "processor"
    width = {"processor": box.processor.cores, "workers": box.rules.workers}
    busy = {
        # A run that began before the window counts whole in it.
        processor if name == "busy.processor" else name[5:]: min(
            1.0, each / seconds / width.get(name[5:], 1)
        )
        for name, each in spent.items()
        if name.startswith("busy.")
    }
    figures = box.queue.figures
    return SimulatedLevel(
        calls=calls,
        turns=count,
        v2v_ms=spread([1000 * turn.v2v_s for turn in answered if turn.v2v_s is not None]),
        missed_rate=1 - len(answered) / count if count else None,
        gap_rate=sum(turn.gaps > 0 for turn in answered) / count if count else None,
        guessed_rate=sum(turn.guessed for turn in answered) / count if count else None,
        discarded=min(1.0, spent["discarded"] / seconds / max(1e-9, sum(work.values()))),
        busy=busy,
        work=work,
        stages_ms=_stages_ms(answered),
        batches={
            **{kind: each.batch for kind, each in figures.items()},
            "llm": spent["tokens"] / spent["steps"] if spent["steps"] else 0.0,
        },
    )


def _stages_ms(turns: Sequence[SimulatedTurn]) -> dict[str, float]:
    """Median of each mark since the end of speech, in the order of a turn."""
    marks = ("over", "transcript", "first_token", "first_clause", "first_audio")
    found = {}
    for mark in marks:
        times = [getattr(turn, f"{mark}_s") for turn in turns]
        since = [1000 * (at - t.ended_s) for at, t in zip(times, turns, strict=True) if at]
        if since:
            found[mark] = float(np.median(since))
    return found
