"""The figures that two reports are compared by. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from latency_bench.figures import CallFigures, TurnFigures
from latency_bench.measures.summary import caller_turns, is_interruption


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure to compare, and its values by call. ``share`` None: a mean (a rate).

    ``less`` and ``more`` say what B then does.
    """

    key: str
    name: str
    unit: Literal["ms", "rate", "mos"]
    share: float | None
    values: Callable[[CallFigures], list[float]]
    less: str
    more: str


def _of_turns(pick: Callable[[TurnFigures], float | None]) -> Callable[[CallFigures], list[float]]:
    return lambda call: [value for turn in call.turns if (value := pick(turn)) is not None]


def _missed(call: CallFigures) -> list[float]:
    """Of the caller's turns that owe an answer; as the summary counts them, like the next two."""
    ends = [parts[-1] for parts in caller_turns(call.turns)]
    return [float(end.missed) for end in ends if end.owes_answer and not end.continues]


def _cut_ins(call: CallFigures) -> list[float]:
    return [float(any(part.cut_in for part in parts)) for parts in caller_turns(call.turns)]


def _stop(turn: TurnFigures) -> float | None:
    return turn.stop_ms if is_interruption(turn) else None


def _of_call(pick: Callable[[CallFigures], float | None]) -> Callable[[CallFigures], list[float]]:
    return lambda call: [] if (value := pick(call)) is None else [value]


def _v2v(turn: TurnFigures) -> float | None:
    return turn.v2v_ms if turn.counts else None


def _first_answer(turn: TurnFigures) -> float | None:
    return turn.first_answer_ms if turn.counts else None


_SOONER = ("answers {} sooner", "answers {} later")
MEASURES = (
    Measure("v2v_p50_ms", "voice to voice, P50", "ms", 0.5, _of_turns(_v2v), *_SOONER),
    Measure(
        "v2v_p95_ms",
        "voice to voice, P95",
        "ms",
        0.95,
        _of_turns(_v2v),
        "answers {} sooner at P95",
        "answers {} later at P95",
    ),
    Measure(
        "first_answer_p50_ms",
        "first answer, P50",
        "ms",
        0.5,
        _of_turns(_first_answer),
        "begins its answer proper {} sooner",
        "begins its answer proper {} later",
    ),
    Measure(
        "first_answer_p95_ms",
        "first answer, P95",
        "ms",
        0.95,
        _of_turns(_first_answer),
        "begins its answer proper {} sooner at P95",
        "begins its answer proper {} later at P95",
    ),
    Measure(
        "missed_rate",
        "missed turns",
        "rate",
        None,
        _missed,
        "misses {} fewer of its turns",
        "misses {} more of its turns",
    ),
    Measure(
        "cut_in_rate",
        "cut-ins",
        "rate",
        None,
        _cut_ins,
        "cuts in on {} fewer turns",
        "cuts in on {} more turns",
    ),
    Measure(
        "stop_p50_ms",
        "barge-in stop, P50",
        "ms",
        0.5,
        _of_turns(_stop),
        "stops {} sooner when interrupted",
        "stops {} later when interrupted",
    ),
    Measure(
        "greeting_p50_ms",
        "greeting, P50",
        "ms",
        0.5,
        _of_call(lambda call: call.greeting_ms),
        "greets {} sooner",
        "greets {} later",
    ),
    Measure(
        "answer_p50_ms",
        "call taken, P50",
        "ms",
        0.5,
        _of_call(lambda call: call.answer_ms),
        "takes the call {} sooner",
        "takes the call {} later",
    ),
    Measure(
        "mos_p50",
        "MOS, P50",
        "mos",
        0.5,
        _of_call(lambda call: call.wire.mos),
        "sounds worse by {}",
        "sounds better by {}",
    ),
    Measure(
        "failed_rate",
        "calls that did not pass",
        "rate",
        None,
        lambda call: [float(not call.passed)],
        "fails {} fewer of its calls",
        "fails {} more of its calls",
    ),
)
BY_CALL = ("greeting_p50_ms", "answer_p50_ms", "mos_p50", "failed_rate")
