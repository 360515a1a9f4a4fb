"""Two reports against each other: is the difference real? Pure.

Differences are B less A. Calls, not turns, are drawn with replacement (Efron and Tibshirani,
An Introduction to the Bootstrap, 1993, chapters 8 and 13): the turns of one call depend on one
another. Intervals are the 2.5th to the 97.5th percentile of the drawn differences. For rates of
rare events, of which too few may have happened to be drawn from, the interval is widened to
Newcombe's hybrid score interval (Statistics in Medicine 17, 1998, method 10).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from latency_bench.figures import CallFigures
from latency_bench.reports.bootstrap import DRAWS, Z95, draws, percentiles, widened
from latency_bench.reports.measures import BY_CALL, MEASURES, Measure
from latency_bench.reports.report_file import Report
from latency_bench.reports.wording import NOTHING, count, ms, percent

Z80 = 0.841621
"""A study of the size told finds the difference in four of five tries."""
MIN_CALLS = 3
"""Fewer calls tell nothing of how calls differ."""
Outcome = Literal["better", "worse", "unclear"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure of both reports. ``difference`` is B less A, ``ratio`` B by A; ``ci95`` and
    ``ratio_ci95`` are None where there are too few calls to say. Rates are shares of one."""

    key: str
    name: str
    unit: str
    a: float | None
    b: float | None
    n_a: int
    n_b: int
    difference: float | None
    ci95: tuple[float, float] | None
    ratio: float | None
    ratio_ci95: tuple[float, float] | None
    outcome: Outcome
    sentence: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """``warnings`` say what else differs than what was to be compared."""

    differences: tuple[Difference, ...]
    warnings: tuple[str, ...]
    seed: int

    @property
    def sentence(self) -> str:
        """What it comes to: the answer's first sound, else the first figure there is."""
        return self.differences[0].sentence if self.differences else "There is nothing to compare."

    def to_json(self) -> dict[str, Any]:
        """As `offhook bench report --compare` writes it."""
        return {
            "schema": "offhook-bench-comparison/1",
            "seed": self.seed,
            "draws": DRAWS,
            "warnings": list(self.warnings),
            "differences": [
                {name: getattr(one, name) for name in Difference.__slots__}
                for one in self.differences
            ],
        }


def compare(a: Report, b: Report, *, seed: int = 1) -> Comparison:
    """Compares two runs. The same seed gives the same intervals."""
    rng = np.random.default_rng(seed)
    found = [_difference(measure, a.calls, b.calls, rng) for measure in MEASURES]
    return Comparison(tuple(one for one in found if one is not None), tuple(differing(a, b)), seed)


def differing(a: Report, b: Report) -> list[str]:
    """What may make two reports differ though the agents do not."""
    warnings = []
    facts: tuple[tuple[str, Callable[[Report], object]], ...] = (
        ("kind", lambda report: report.kind),
        ("processor", lambda report: report.machine.cpu),
        ("number of cores", lambda report: report.machine.cores),
        ("GPU", lambda report: report.machine.gpu or "none"),
        ("speech", lambda report: report.speech),
        ("door", lambda report: report.target.door),
        ("number of calls at once", lambda report: report.settings.get("concurrency")),
        ("codec", lambda report: ", ".join(sorted({c.codec for c in report.calls if c.codec}))),
        ("scenarios", lambda report: ", ".join(sorted({c.scenario for c in report.calls}))),
    )
    for name, fact in facts:
        if fact(a) != fact(b):
            verb = "differ" if name == "scenarios" else "differs"
            warnings.append(f"The {name} {verb}: {fact(a)} in A, {fact(b)} in B.")
    for name, report in (("A", a), ("B", b)):
        if report.interrupted:
            warnings.append(f"{name} was stopped before its end.")
        if not report.calls:
            warnings.append(f"{name} holds no calls, so that nothing of it can be compared.")
        elif len(report.calls) < MIN_CALLS:
            warnings.append(
                f"{name} holds {count(len(report.calls), 'call')}: no interval can be drawn; "
                f"run {MIN_CALLS} or more, better 20."
            )
    return warnings


