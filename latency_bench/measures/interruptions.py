"""Did the agent fall silent because the caller spoke over it, and when? Pure.

From outside, an agent that was cut off and an answer that happened to end look alike. A silence
counts as a stop only where it is longer than the agent's own pauses in this call; where nothing
was owed to the sound (a backchannel, noise) and the agent tells when it is interrupted, its word
settles whether the answer had simply ended. An agent may also fall silent for a moment to hear
what is said over it and go on: where it tells of interruptions and told of none, that is no stop.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from latency_bench.measures.voices import Voice, joined
from latency_bench.recording import Event, Said

STOP_SILENCE_S = 0.3
"""An agent that is silent for less has not stopped."""
STOP_SILENCE_MAX_S = 0.6
"""One with longer pauses of its own is taken to have stopped all the same: callers do not wait."""
STOP_LIMIT_S = 3.0
"""Later than this after the caller's first sound, it was not because of it."""
UNOWED_STOP_LIMIT_S = 1.5
"""The same for sounds that nothing is owed to."""
UNOWED_SILENCE_S = 1.0
PAUSE_MARGIN_S = 0.05
NO_PAUSE_S = 1.0
"""A silence this long lies between two answers, not inside one."""


@dataclass(frozen=True, slots=True)
class Interruption:
    """What a sound over the agent led to."""

    stopped: bool | None
    """None: the recording, or the call, ended before it could be told."""
    quiet_from_s: float | None
    """The agent's last voiced sample before it was silent; None where it went on."""


def own_pause_s(voices: Sequence[Voice], caller_began_s: Sequence[float]) -> float:
    """The agent's longest pause inside an answer that nobody spoke into; 0 without any."""
    longest = 0.0
    for before, after in zip(voices, voices[1:], strict=False):
        pause_s = after.began_s - before.ended_s
        disturbed = any(before.began_s <= at_s <= after.began_s for at_s in caller_began_s)
        if not disturbed and pause_s < NO_PAUSE_S:
            longest = max(longest, pause_s)
    return longest


def interruption(
    said: Said,
    began_s: float,
    voices: Sequence[Voice],
    pause_s: float,
    events: Sequence[Event],
    ended_s: float,
) -> Interruption | None:
    """What the part that began at ``began_s`` did to the agent; None: it was not speaking.

    ``pause_s``: the agent's longest own pause. ``ended_s``: the call's end.
    """
    if said.kind == "silence":
        return None
    hold_s = min(max(STOP_SILENCE_S, pause_s + PAUSE_MARGIN_S), STOP_SILENCE_MAX_S)
    limit_s = STOP_LIMIT_S
    if not said.owes_answer:
        hold_s, limit_s = UNOWED_SILENCE_S, UNOWED_STOP_LIMIT_S
    spells = joined(voices, hold_s)
    if said.owes_answer and _tells(events):
        spells = _with_holds(spells, began_s, events)
    spell = next((s for s in spells if s.began_s < began_s < s.ended_s), None)
    if spell is None:
        return None
    if spell.ended_s - began_s > limit_s:
        return Interruption(False, None)
    if spell is spells[-1] and ended_s - spell.ended_s < hold_s:
        return Interruption(None, None)
    if not said.owes_answer and _says_not(events, began_s, spell.ended_s):
        return Interruption(False, None)
    return Interruption(True, spell.ended_s)


def _with_holds(spells: Sequence[Voice], began_s: float, events: Sequence[Event]) -> list[Voice]:
    """The same with silences that the agent went on after taken for voice: it was held, no more."""
    made: list[Voice] = []
    for spell in spells:
        before = made[-1] if made else None
        if (
            before is not None
            and before.began_s < began_s < before.ended_s
            and spell.began_s - before.ended_s < UNOWED_SILENCE_S
            and not _told(events, began_s, spell.began_s)
        ):
            made[-1] = Voice(before.first, spell.last, before.began_s, spell.ended_s)
        else:
            made.append(spell)
    return made


def _tells(events: Sequence[Event]) -> bool:
    return bool({event.body.get("type") for event in events} & {"interrupted", "speaking"})


def _told(events: Sequence[Event], from_s: float, until_s: float) -> bool:
    return any(
        event.body.get("type") == "interrupted" and from_s <= event.at_s <= until_s
        for event in events
    )


def _says_not(events: Sequence[Event], began_s: float, quiet_from_s: float) -> bool:
    """Whether the agent tells of interruptions, and told of none here: the answer just ended."""
    return _tells(events) and not _told(events, began_s, quiet_from_s + UNOWED_SILENCE_S)
