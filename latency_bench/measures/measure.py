"""One call's recording -> its figures. Pure; docs/measuring.md defines each figure."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from latency_bench.figures import CallFigures, Outcome, TurnFigures
from latency_bench.measures.echo import echo_of, without_echo
from latency_bench.measures.fillers import is_no_answer
from latency_bench.measures.traces import plain_json, whole
from latency_bench.measures.turns import turns_of
from latency_bench.measures.voices import TOO_LOUD, Voice, is_too_loud, joined, voices_of
from latency_bench.measures.wire_figures import wire_figures
from latency_bench.recording import CallFailed, CallRecording
from latency_bench.wire import Segment

__all__ = ["cost_of", "measure_call", "outcome_of", "turns_of", "unplaced", "with_words"]

FILLER_PAUSE_S = 0.25
"""A filler is followed by at least this much silence before the answer."""
FILLER_LONGEST_S = 3.0
MARGIN_S = 0.2
"""So much of the sound around an answer is recognised with it."""

Recognise = Callable[[NDArray[np.int16], int], str]
"""int16 mono, shape (samples,), and its rate in Hz -> the words."""


def measure_call(
    recording: CallRecording, *, call: int, scenario: str, began_s: float, repeat: int = 0
) -> CallFigures:
    """All figures that need no recogniser; ``began_s``: the call's start since the run's."""
    echo = echo_of(recording)
    received = recording.received
    segments = (without_echo(received, echo) if echo else received).segments
    too_loud = is_too_loud(received, segments)
    if too_loud:
        segments = []
    voices = voices_of(received, segments)
    turns = turns_of(recording, voices)
    if too_loud:
        # Nobody can say that no answer came.
        turns = [replace(turn, missed=False, stopped=None, dead_air_ms=0.0) for turn in turns]
    outcome, reason = outcome_of(recording)
    return CallFigures(
        call=call,
        repeat=repeat,
        scenario=scenario,
        door=recording.door,
        outcome=outcome,
        reason=whole(reason),
        codec=whole(recording.codec),
        began_s=began_s,
        duration_s=max(0.0, recording.ended_s - recording.answered_s),
        answer_ms=(recording.answered_s - recording.dialled_s) * 1000,
        greeting_ms=_greeting_ms(recording, voices),
        transferred_to=None
        if recording.transferred_to is None
        else whole(recording.transferred_to),
        wire=wire_figures(recording, segments, voices, echo),
        turns=tuple(turns),
        notes=(*map(whole, recording.notes), *((TOO_LOUD,) if too_loud else ())),
    )


def unplaced(
    call: int, scenario: str, door: str, error: CallFailed, began_s: float, repeat: int = 0
) -> CallFigures:
    """The figures of a call that could not be placed."""
    return CallFigures(
        call=call,
        repeat=repeat,
        scenario=scenario,
        door=door,
        outcome=error.outcome,
        reason=whole(str(error)),
        began_s=began_s,
    )


def outcome_of(recording: CallRecording) -> tuple[Outcome, str]:
    """How the call went, and why; a call without sound is no call, however it ended."""
    if len(recording.received.pcm) or recording.end == "stopped":
        return recording.end, recording.reason
    if len(recording.packets.at_s):
        reason = f"none of the packets that came ({len(recording.packets.at_s)}) could be decoded"
        return "bad_codec", "; ".join([reason, *recording.notes])
    return "no_audio", recording.reason or "answered, and no packet of sound came"


def with_words(figures: CallFigures, recording: CallRecording, recognise: Recognise) -> CallFigures:
    """The same with each answer's words as ``recognise`` hears them, and fillers told apart."""
    if not any(turn.answer_to for turn in figures.turns):
        return figures
    segments = recording.received.segments
    turns = tuple(_listened(turn, recording, segments, recognise) for turn in figures.turns)
    return replace(figures, turns=turns)


def cost_of(recording: CallRecording) -> dict[str, Any]:
    """The last word of the agent on what the call cost; empty where it said none."""
    for event in reversed(recording.events):
        if event.body.get("type") == "cost":
            cost = {key: value for key, value in event.body.items() if key != "type"}
            return cast(dict[str, Any], plain_json(cost))
    return {}


def _greeting_ms(recording: CallRecording, voices: Sequence[Voice]) -> float | None:
    """Answered to the first voice, if that came before the caller said anything."""
    voice = next((voice for voice in voices if voice.ended_s > recording.answered_s), None)
    said = recording.said
    if voice is None or (said and voice.began_s > recording.sent.time_s(said[0].first)):
        return None
    # Sound may come ahead of the answer: then there was no wait for it.
    return max(0.0, voice.began_s - recording.answered_s) * 1000


def _listened(
    turn: TurnFigures,
    recording: CallRecording,
    segments: Sequence[Segment],
    recognise: Recognise,
) -> TurnFigures:
    if not turn.answer_to:
        return turn
    received = recording.received
    heard = whole(_words(recording, turn.answer_from, turn.answer_to, recognise))
    turn = replace(turn, recognised=heard, first_answer_ms=turn.v2v_ms)
    inside = [s for s in segments if turn.answer_from <= s.first and s.last < turn.answer_to]
    clauses = joined(voices_of(received, inside), FILLER_PAUSE_S)
    answer = 0
    # The last clause is an answer, whatever it says.
    for clause in clauses[:-1]:
        if clause.ended_s - clause.began_s > FILLER_LONGEST_S:
            break
        if not is_no_answer(_words(recording, clause.first, clause.last + 1, recognise)):
            break
        answer += 1
    if not answer or turn.v2v_ms is None:
        return turn
    later_s = clauses[answer].began_s - clauses[0].began_s
    return replace(turn, filler=True, first_answer_ms=turn.v2v_ms + later_s * 1000)


def _words(recording: CallRecording, first: int, end: int, recognise: Recognise) -> str:
    received = recording.received
    margin = round(MARGIN_S * received.rate_hz)
    # The pause after a clause is longer than the margin on both of its sides, or split there.
    return recognise(received.pcm[max(0, first - margin) : end + margin], received.rate_hz).strip()
