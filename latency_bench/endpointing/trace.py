"""Utterances of which it is known when they are over, and where their speaker only paused."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from agent.expected_answer import ExpectedAnswer
from latency_bench.quality.clips import CLIP_HZ, SYNTHESISED, Clip
from latency_bench.quality.degrade import room_tone, with_pause
from latency_bench.quality.endpointing import boundaries_s, whole
from latency_bench.quality.line_codecs import LineCodec, through
from latency_bench.wire import voiced_segments

Kind = Literal["as said", "pause put in", "cut"]

PAUSES_S = (0.4, 0.8, 1.2)
"""Put in between two words, each at another place of the sentence."""
INNER_PAUSE_S = 0.2
"""A silence between two voiced stretches counts as a pause from this length."""
LEAD_S = 0.5
AFTER_S = 2.5
"""Room tone before and after the utterance."""
TOLERANCE_S = 0.1
"""So much of an utterance's end may fade away under the detector's floor."""

ASKED_FOR = {
    "phone-number": ExpectedAnswer.PHONE_NUMBER,
    "first-name-spelled": ExpectedAnswer.SPELLING,
    "last-name-spelled": ExpectedAnswer.SPELLING,
    "city-spelled": ExpectedAnswer.SPELLING,
    "street-spelled": ExpectedAnswer.SPELLING,
    "mixed": ExpectedAnswer.SPELLING,
    "date": ExpectedAnswer.NUMBER,
    "zip": ExpectedAnswer.NUMBER,
    "street-number": ExpectedAnswer.NUMBER,
    "yes-no": ExpectedAnswer.YES_NO,
}
"""What was asked of one who answers so."""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time in seconds of the audio."""

    begin_s: float
    end_s: float


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """One utterance as it reaches the box, and what is known of it."""

    name: str
    group: str
    kind: Kind
    expected: ExpectedAnswer
    """What an agent has asked for whom one answers so."""
    pcm: NDArray[np.int16]
    """Mono, shape (samples,)."""
    rate_hz: int
    over_s: float
    """Its last voiced sample; of a cut one, where it breaks off."""
    pauses: tuple[Span, ...]
    """Silences after which the utterance goes on: the one put in, else its speaker's own."""

    @property
    def complete(self) -> bool:
        """Whether the speaker has finished at ``over_s``."""
        return self.kind != "cut"


def traces(
    complete: Sequence[Clip], incomplete: Sequence[Clip], codec: LineCodec
) -> Iterator[Trace]:
    """Each clip as it was said; those whose words' times are known also with pauses put in.

    Recordings that were cut at their voice's end are left out: nobody knows when that was.
    """
    for clip in filter(whole, complete):
        yield _trace(clip, "as said", clip.pcm, codec)
        # In a recording without its words' times it might fall within a word.
        known = clip.words or clip.group == SYNTHESISED
        places = boundaries_s(clip, len(PAUSES_S)) if known else []
        for pause_s, at_s in zip(PAUSES_S, places, strict=False):
            pcm = with_pause(clip.pcm, CLIP_HZ, at_s, pause_s)
            yield _trace(clip, "pause put in", pcm, codec, Span(at_s, at_s + pause_s))
    for clip in incomplete:
        yield _trace(clip, "cut", clip.pcm, codec)


def half(speaker: str) -> int:
    """0 or 1: which half of the speakers this one is in, the same on every run."""
    return hashlib.blake2b(speaker.encode(), digest_size=1).digest()[0] % 2


def _trace(
    clip: Clip,
    kind: Kind,
    pcm: NDArray[np.int16],
    codec: LineCodec,
    put_in: Span | None = None,
) -> Trace:
    lead, after = (room_tone(pcm, CLIP_HZ, seconds) for seconds in (LEAD_S, AFTER_S))
    heard = through(np.concatenate([lead, pcm, after]), CLIP_HZ, codec)
    rate_hz = codec.line_hz
    segments = voiced_segments(heard, rate_hz, INNER_PAUSE_S)
    over_s = (segments[-1].last + 1) / rate_hz if segments else len(heard) / rate_hz
    pauses = tuple(
        Span((before.last + 1) / rate_hz, after.first / rate_hz)
        for before, after in zip(segments, segments[1:], strict=False)
    )
    if put_in is not None:
        # The speaker's own are counted once, in the sentence as it was said.
        begin_s, end_s = put_in.begin_s + LEAD_S, put_in.end_s + LEAD_S
        pauses = tuple(p for p in pauses if p.begin_s < end_s and p.end_s > begin_s)
    return Trace(clip.name, clip.group, kind, expected(clip), heard, rate_hz, over_s, pauses)


def expected(clip: Clip) -> ExpectedAnswer:
    """What was asked, by the recording's categories; open where they do not say."""
    found = [kind for category, kind in ASKED_FOR.items() if category in clip.categories]
    return found[0] if found else ExpectedAnswer.OPEN
