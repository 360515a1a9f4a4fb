"""Who was voiced when, as stretches of time on the caller's clock. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from latency_bench.recording import CallRecording, Said
from latency_bench.wire import Segment, Stream

TOO_LOUD = "the line is too loud to find the agent's voice in it"
"""The note of a call in which nothing could be said of the agent's voice."""
TOO_LOUD_SHARE = 0.98
TOO_LOUD_LEAST_S = 5.0


@dataclass(frozen=True, slots=True)
class Voice:
    """A stretch of the agent's voice: samples of the received stream, both voiced, and their
    times."""

    first: int
    last: int
    began_s: float
    ended_s: float


Interval = tuple[float, float]
"""From, to, in seconds."""


def voices_of(stream: Stream, segments: Sequence[Segment] | None = None) -> list[Voice]:
    """The stretches of speech in ``stream`` with their times, in order.

    ``segments``: those of the stream, where they are known already.
    """
    found = stream.segments if segments is None else segments
    voices = []
    for segment in found:
        began_s = stream.time_s(segment.first)
        # Packets that overtook one another leave a line of time that goes back.
        ended_s = max(began_s, stream.time_s(segment.last))
        voices.append(Voice(segment.first, segment.last, began_s, ended_s))
    return voices


def is_too_loud(stream: Stream, segments: Sequence[Segment]) -> bool:
    """Whether the agent's sound is voiced from end to end, so that no answer stands out in it."""
    if len(stream.pcm) < TOO_LOUD_LEAST_S * stream.rate_hz:
        return False
    voiced = sum(segment.last - segment.first + 1 for segment in segments)
    return voiced >= TOO_LOUD_SHARE * len(stream.pcm)


def joined(voices: Iterable[Voice], silence_s: float) -> list[Voice]:
    """The same with silences shorter than ``silence_s`` taken for voice."""
    spells: list[Voice] = []
    for voice in voices:
        if spells and voice.began_s - spells[-1].ended_s < silence_s:
            before = spells[-1]
            ended_s = max(before.ended_s, voice.ended_s)
            spells[-1] = Voice(before.first, voice.last, before.began_s, ended_s)
        else:
            spells.append(voice)
    return spells


def caller_voices(recording: CallRecording) -> dict[int, list[Interval]]:
    """Where the caller was voiced in each part, by the part's number; of spoken parts alone.

    Noise is not taken for a voice. Under a loud background a part counts from end to end.
    """
    sent = recording.sent
    segments = sent.segments if recording.said else []
    return {
        said.part: _voiced(sent, segments, said) for said in recording.said if said.kind == "speech"
    }


def shared_s(a: Iterable[Interval], b: Sequence[Interval]) -> float:
    """For how long one of ``a`` and one of ``b`` lasted at once."""
    return sum(
        max(0.0, min(a_to, b_to) - max(a_from, b_from)) for a_from, a_to in a for b_from, b_to in b
    )


def longest_silence_s(voiced: Iterable[Interval], from_s: float, until_s: float) -> float:
    """The longest time between ``from_s`` and ``until_s`` without any of ``voiced``."""
    longest, reached_s = 0.0, from_s
    for began_s, ended_s in sorted(voiced):
        if began_s >= until_s:
            break
        longest = max(longest, began_s - reached_s)
        reached_s = max(reached_s, ended_s)
    return max(longest, until_s - reached_s, 0.0)


def _voiced(sent: Stream, segments: Sequence[Segment], said: Said) -> list[Interval]:
    inside = [
        (max(segment.first, said.first), min(segment.last, said.last))
        for segment in segments
        if segment.last >= said.first and segment.first <= said.last
    ]
    return [(sent.time_s(first), sent.time_s(last)) for first, last in inside]
