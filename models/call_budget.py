"""How many calls fit, from what a turn costs. Pure.

The utilisation law: a resource is busy for the share of time that its work arrives in (Denning
and Buzen, The Operational Analysis of Queueing Network Models, 1978). The resource that is full
first bounds the calls, however well the rest is arranged; how long anybody waits below that
bound, only a measurement or a simulation tells.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

MOST_BUSY = 0.7
"""At a server that is busier than this, more wait than are served at once."""


@dataclass(frozen=True, slots=True)
class Resource:
    """Something that calls share: cores, one engine's thread, an event loop."""

    turn_s: float = 0.0
    """Seconds of it that each turn takes."""
    standing: float = 0.0
    """Share of it that a call takes all the time, turns or not."""
    width: float = 1.0
    """How many of it there are."""

    def call(self, turn_every_s: float) -> float:
        """Share of the whole that one call takes."""
        return (self.turn_s / turn_every_s + self.standing) / self.width


@dataclass(frozen=True, slots=True)
class Budget:
    """What fits."""

    calls: int
    bound: str
    """The resource that is full first."""
    busy: Mapping[str, float]
    """Share of each resource that so many calls take."""


def calls_that_fit(
    resources: Mapping[str, Resource], turn_every_s: float, most_busy: float = MOST_BUSY
) -> Budget:
    """The most calls, each with a turn every so often, that leave no resource busier.

    Raises ValueError where nothing costs anything, or ``turn_every_s`` is not positive.
    """
    if turn_every_s <= 0:
        raise ValueError("turns must come some time apart")
    shares = {name: each.call(turn_every_s) for name, each in resources.items()}
    bound = max(shares, key=lambda name: shares[name], default="")
    if not bound or shares[bound] <= 0:
        raise ValueError("a call that costs nothing fits without end")
    # The least over a whole number is rounding, and no reason to lose a call.
    calls = math.floor(most_busy / shares[bound] + 1e-9)
    return Budget(calls, bound, {name: calls * share for name, share in shares.items()})
