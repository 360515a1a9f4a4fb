"""``v2v_p95_ms<900``: what must be true of a report's summary, for other people's CI. Pure."""

import difflib
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from latency_bench.reports.wording import number

OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
}
_FORM = re.compile(
    r"\s*(?P<name>[A-Za-z_][A-Za-z0-9_.]*)\s*(?P<operator><=|>=|==|!=|<|>)\s*"
    r"(?P<limit>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,2})?)\s*"
)
LENGTH_MAX = 200


class AssertionMistake(ValueError):
    """An assertion cannot be read, or names a figure that there is not."""


@dataclass(frozen=True, slots=True)
class Assertion:
    """One of them: ``name operator limit``."""

    name: str
    operator: str
    limit: float

    def __str__(self) -> str:
        return f"{self.name}{self.operator}{self.limit:g}"


@dataclass(frozen=True, slots=True)
class Asserted:
    """An assertion held against a report; ``value`` None: there was nothing to measure, which
    meets nothing."""

    assertion: Assertion
    value: float | None
    met: bool

    def __str__(self) -> str:
        told = "nothing was measured" if self.value is None else f"it is {number(self.value)}"
        return f"{self.assertion}: {told}"


def parse_assertion(text: str) -> Assertion:
    """Reads ``text``. Raises AssertionMistake."""
    found = _FORM.fullmatch(text) if len(text) <= LENGTH_MAX else None
    if found is None:
        raise AssertionMistake(
            f"{text[:LENGTH_MAX]!r} is no assertion: write a figure of the summary, one of "
            f"{' '.join(OPERATORS)}, and a number, such as v2v_p95_ms<900"
        )
    return Assertion(found["name"], found["operator"], float(found["limit"]))


def check(assertion: Assertion, summary: Mapping[str, float | None]) -> Asserted:
    """Holds it against a report's summary. Raises AssertionMistake for an unknown name."""
    if assertion.name not in summary:
        near = difflib.get_close_matches(assertion.name, summary, n=1, cutoff=0.0)
        hint = f"did you mean {near[0]}?" if near else "the report's summary is empty"
        raise AssertionMistake(f"{assertion}: the report has no figure {assertion.name}; {hint}")
    value = summary[assertion.name]
    met = value is not None and OPERATORS[assertion.operator](value, assertion.limit)
    return Asserted(assertion, value, met)
