"""A recording -> each part of what the caller said, and what came back. Pure.

docs/measuring.md defines every figure.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from latency_bench.figures import TurnFigures
from latency_bench.measures.interruptions import Interruption, interruption, own_pause_s
from latency_bench.measures.traces import traces_of
from latency_bench.measures.voices import (
    Interval,
    Voice,
    caller_voices,
    longest_silence_s,
    shared_s,
    voices_of,
)
from latency_bench.recording import CallRecording, Said

IGNORED_SILENCE_S = 1.0
"""An agent that talks on through an interruption answers it, if at all, after such a silence."""


@dataclass(frozen=True, slots=True)
class _Part:
    """A part with the times that its figures hang on, all on the caller's clock."""

    said: Said
    began_s: float
    ended_s: float
    turn_ended_s: float
    """The end of the last part of its turn."""
    next_s: float
    """The next part's beginning, or the call's end."""
    over: Interruption | None
    """What it did to the agent, where that was speaking."""

    @property
    def takes_floor(self) -> bool:
        """Whether what the agent says from here on is no longer the answer before."""
        return self.over is None or self.said.owes_answer or self.over.stopped is True


def turns_of(recording: CallRecording, voices: Sequence[Voice] | None = None) -> list[TurnFigures]:
    """Every part that was sent, in order. ``voices``: the agent's, where they are known."""
    if voices is None:
        voices = voices_of(recording.received)
    parts = _parts(recording, voices)
    caller = caller_voices(recording)
    told = traces_of(
        recording.events,
        [part.began_s for part in parts],
        [part.said.over_agent for part in parts],
    )
    agent: list[Interval] = [(voice.began_s, voice.ended_s) for voice in voices]
    heard_by_both = [*agent, *(spell for spells in caller.values() for spell in spells)]
    figures = []
    for place, part in enumerate(parts):
        said, trace = part.said, told[place]
        answer = _answer(part, _answer_until_s(parts, place, recording.ended_s), voices)
        owed = said.owes_answer and not said.continues
        cut_in = (
            bool(answer)
            and said.kind in ("speech", "keys")
            and (said.continues or answer[0].began_s < part.turn_ended_s)
        )
        v2v_ms = (answer[0].began_s - part.turn_ended_s) * 1000 if answer else None
        # Silence counts until the answer is over; without one, until the caller gave up.
        waited_until_s = answer[-1].ended_s if answer else part.next_s
        dead_air_s = longest_silence_s(heard_by_both, part.ended_s, waited_until_s)
        stopped = part.over.stopped if part.over and said.over_agent else None
        quiet_from_s = part.over.quiet_from_s if part.over and stopped else None
        figures.append(
            TurnFigures(
                part=said.part,
                step=said.step,
                kind=said.kind,
                said=said.text,
                source=said.source,
                over_agent=said.over_agent,
                continues=said.continues,
                owes_answer=said.owes_answer,
                began_s=part.began_s - recording.answered_s,
                ended_s=part.ended_s - recording.answered_s,
                v2v_ms=v2v_ms,
                stop_ms=None if quiet_from_s is None else (quiet_from_s - part.began_s) * 1000,
                stopped=stopped,
                missed=owed and not answer,
                cut_in=cut_in,
                talk_over_ms=shared_s(caller.get(said.part, ()), agent) * 1000,
                dead_air_ms=dead_air_s * 1000 if owed else 0.0,
                answer_from=answer[0].first if answer else 0,
                answer_to=answer[-1].last + 1 if answer else 0,
                answer_began_s=answer[0].began_s - recording.answered_s if answer else None,
                answer_ended_s=answer[-1].ended_s - recording.answered_s if answer else None,
                heard=trace.heard,
                answer=trace.answer,
                stages_ms=trace.stages_ms,
                inside_ms=trace.inside_ms,
            )
        )
    return figures


def _parts(recording: CallRecording, voices: Sequence[Voice]) -> list[_Part]:
    sent, all_said = recording.sent, recording.said
    began_s = [sent.time_s(said.first) for said in all_said]
    ended_s = [sent.time_s(said.last) for said in all_said]
    pause_s = own_pause_s(voices, began_s)
    parts: list[_Part] = []
    turn_ended_s = math.nan
    # Backwards: a turn of several parts ends with its last one.
    for place in reversed(range(len(all_said))):
        said = all_said[place]
        last_of_turn = not said.continues or place + 1 == len(all_said)
        turn_ended_s = ended_s[place] if last_of_turn else turn_ended_s
        over = interruption(
            said, began_s[place], voices, pause_s, recording.events, recording.ended_s
        )
        next_s = began_s[place + 1] if place + 1 < len(all_said) else recording.ended_s
        parts.append(_Part(said, began_s[place], ended_s[place], turn_ended_s, next_s, over))
    return parts[::-1]


def _answer_until_s(parts: Sequence[_Part], place: int, ended_s: float) -> float:
    """Until when the agent's voice belongs to this part.

    A backchannel over an answer does not end it, if the agent talks on.
    """
    if parts[place].said.continues:
        return parts[place].next_s
    following = (part.began_s for part in parts[place + 1 :] if part.takes_floor)
    return next(following, max(ended_s, parts[place].ended_s))


def _answer(part: _Part, until_s: float, voices: Sequence[Voice]) -> list[Voice]:
    """The stretches of the agent's voice that came because of this part."""
    after_s = part.began_s
    if part.over is not None:
        quiet_from_s = part.over.quiet_from_s
        if quiet_from_s is None:
            if not part.said.owes_answer:
                return []
            quiet_from_s = _ignored_until_s(part, voices)
        after_s = max(after_s, quiet_from_s)
    # What began before is the tail of what the agent was saying already.
    return [voice for voice in voices if after_s <= voice.began_s < until_s]


def _ignored_until_s(part: _Part, voices: Sequence[Voice]) -> float:
    """When an agent that took no notice of the part had ended what it was saying."""
    reached_s = part.began_s
    for voice in voices:
        if voice.began_s >= part.ended_s and voice.began_s - reached_s >= IGNORED_SILENCE_S:
            break
        reached_s = max(reached_s, voice.ended_s)
    return max(reached_s, part.ended_s)
