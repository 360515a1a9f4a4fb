"""How many calls the box carried on average, from when it opened. Pure; time is an argument."""

from decimal import Decimal

from agent.cost.breakdown import exact

SETTLED_S = 60.0
"""Younger than this, the box tells nothing about how busy it is."""


class Utilisation:
    """Counts call-seconds while calls come and go; times on one clock, in seconds."""

    def __init__(self, opened_s: float) -> None:
        self._opened_s = opened_s
        self._changed_s = opened_s
        self._calls = 0
        self._call_s = 0.0

    def began(self, at_s: float) -> None:
        """A call was connected."""
        self._count(at_s)
        self._calls += 1

    def over(self, at_s: float) -> None:
        """A call ended."""
        self._count(at_s)
        self._calls -= 1

    def mean_calls(self, now_s: float) -> Decimal | None:
        """Calls at once, on average since the box opened, the idle time included; None where
        there was none yet, or the box is too young to tell."""
        open_s = now_s - self._opened_s
        call_s = self._call_s + self._calls * (now_s - self._changed_s)
        if open_s < SETTLED_S or call_s <= 0:
            return None
        return exact(call_s) / exact(open_s)

    def _count(self, at_s: float) -> None:
        self._call_s += self._calls * (at_s - self._changed_s)
        self._changed_s = at_s