def _difference(
    measure: Measure, a: Sequence[CallFigures], b: Sequence[CallFigures], rng: np.random.Generator
) -> Difference | None:
    by_call = [[measure.values(call) for call in calls] for calls in (a, b)]
    # A call without a value for this figure is drawn as well: it might have been another's turn.
    values = [np.array([v for call in calls for v in call]) for calls in by_call]
    n_a, n_b = len(values[0]), len(values[1])
    if not n_a and not n_b:
        return None
    at = [_figure(values[side], measure.share) if len(values[side]) else None for side in (0, 1)]
    ci95: tuple[float, float] | None = None
    ratio_ci: tuple[float, float] | None = None
    difference = ratio = None
    spread = math.nan
    if at[0] is not None and at[1] is not None:
        difference = at[1] - at[0]
        ratio = at[1] / at[0] if at[0] > 0 and at[1] > 0 else None
        if all(sum(map(bool, calls)) >= MIN_CALLS for calls in by_call):
            drawn_a, drawn_b = (draws(calls, measure.share, rng) for calls in by_call)
            differences = drawn_b - drawn_a
            spread = float(np.nanstd(differences))
            ci95 = percentiles(differences)
            if measure.unit == "rate":
                ci95 = widened(ci95, values)
            elif ratio is not None:
                ratio_ci = percentiles(drawn_b / drawn_a)
    outcome = _outcome(measure, ci95)
    return Difference(
        measure.key,
        measure.name,
        measure.unit,
        at[0],
        at[1],
        n_a,
        n_b,
        difference,
        ci95,
        ratio,
        ratio_ci,
        outcome,
        _sentence(measure, at, (n_a, n_b), difference, ci95, spread, outcome),
    )


def _figure(values: NDArray[np.float64], share: float | None) -> float:
    return float(np.mean(values) if share is None else np.percentile(values, 100 * share))


def _outcome(measure: Measure, ci95: tuple[float, float] | None) -> Outcome:
    if ci95 is None or ci95[0] <= 0 <= ci95[1]:
        return "unclear"
    less_is_better = measure.unit != "mos"
    return "better" if (ci95[1] < 0) == less_is_better else "worse"


def _sentence(
    measure: Measure,
    at: Sequence[float | None],
    n: tuple[int, int],
    difference: float | None,
    ci95: tuple[float, float] | None,
    spread: float,
    outcome: Outcome,
) -> str:
    name = measure.name[0].upper() + measure.name[1:]
    if at[0] is None or at[1] is None or difference is None:
        return f"{name}: nothing to compare, {'A' if at[0] is None else 'B'} has no value."
    if ci95 is None:
        return (
            f"{name}: {shown(measure.unit, at[0])} in A, {shown(measure.unit, at[1])} in B; "
            "too few calls to say whether the difference is real."
        )
    if outcome != "unclear":
        verb = measure.less if difference < 0 else measure.more
        ends = sorted(abs(end) for end in ci95)
        return (
            f"B {verb.format(_amount(measure, abs(difference)))} (95% CI "
            f"{_amount(measure, ends[0], bare=True)} to {_amount(measure, ends[1])}): "
            "the difference is real."
        )
    if ci95 == (0.0, 0.0):
        return f"{name}: {shown(measure.unit, at[0])} in both."
    noun = "call" if measure.key in BY_CALL else "turn"
    seen = f"{count(n[0], noun)} each" if n[0] == n[1] else f"{n[0]:,} and {count(n[1], noun)}"
    text = (
        f"{name}: no difference can be shown with {seen} (95% CI "
        f"{_signed(measure, ci95[0])} to {_signed(measure, ci95[1])})"
    )
    return f"{text}; {_needed(measure, at[0], n, ci95, spread)}."


def _needed(
    measure: Measure,
    a: float,
    n: tuple[int, int],
    ci95: tuple[float, float],
    spread: float,
) -> str:
    """How many it would take to find a difference of 5% in four of five tries."""
    if measure.unit == "rate":
        error, sought, words = (ci95[1] - ci95[0]) / (2 * Z95), 0.05, "5 points"
    else:
        error, sought, words = spread, 0.05 * abs(a), "5%"
    if not error or not sought:
        return f"to show one of {words}, these are enough"
    # The error falls with the square root of how many there are.
    harmonic = 2 / (1 / n[0] + 1 / n[1])
    needed = harmonic * ((Z95 + Z80) * error / sought) ** 2
    if needed <= harmonic:
        return f"one of {words} would probably have shown"
    rounded = math.ceil(needed / 10) * 10
    return f"to show one of {words} you would need about {rounded:,} each"


def shown(unit: str, value: float | None) -> str:
    """A figure of a comparison with its unit."""
    if value is None:
        return NOTHING
    return percent(value) if unit == "rate" else f"{value:.2f}" if unit == "mos" else ms(value)


def _amount(measure: Measure, value: float, *, bare: bool = False) -> str:
    if measure.unit == "mos":
        return f"{value:.2f}"
    if measure.unit == "rate":
        return f"{100 * value:.1f}{'' if bare else ' points'}"
    return f"{value:,.0f}{'' if bare else ' ms'}"


def _signed(measure: Measure, value: float) -> str:
    return ("−" if value < 0 else "+") + _amount(measure, abs(value))


def side_by_side(a: Report, b: Report) -> list[tuple[str, float | None, float | None]]:
    """Every figure of both summaries, for kinds without calls too."""
    names: Mapping[str, None] = dict.fromkeys([*a.summary, *b.summary])
    return [(name, a.summary.get(name), b.summary.get(name)) for name in names]
