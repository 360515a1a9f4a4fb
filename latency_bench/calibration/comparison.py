"""What was measured of a reference agent against what it knows to be true. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from latency_bench.figures import CallFigures, TurnFigures, spread
from latency_bench.reference.talk import Sound, Truth

Figure = Literal["v2v", "stop", "greeting"]


@dataclass(frozen=True, slots=True)
class Compared:
    """One figure of one turn, in milliseconds; ``measured_ms`` is None where it was not found."""

    figure: Figure
    truth_ms: float
    measured_ms: float | None

    @property
    def error_ms(self) -> float | None:
        """Positive: measured too long."""
        return None if self.measured_ms is None else self.measured_ms - self.truth_ms


class CallsDiffer(Exception):
    """Both sides tell of different calls; the message says how."""


def compare(figures: CallFigures, truth: Truth, answered_s: float) -> list[Compared]:
    """Each figure of the call beside its truth. Raises CallsDiffer.

    ``answered_s``: when the caller took the call for answered. The greeting's delay counts from
    there: over WebRTC the agent cannot know when the caller's side was ready.
    """
    turns = [turn for turn in figures.turns if turn.kind == "speech"]
    if len(turns) != len(truth.heard):
        raise CallsDiffer(
            f"{truth.call}: the caller spoke {len(turns)} times, the agent heard {len(truth.heard)}"
        )
    found = []
    greeting = next((sound for sound in truth.said if sound.kind == "greeting"), None)
    if greeting is not None:
        greeting_ms = (greeting.first_s - answered_s) * 1000
        found.append(Compared("greeting", greeting_ms, figures.greeting_ms))
    for index, (turn, heard) in enumerate(zip(turns, truth.heard, strict=True)):
        following = truth.heard[index + 1].first_s if index + 1 < len(turns) else float("inf")
        found += _of_turn(turn, heard, truth.said, following)
    return found


def _of_turn(
    turn: TurnFigures, heard: Sound, said: Sequence[Sound], following_s: float
) -> list[Compared]:
    over = [sound for sound in said if sound.first_s < heard.first_s <= sound.last_s]
    if over and turn.over_agent:
        # What comes after is an answer to nobody's question in a call that measures stops.
        return [Compared("stop", (over[-1].last_s - heard.first_s) * 1000, turn.stop_ms)]
    answers = [
        sound
        for sound in said
        if sound.kind == "answer" and heard.first_s < sound.first_s < following_s
    ]
    if not answers:
        return []
    return [Compared("v2v", (answers[0].first_s - heard.last_s) * 1000, turn.v2v_ms)]


def door_report(compared: Mapping[str, Sequence[Compared]]) -> dict[str, Any]:
    """The error at one door; ``compared`` by the agent's behaviour, such as ``delay-200``.

    At the top that of V2V over all delays, in ``delays`` by delay; ``stop`` and ``greeting``.
    """
    of_turns = {
        name: rows
        for name, calls in compared.items()
        if (rows := [row for row in calls if row.figure == "v2v"])
        and not any(row.figure == "stop" for row in calls)
    }
    return {
        **error_of([row for rows in of_turns.values() for row in rows]),
        "delays": {name.removeprefix("delay-"): error_of(rows) for name, rows in of_turns.items()},
        **{
            figure: error_of(
                [row for rows in compared.values() for row in rows if row.figure == figure]
            )
            for figure in ("stop", "greeting")
        },
    }


def error_of(rows: Sequence[Compared]) -> dict[str, Any]:
    """How far off ``rows`` were: ``abs_error_ms`` (a spread), ``bias_ms`` (the mean error)."""
    errors = [row.error_ms for row in rows if row.error_ms is not None]
    sizes = spread([abs(error) for error in errors])
    return {
        "abs_error_ms": None if sizes is None else _rounded(asdict(sizes)),
        "bias_ms": round(float(np.mean(errors)), 3) if errors else None,
        "truth_ms": round(float(np.median([row.truth_ms for row in rows])), 2) if rows else None,
        "n": len(errors),
        "not_found": len(rows) - len(errors),
    }


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in values.items()}
