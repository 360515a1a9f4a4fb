"""Keeps received audio on the wall clock where packets were lost.

The SIP stack hands over what arrived, without times: lost packets and the gaps that DTMF
leaves are simply missing. A pipeline that counts time in samples would then run late, and a
recording would drift against its other side. Time is an argument; nothing here waits.

A lost packet makes the stream late for good, a delayed one only until it has come. How long
lateness must last before it counts as loss follows from how much of it has gone away by itself
of late: a tenth of a second on a steady line, a second and more in heavy jitter.
"""

import math
from collections import deque

TOLERANCE_S = 0.02
"""Less than this is left alone; what is put in or left out is a multiple of it."""
HOLE_S = 0.08
"""No audio for this long is filled at once: the far end sends nothing while it is silent, or
the network does."""
STEADY_S = 0.1
"""How long lateness must last on a line without jitter."""
JITTERY_S = 1.5
"""How long at most."""
JITTER_WEIGHT = 25.0
"""Seconds of patience for a second of jitter: in 60 ms of it, 50 packets must all be late."""
EARLY_S = 0.4
"""How much longer the stream must be early before some is left out, and how long between two
such times: what came late after all is made up for little by little."""
FIRST_JITTER_S = 0.03
"""What is taken for granted at the beginning."""
FORGET_S = 10.0
"""In this time a jitter that was seen counts for a third."""


class Continuity:
    """One direction of one call."""

    def __init__(self, sample_rate_hz: int) -> None:
        self._rate_hz = sample_rate_hz
        self._began_s = 0.0
        self._delivered = 0
        """Samples since ``_began_s``, silence and drops counted in."""
        self._heard_at_s: float | None = None
        self._jitter_s = FIRST_JITTER_S
        """The most lateness that went away by itself, of late."""
        self._late_s: deque[tuple[float, float]] = deque()
        """(when, how late the stream was) at each arrival, over the last ``JITTERY_S``."""
        self._early_since_s = 0.0

    def restart(self) -> None:
        """Forgets the clock: a call resumed from hold begins anew."""
        self._heard_at_s = None

    def take(self, samples: int, now_s: float) -> int:
        """``samples`` arrived by ``now_s``; called often, with 0 where none did.

        Returns the samples of silence that belong before them; where negative, how many of
        them to leave out because silence was put in for what came late after all.
        """
        if self._heard_at_s is None:
            if samples:
                self._begin(samples, now_s)
            return 0
        if not samples:
            hole = now_s - self._heard_at_s > HOLE_S
            return self._shift(self._lateness_s(now_s)) if hole else 0
        since_s, self._heard_at_s = now_s - self._heard_at_s, now_s
        self._delivered += samples
        late_s = self._lateness_s(now_s)
        self._watch(late_s, since_s, now_s)
        patience_s = min(
            JITTERY_S, STEADY_S + JITTER_WEIGHT * max(0.0, self._jitter_s - TOLERANCE_S)
        )
        if late_s > -TOLERANCE_S:
            self._early_since_s = now_s
        elif now_s - self._early_since_s >= EARLY_S + patience_s:
            self._early_since_s = now_s
            return self._shift(max(late_s, -TOLERANCE_S, -samples / self._rate_hz))
        if late_s < TOLERANCE_S or now_s - self._late_s[0][0] < patience_s:
            return 0
        least_s = min(late for at, late in self._late_s if now_s - at <= patience_s)
        return self._shift(least_s) if least_s >= TOLERANCE_S else 0

    def _begin(self, samples: int, now_s: float) -> None:
        self._heard_at_s = self._early_since_s = now_s
        self._began_s = now_s - samples / self._rate_hz
        self._delivered = samples
        self._late_s.clear()
        self._late_s.append((now_s, 0.0))

    def _lateness_s(self, now_s: float) -> float:
        return (now_s - self._began_s) - self._delivered / self._rate_hz

    def _watch(self, late_s: float, since_s: float, now_s: float) -> None:
        self._jitter_s *= math.exp(-since_s / FORGET_S)
        if late_s < self._late_s[-1][1]:
            recovered_s = max(late for _, late in self._late_s) - late_s
            self._jitter_s = max(self._jitter_s, recovered_s)
        self._late_s.append((now_s, late_s))
        # One that is older stays: it shows that there is a whole window.
        while now_s - self._late_s[1][0] > JITTERY_S:
            self._late_s.popleft()

    def _shift(self, late_s: float) -> int:
        """Puts in or leaves out whole steps of ``late_s``; the samples of them."""
        samples = int(round(late_s / TOLERANCE_S, 6)) * int(TOLERANCE_S * self._rate_hz)
        if samples:
            self._delivered += samples
            moved_s = samples / self._rate_hz
            self._late_s = deque((at, late - moved_s) for at, late in self._late_s)
        return samples
