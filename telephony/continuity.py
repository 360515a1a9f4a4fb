"""Keeps received audio on the wall clock where packets were lost.

The SIP stack hands over what arrived, without times: lost packets and the gaps that DTMF
leaves are simply missing. A pipeline that counts time in samples would then run late, and a
recording would drift against its other side. Time is an argument; nothing here waits.
"""

from collections import deque

TOLERANCE_S = 0.02
"""Less than this is left alone."""
HOLE_S = 0.08
"""No audio for this long is filled at once: the far end sends nothing while it is silent, or
the network does."""
WINDOW_S = 0.4
"""Lateness must last this long before it counts as loss and not as jitter."""
RESUMED_S = 1.0
"""A larger jump than this is a new beginning, not a loss."""


class Continuity:
    """One direction of one call."""

    def __init__(self, sample_rate_hz: int) -> None:
        self._rate_hz = sample_rate_hz
        self._began_s = 0.0
        self._delivered = 0
        """Samples since ``_began_s``, silence and drops counted in."""
        self._heard_at_s: float | None = None
        self._late_s: deque[tuple[float, float]] = deque()
        """(when, how late the stream was), over the last ``WINDOW_S``."""

    def restart(self) -> None:
        """Forgets the clock: a call resumed from hold begins anew."""
        self._heard_at_s = None

    def take(self, samples: int, now_s: float) -> int:
        """``samples`` arrived by ``now_s``; called often, with 0 where none did.

        Returns the samples of silence that belong before them; where negative, how many to
        leave out because silence was put in for what came late after all.
        """
        if self._heard_at_s is None:
            if samples:
                self._begin(samples, now_s)
            return 0
        hole = not samples and now_s - self._heard_at_s > HOLE_S
        if samples:
            self._heard_at_s = now_s
            self._delivered += samples
        late_s = (now_s - self._began_s) - self._delivered / self._rate_hz
        if hole:
            return self._correct(late_s)
        self._late_s.append((now_s, late_s))
        while now_s - self._late_s[0][0] > WINDOW_S:
            self._late_s.popleft()
        if now_s - self._late_s[0][0] < 0.9 * WINDOW_S:
            return 0
        least_s = min(late for _, late in self._late_s)
        most_s = max(late for _, late in self._late_s)
        if least_s >= TOLERANCE_S and samples:
            return self._correct(least_s)
        if most_s <= -TOLERANCE_S and samples:
            # Never more than what just arrived.
            return -min(samples, -self._correct(max(most_s, -samples / self._rate_hz)))
        return 0

    def _begin(self, samples: int, now_s: float) -> None:
        self._heard_at_s = now_s
        self._began_s = now_s - samples / self._rate_hz
        self._delivered = samples
        self._late_s.clear()

    def _correct(self, late_s: float) -> int:
        frame = int(TOLERANCE_S * self._rate_hz)
        samples = int(late_s * self._rate_hz / frame) * frame
        self._delivered += samples
        if samples:
            self._late_s.clear()
        return samples
