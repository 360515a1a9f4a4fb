"""Callers as they come and talk, never in lockstep; and what load they really were. Pure.

A level of N is N lines. On each, a call follows the one before after a short, random gap, so that
never more than N calls are under way and nearly always that many (a finite source, as in Engset's
model): what admission control has to know is how many at once, not how many an hour.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from latency_bench.figures import CallFigures, TurnFigures, spread
from latency_bench.part import Part

FAILED = ("failed", "remote", "refused", "unanswered", "unreachable", "no_audio", "bad_codec")
"""Outcomes of a call that the caller did not end."""


@dataclass(frozen=True, slots=True)
class Habits:
    """How callers behave. Pauses and gaps are exponential: most are short, some long."""

    think_s: float = 2.0
    """Mean pause between the end of an answer and the next question."""
    longest_think_s: float = 15.0
    turns: tuple[int, int] = (3, 7)
    """Questions in a call, from and to."""
    gap_s: float = 1.0
    """Mean time from one call's end to the next one's start on the same line."""
    longest_gap_s: float = 8.0
    wait_s: float = 8.0
    """No voice by then: the turn is missed."""


class Callers:
    """Draws calls. The same seed draws the same."""

    def __init__(self, questions: Sequence[Part], habits: Habits, seed: int) -> None:
        if not questions:
            raise ValueError("callers need something to ask")
        self._questions = list(questions)
        self._habits = habits
        self._random = random.Random(seed)
        self._left: list[Part] = []

    def arrivals_s(self, lines: int, within_s: float) -> list[float]:
        """When each line's first call comes, rising.

        Where so many calls of a Poisson process fell into a stretch of time, they lie there
        uniformly and independently (Ross, Stochastic Processes, 2.3).
        """
        return sorted(self._random.uniform(0, within_s) for _ in range(lines))

    def gap_s(self) -> float:
        """How long a line stays free."""
        return self._exponential(self._habits.gap_s, self._habits.longest_gap_s)

    def call(self) -> list[Part]:
        """What one caller asks: each question once before any comes again."""
        count = self._random.randint(*self._habits.turns)
        return [
            replace(
                self._question(),
                step=place,
                when="after",
                at_s=self._exponential(self._habits.think_s, self._habits.longest_think_s),
                wait_s=self._habits.wait_s,
            )
            for place in range(count)
        ]

    def _question(self) -> Part:
        if not self._left:
            self._left = self._random.sample(self._questions, len(self._questions))
        return self._left.pop()

    def _exponential(self, mean_s: float, most_s: float) -> float:
        return min(most_s, self._random.expovariate(1 / mean_s)) if mean_s > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Window:
    """The time that counts, in seconds since the run's start."""

    from_s: float
    to_s: float

    @property
    def length_s(self) -> float:
        """How long it is."""
        return max(0.0, self.to_s - self.from_s)

    def turns(self, calls: Iterable[CallFigures]) -> list[TurnFigures]:
        """Turns that owe an answer and whose question ended within it.

        Whether they were answered must be known by now, or only quick answers would count.
        """
        return [
            turn
            for call in calls
            for turn in call.turns
            if turn.owes_answer
            and not turn.continues
            and self.from_s <= _answered_s(call) + turn.ended_s < self.to_s
        ]

    def carried(self, calls: Iterable[CallFigures]) -> float:
        """The mean number of calls under way."""
        if not self.length_s:
            return 0.0
        shared = (
            min(self.to_s, _answered_s(call) + call.duration_s)
            - max(self.from_s, _answered_s(call))
            for call in calls
        )
        return sum(max(0.0, seconds) for seconds in shared) / self.length_s

    def peak(self, calls: Iterable[CallFigures]) -> int:
        """The largest number of calls under way at once."""
        edges = []
        for call in calls:
            begin = max(self.from_s, _answered_s(call))
            end = min(self.to_s, _answered_s(call) + call.duration_s)
            if begin < end:
                # Who leaves at a moment leaves before who comes.
                edges += [(begin, 1), (end, -1)]
        under_way = most = 0
        for _, change in sorted(edges):
            under_way += change
            most = max(most, under_way)
        return most

    def failed_rate(self, calls: Iterable[CallFigures]) -> float | None:
        """The share of calls under way, or tried, that failed; None without any."""
        tried = [c for c in calls if c.began_s < self.to_s and _ended_s(c) >= self.from_s]
        return sum(c.outcome in FAILED for c in tried) / len(tried) if tried else None


def figures_of(turns: Sequence[TurnFigures]) -> dict[str, float | None]:
    """The figures that an objective may limit, but for failed calls."""
    v2v = spread([turn.v2v_ms for turn in turns if turn.counts and turn.v2v_ms is not None])
    count = len(turns)
    return {
        "v2v_p50_ms": v2v.p50 if v2v else None,
        "v2v_p95_ms": v2v.p95 if v2v else None,
        "missed_rate": sum(turn.missed for turn in turns) / count if count else None,
        "cut_in_rate": sum(turn.cut_in for turn in turns) / count if count else None,
    }


def _answered_s(call: CallFigures) -> float:
    return call.began_s + (call.answer_ms or 0.0) / 1000


def _ended_s(call: CallFigures) -> float:
    return _answered_s(call) + call.duration_s
