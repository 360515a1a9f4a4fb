"""Outcomes -> a point of the curve: how long callers wait against how many are cut off. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from latency_bench.endpointing.replay import Outcome
from latency_bench.quality.word_errors import share

SOON_S = 1.0
"""A turn ended so soon after a sentence that breaks off counts as one cut off."""
PATIENT_S = 1.5


@dataclass(frozen=True, slots=True)
class Cutoffs:
    """``cut`` of ``pauses`` were taken for the end of the turn."""

    pauses: int
    cut: int

    @property
    def rate(self) -> float | None:
        """0..1; None of nothing."""
        return self.cut / self.pauses if self.pauses else None

    def as_json(self) -> dict[str, Any]:
        """With its rate and the rate's 95% confidence interval."""
        rate = share(self.cut, self.pauses)
        interval = None if rate is None else [round(rate.low, 4), round(rate.high, 4)]
        value = None if self.rate is None else round(self.rate, 4)
        return {**asdict(self), "rate": value, "interval": interval}


@dataclass(frozen=True, slots=True)
class Point:
    """One rule at one setting."""

    utterances: int
    """Complete ones."""
    missed: int
    """Of those, never ended."""
    p50_ms: float | None
    p95_ms: float | None
    longest_ms: float | None
    """From a complete utterance's last voiced sample to the decision."""
    long_waits: int
    """Of them, over `PATIENT_S`."""
    own: Cutoffs
    """The speakers' own pauses."""
    put_in: Cutoffs
    broken_off: Cutoffs
    """Sentences cut on purpose, ended within `SOON_S`."""
    utterances_cut: int
    """As they were said, and ended before they were over."""
    elsewhere: int
    """Turns ended within what an energy detector hears as speech."""

    @property
    def all_pauses(self) -> Cutoffs:
        """The speakers' own and those put in."""
        own, put_in = self.own, self.put_in
        return Cutoffs(own.pauses + put_in.pauses, own.cut + put_in.cut)

    def as_json(self) -> dict[str, Any]:
        """One row of the report."""
        return {
            "utterances": self.utterances,
            "missed": self.missed,
            "utterances_cut": self.utterances_cut,
            "wait_ms": {"p50": self.p50_ms, "p95": self.p95_ms, "longest": self.longest_ms},
            "waits_over_1500_ms": self.long_waits,
            "false_cutoffs": {
                "all": self.all_pauses.as_json(),
                "own": self.own.as_json(),
                "put_in": self.put_in.as_json(),
                "broken_off": self.broken_off.as_json(),
                "elsewhere": self.elsewhere,
            },
        }


def point(outcomes: Sequence[Outcome]) -> Point:
    """All ``outcomes`` of one rule at one setting.

    Waits are those after utterances as they were said, once each; a pause counts as cut off where
    a turn ended in it.
    """
    said = [one for one in outcomes if one.trace.kind == "as said"]
    waits = [one.wait_s * 1000 for one in said if one.wait_s is not None]
    broken_off = [one for one in outcomes if one.trace.kind == "cut"]
    spread = (
        [round(float(value), 1) for value in np.percentile(waits, [50, 95, 100])] if waits else []
    )
    p50, p95, longest = spread or (None, None, None)
    return Point(
        utterances=len(said),
        missed=len(said) - len(waits),
        p50_ms=p50,
        p95_ms=p95,
        longest_ms=longest,
        long_waits=sum(wait > PATIENT_S * 1000 for wait in waits),
        own=_cutoffs(flag for one in said for flag in one.cut),
        put_in=_cutoffs(
            flag for one in outcomes if one.trace.kind == "pause put in" for flag in one.cut
        ),
        broken_off=_cutoffs(one.wait_s is not None and one.wait_s < SOON_S for one in broken_off),
        utterances_cut=sum(one.elsewhere > 0 or any(one.cut) for one in said),
        elsewhere=sum(one.elsewhere for one in said),
    )


def _cutoffs(flags: Iterable[bool]) -> Cutoffs:
    found = list(flags)
    return Cutoffs(len(found), sum(found))
