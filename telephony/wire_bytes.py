"""Bytes of media that a call's wire carried, from reports that come now and then. Pure.

The SIP stack tells its counters with each RTCP report of the far end, which come every few seconds
if at all, and as the call ends. Between two reports, and before the first, bytes are reckoned on at
the rate seen last; the next report puts that right.
"""

BYTES_A_S = 8000.0
"""Of G.711 and G.722 each way: 64 kbit/s (RFC 3551, 4.5)."""

RATE_OVER_S = 1.0
"""A shorter time tells no rate: packets come one by one."""


class WireBytes:
    """Counts both directions; time is an argument, of the monotonic clock."""

    def __init__(self, began_s: float, bytes_a_s: float = BYTES_A_S) -> None:
        """``bytes_a_s``: the rate until something is reported; 0 where the codec has none."""
        self._at_s = began_s
        self._counted = (0.0, 0.0)
        self._rates = (bytes_a_s, bytes_a_s)
        self._told = (0, 0)
        self._over = False

    def report(self, received: int, sent: int, at_s: float) -> None:
        """The stack's counters since the call began, at ``at_s``."""
        seconds = at_s - self._at_s
        if self._over or seconds <= 0:
            return
        now = (float(received), float(sent))
        if now[0] < self._counted[0] or now[1] < self._counted[1]:
            # The streams were replaced, and the stack counts anew: what was counted stays.
            self._counted = self._reckoned(at_s)
        else:
            if seconds >= RATE_OVER_S:
                self._rates = (
                    (now[0] - self._counted[0]) / seconds,
                    (now[1] - self._counted[1]) / seconds,
                )
            self._counted = now
        self._at_s = at_s

    def end(self, at_s: float) -> None:
        """The call is over: nothing more is carried."""
        if not self._over:
            self._counted = self._reckoned(at_s)
            self._over = True

    def at(self, now_s: float) -> tuple[int, int]:
        """Bytes received and sent so far; never fewer than were told before."""
        received, sent = self._counted if self._over else self._reckoned(now_s)
        self._told = (max(self._told[0], round(received)), max(self._told[1], round(sent)))
        return self._told

    def _reckoned(self, now_s: float) -> tuple[float, float]:
        seconds = max(0.0, now_s - self._at_s)
        return (
            self._counted[0] + self._rates[0] * seconds,
            self._counted[1] + self._rates[1] * seconds,
        )
