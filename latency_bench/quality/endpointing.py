"""When the box decides that a caller has finished: too early, in time, or never."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from latency_bench.quality.clips import CLIP_HZ, Clip
from latency_bench.quality.degrade import room_tone, with_pause
from latency_bench.quality.line_codecs import PCMU, LineCodec, through
from latency_bench.quality.offline_ear import OfflineEar
from latency_bench.wire import MERGE_GAP_S, voiced_segments

Kind = Literal["complete", "pause inside", "pause put in", "incomplete"]

PAUSE_S = 0.3
"""A silence inside an utterance from which it counts as one with a pause."""
PAUSES_S = (0.4, 0.8, 1.2)
"""Put in between two words."""
WITHIN_S = (1.0, 1.5)
"""How soon after an incomplete utterance a decision counts as one too early."""
CURVE_S = (0.2, 0.3, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 1.75, 2.0)
LEAD_S = 0.5
AFTER_S = 2.5
"""Room tone before and after the utterance."""
TOLERANCE_S = 0.1
"""So much of an utterance's end may fade away under the detector's floor."""
MISSED_AFTER_S = 0.5
"""Beyond `max_wait_s`."""
DIP_S = 0.04
EDGE_S = 0.03
"""A recording whose voice begins or ends so near its own ends was cut there."""


@dataclass(frozen=True, slots=True)
class Case:
    """One utterance to judge."""

    clip: Clip
    kind: Kind
    pause_s: float | None = None
    """What was put in."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What the box made of it. Seconds from the utterance's last voiced sample."""

    case: Case
    false_ends: int
    """Decisions before the utterance was over."""
    wait_s: float | None
    """To the first decision after that; None where there was none in time."""
    judged: bool = False
    """That decision was the turn model's, not the clock's."""


def cases(complete: Sequence[Clip], incomplete: Sequence[Clip]) -> list[Case]:
    """Each clip as it is, and those without a pause with pauses put in.

    Recordings that were cut at their voice's end are left out: nobody knows when that was.
    """
    found: list[Case] = []
    for clip in filter(whole, complete):
        kind: Kind = "pause inside" if longest_pause_s(clip) >= PAUSE_S else "complete"
        found.append(Case(clip, kind))
    for pause_s in PAUSES_S:
        found += [
            Case(case.clip, "pause put in", pause_s)
            for case in found
            if case.kind == "complete" and boundary_s(case.clip) is not None
        ]
    return found + [Case(clip, "incomplete") for clip in incomplete]


def judge_all(
    asked: Sequence[Case], ear: OfflineEar, codec: LineCodec = PCMU
) -> Iterator[Endpoint]:
    """Each case through ``codec`` and the box's own ear."""
    for case in asked:
        pcm = case.clip.pcm
        if case.pause_s is not None and (at_s := boundary_s(case.clip)) is not None:
            pcm = with_pause(pcm, CLIP_HZ, at_s, case.pause_s)
        yield judge(case, through(_framed(pcm), CLIP_HZ, codec), codec.line_hz, ear)


def judge(case: Case, pcm: NDArray[np.int16], rate_hz: int, ear: OfflineEar) -> Endpoint:
    """One case; ``pcm`` as it reaches the box, with room tone around it."""
    segments = voiced_segments(pcm, rate_hz)
    over_s = (segments[-1].last + 1) / rate_hz if segments else len(pcm) / rate_hz
    limit_s = over_s + ear.settings.max_wait_s + MISSED_AFTER_S
    followed = ear.follow(pcm, rate_hz)
    early = [ended for ended in followed.ended if ended.at_s < over_s - TOLERANCE_S]
    later = [e for e in followed.ended if over_s - TOLERANCE_S <= e.at_s <= limit_s]
    if not later:
        return Endpoint(case, len(early), None)
    return Endpoint(case, len(early), later[0].at_s - over_s, later[0].judged)


def whole(clip: Clip) -> bool:
    """Whether the clip holds the utterance's beginning and end, and not only its middle."""
    first, last = clip.span
    edge = round(EDGE_S * CLIP_HZ)
    return first >= edge and last < len(clip.pcm) - edge


def longest_pause_s(clip: Clip) -> float:
    """The longest silence between its voiced stretches."""
    segments = voiced_segments(clip.pcm, CLIP_HZ)
    gaps = [
        (after.first - before.last) / CLIP_HZ
        for before, after in zip(segments, segments[1:], strict=False)
    ]
    return max([gap for gap in gaps if gap > MERGE_GAP_S], default=0.0)


def boundary_s(clip: Clip) -> float | None:
    """Between which words a pause is put in, in seconds.

    The boundary nearest the middle where the words' times are known; else the quietest 40 ms in
    the middle half. None where there is but one word.
    """
    first, last = (sample / CLIP_HZ for sample in clip.span)
    middle = (first + last) / 2
    if len(clip.words) > 1:
        edges = [
            (before[2] + after[1]) / 2
            for before, after in zip(clip.words, clip.words[1:], strict=False)
        ]
        return min(edges, key=lambda at_s: abs(at_s - middle))
    if len(clip.text.split()) < 2:
        return None
    quarter = (last - first) / 4
    begin, end = round((first + quarter) * CLIP_HZ), round((last - quarter) * CLIP_HZ)
    window = round(DIP_S * CLIP_HZ)
    if end - begin < 2 * window:
        return None
    squares = np.square(clip.pcm[begin:end].astype(np.float64))
    sums = np.convolve(squares, np.ones(window), mode="valid")
    return (begin + int(sums.argmin()) + window / 2) / CLIP_HZ


def boundaries_s(clip: Clip, count: int) -> list[float]:
    """``count`` boundaries between words, in seconds, spread over the sentence.

    Where the words' times are not known, `boundary_s`; fewer where there are fewer words.
    """
    if not clip.words:
        at_s = boundary_s(clip)
        return [] if at_s is None else [at_s] * count
    edges = [
        (before[2] + after[1]) / 2
        for before, after in zip(clip.words, clip.words[1:], strict=False)
    ]
    if len(edges) <= count:
        return edges
    return [edges[(2 * place + 1) * len(edges) // (2 * count)] for place in range(count)]


def _framed(pcm: NDArray[np.int16]) -> NDArray[np.int16]:
    lead, after = (room_tone(pcm, CLIP_HZ, seconds) for seconds in (LEAD_S, AFTER_S))
    return np.concatenate([lead, pcm, after])
