"""How much a trunk carries: calls under way, and how fast calls are placed. Pure.

Limits of one's own stand before the carrier's: what a stolen token or a loop of retries can
spend in a night is bounded here.
"""

import math
from dataclasses import dataclass

from telephony.trunk import CallRefused, DialRefused, Fault, Trunk


@dataclass(slots=True)
class TokenBucket:
    """Lets ``per_minute`` events pass at once, then as many a minute, evenly."""

    per_minute: float
    tokens: float = math.nan
    """What is left of the burst; begins full."""
    at_s: float = 0.0

    def __post_init__(self) -> None:
        if math.isnan(self.tokens):
            self.tokens = self.capacity

    @property
    def capacity(self) -> float:
        """How many may pass at once; one at least, or a slow rate would pass none ever."""
        return max(1.0, self.per_minute)

    def take(self, now_s: float) -> float:
        """Takes a token: 0.0, or else the seconds until there is one; ``now_s`` never falls."""
        elapsed_s = max(0.0, now_s - self.at_s)
        self.tokens = min(self.capacity, self.tokens + elapsed_s * self.per_minute / 60)
        self.at_s = max(self.at_s, now_s)
        if self.tokens < 1:
            return (1 - self.tokens) * 60 / self.per_minute
        self.tokens -= 1
        return 0.0


class TrunkLoad:
    """Counts the calls of each trunk against its limits."""

    def __init__(self) -> None:
        self._calls: dict[str, int] = {}
        self._buckets: dict[str, TokenBucket] = {}

    def calls(self, trunk: Trunk) -> int:
        """Calls under way, in both directions."""
        return self._calls.get(trunk.name, 0)

    def begin_outbound(self, trunk: Trunk, number: str, now_s: float) -> None:
        """Counts a call that is about to be placed. Raises DialRefused where it is one too many."""
        if self.calls(trunk) >= trunk.max_calls:
            raise DialRefused(
                f"trunk `{trunk.name}` carries {self.calls(trunk)} calls already, so {number} is "
                f"not dialled; try again later, or raise `max_calls` in [trunks.{trunk.name}]",
                Fault.TOO_MANY,
            )
        bucket = self._buckets.setdefault(
            trunk.name, TokenBucket(trunk.calls_per_minute, at_s=now_s)
        )
        if wait_s := bucket.take(now_s):
            raise DialRefused(
                f"trunk `{trunk.name}` places {trunk.calls_per_minute:g} calls a minute, so "
                f"{number} is not dialled; try again in {math.ceil(wait_s)} s, or raise "
                f"`calls_per_minute` in [trunks.{trunk.name}]",
                Fault.TOO_MANY,
            )
        self._calls[trunk.name] = self.calls(trunk) + 1

    def begin_inbound(self, trunk: Trunk) -> None:
        """Counts a call that came in. Raises CallRefused (486) where it is one too many."""
        if self.calls(trunk) >= trunk.max_calls:
            raise CallRefused(
                f"trunk `{trunk.name}` carries {self.calls(trunk)} calls already; raise "
                f"`max_calls` in [trunks.{trunk.name}]",
                486,
                "Busy Here",
            )
        self._calls[trunk.name] = self.calls(trunk) + 1

    def end(self, trunk: Trunk) -> None:
        """A call of this trunk is over."""
        self._calls[trunk.name] = max(0, self.calls(trunk) - 1)
