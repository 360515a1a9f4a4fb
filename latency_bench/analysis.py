"""Recordings -> figures: each turn's voice-to-voice latency and what was said. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from latency_bench.recording import CallRecording, Event, Spoken
from latency_bench.wire import Segment


@dataclass(frozen=True, slots=True)
class TurnFigures:
    """One question and what came back, as the caller's side of the wire saw it."""

    turn: int
    """The question's place in its call, from 0."""
    expected: str | None
    """What the caller said, where known."""
    heard: str
    """What the box says it understood."""
    answer: str
    """What the box says it answered."""
    v2v_ms: float | None
    """Last voiced sample sent to first voiced sample received; None where nothing came."""
    cut_in: bool
    """The agent spoke before the question was over: negative latency, counted apart."""
    answer_from: int
    answer_to: int
    """The answer's samples in the received stream; both 0 where there is none."""
    stages_ms: dict[str, float] = field(default_factory=dict)
    """What the box says each stage took."""
    inside_ms: float | None = None
    """The box's own end of speech to first packet."""

    @property
    def missed(self) -> bool:
        """No voice came back."""
        return self.v2v_ms is None


@dataclass(frozen=True, slots=True)
class Spread:
    """How a figure is spread. Percentiles interpolate linearly between the two nearest ranks."""

    n: int
    p50: float
    p95: float
    min: float
    max: float


def spread(values: Sequence[float]) -> Spread | None:
    """The spread of ``values``; None of nothing."""
    if not values:
        return None
    p50, p95 = np.percentile(values, [50, 95])
    return Spread(len(values), float(p50), float(p95), float(min(values)), float(max(values)))


def turns_of(recording: CallRecording) -> list[TurnFigures]:
    """Each question that was asked in full, in order."""
    segments = recording.received.segments
    spoken = recording.spoken
    return [
        _turn(recording, segments, this, following)
        for this, following in zip(spoken, (*spoken[1:], None), strict=True)
    ]


def stage_spreads(turns: Sequence[TurnFigures]) -> dict[str, Spread]:
    """The spread of each stage over all turns that passed it."""
    found: dict[str, list[float]] = {}
    for turn in turns:
        for stage, took_ms in turn.stages_ms.items():
            found.setdefault(stage, []).append(took_ms)
    return {stage: figure for stage, took in found.items() if (figure := spread(took))}


def cost_of(recording: CallRecording) -> dict[str, Any]:
    """The last word of the box on what the call cost; empty where it said none."""
    for event in reversed(recording.events):
        if event.body.get("type") == "cost":
            return {key: value for key, value in event.body.items() if key != "type"}
    return {}


def _turn(
    recording: CallRecording,
    segments: Sequence[Segment],
    this: Spoken,
    following: Spoken | None,
) -> TurnFigures:
    sent, received = recording.sent, recording.received
    began_s = sent.time_s(this.first_sample + this.utterance.first_voiced)
    ended_s = sent.time_s(this.last_voiced)
    until_s = recording.ended_s
    if following is not None:
        until_s = sent.time_s(following.first_sample + following.utterance.first_voiced)
    # Sound that began before the question did is the tail of the answer before.
    inside = [s for s in segments if began_s <= received.time_s(s.first) < until_s]
    after = [s for s in inside if received.time_s(s.last) > ended_s]
    # The caller waits for the end, so all of it is one answer, whatever its pauses.
    answer = Segment(after[0].first, after[-1].last) if after else None
    v2v_ms = (received.time_s(answer.first) - ended_s) * 1000 if answer else None
    # The box may tell of the last turn only after the hang-up.
    said = _said(recording.events, began_s, until_s if following is not None else math.inf)
    return TurnFigures(
        turn=this.turn,
        expected=this.utterance.expected,
        heard=" ".join(filter(None, (str(e.get("heard") or "") for e in said))),
        answer=str(said[-1].get("answer") or "") if said else "",
        v2v_ms=v2v_ms,
        cut_in=v2v_ms is not None and v2v_ms < 0,
        answer_from=answer.first if answer else 0,
        answer_to=answer.last + 1 if answer else 0,
        stages_ms=_numbers(said[-1].get("stages_ms")) if said else {},
        inside_ms=_number(said[-1].get("total_ms")) if said else None,
    )


def _said(events: Sequence[Event], from_s: float, until_s: float) -> list[dict[str, Any]]:
    """The box's own turns in this time, each as it last told of it; the greeting is none."""
    turns: dict[int, dict[str, Any]] = {}
    for event in events:
        number = event.body.get("turn")
        if event.body.get("type") != "turn" or not isinstance(number, int) or number < 1:
            continue
        if number in turns or from_s <= event.at_s < until_s:
            turns[number] = event.body
    return [turns[number] for number in sorted(turns)]


def _numbers(value: object) -> dict[str, float]:
    if not isinstance(value, dict):
        return {}
    return {str(k): n for k, v in value.items() if (n := _number(v)) is not None}


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
