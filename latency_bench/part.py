"""Something that the caller does in a call, ready to be sent."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import soxr
from numpy.typing import NDArray

from latency_bench.utterance import WIRE_RATE_HZ, Utterance
from latency_bench.wire import voiced_segments

PartKind = Literal["speech", "noise", "keys", "silence"]
When = Literal["after", "over", "continues"]
"""``after``: once the agent has stopped, and ``at_s`` later where that is longer than the caller's
usual pause; ``over``: ``at_s`` after its voice began; ``continues``: ``at_s`` after the part before
ended, whatever the agent does, as the same turn."""


@dataclass(frozen=True, slots=True)
class Part:
    """One thing to do.

    ``pcm``: int16 mono, shape (samples,), at ``rate_hz``; empty for keys. ``first`` and ``last``:
    its first and last voiced samples; for silence and keys, of the whole.
    """

    step: int
    kind: PartKind
    pcm: NDArray[np.int16]
    rate_hz: int
    first: int
    last: int
    when: When = "after"
    at_s: float = 0.0
    owes_answer: bool = True
    """Whether the agent has to answer; the caller then waits for it."""
    wait_s: float = 10.0
    """No voice by then: the turn is missed."""
    text: str | None = None
    keys: str = ""
    source: str = ""

    def at_rate(self, rate_hz: int) -> "Part":
        """The same at the line's rate; its ends are found again in what will be sent.

        A line that carries no high tones loses the end of a sharp "s": that is not voiced there.
        """
        if rate_hz == self.rate_hz or not len(self.pcm):
            return replace(self, rate_hz=rate_hz) if rate_hz != self.rate_hz else self
        pcm = resampled(self.pcm, self.rate_hz, rate_hz)
        scale = rate_hz / self.rate_hz
        first, last = round(self.first * scale), min(round(self.last * scale), len(pcm) - 1)
        if self.kind == "speech" and (found := voiced_segments(pcm, rate_hz)):
            first, last = found[0].first, found[-1].last
        return replace(self, pcm=pcm, rate_hz=rate_hz, first=first, last=last)


def resampled(pcm: NDArray[np.int16], from_hz: int, to_hz: int) -> NDArray[np.int16]:
    """Mono ``pcm``, shape (samples,), at another rate, in one go."""
    found: NDArray[np.int16] = pcm if from_hz == to_hz else soxr.resample(pcm, from_hz, to_hz)
    return found


def spoken_part(utterance: Utterance, step: int = 0, **changes: object) -> Part:
    """The utterance as a part; ``changes`` are other fields of it."""
    part = Part(
        step=step,
        kind="speech",
        pcm=utterance.pcm,
        rate_hz=WIRE_RATE_HZ,
        first=utterance.first_voiced,
        last=utterance.last_voiced,
        text=utterance.expected,
        source=utterance.source,
    )
    # Fields by name, which the type of ``replace`` cannot say.
    return replace(part, **changes)  # type: ignore[arg-type]
