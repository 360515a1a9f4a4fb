"""Tickets: what ties a carrier's WebSocket to the webhook that was verified. Pure.

A webhook is signed and the socket that follows is not. So the webhook's answer names an
address that nobody can guess, which opens one stream, once, within seconds.
"""

import secrets
from collections import OrderedDict
from dataclasses import dataclass

LIFETIME_S = 15.0
"""How long a carrier has from the webhook to its socket; it takes a second or two."""
KEPT_CALLS = 4096
"""How many calls are remembered as begun, so that a replay of their webhook opens nothing."""


class AlreadyBegun(Exception):
    """The call had its stream: its webhook is being replayed."""


@dataclass(frozen=True, slots=True)
class CarrierCall:
    """What a verified webhook says of a call."""

    carrier: str
    call_id: str
    """The carrier's own name of the call."""
    caller: str
    dialled: str


class Tickets:
    """Issued and not yet claimed. Times are in seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._waiting: dict[str, tuple[CarrierCall, float]] = {}
        self._begun: OrderedDict[tuple[str, str], None] = OrderedDict()

    def waiting(self, now_s: float) -> int:
        """How many calls are on their way here."""
        self._forget(now_s)
        return len(self._waiting)

    def issue(self, call: CarrierCall, now_s: float) -> str:
        """A token for ``call``; one issued for it before is void. Raises AlreadyBegun."""
        if (call.carrier, call.call_id) in self._begun:
            raise AlreadyBegun(f"call {call.call_id!r} had its stream")
        self._forget(now_s)
        # A carrier that got no answer in time asks again.
        for token, (other, _) in list(self._waiting.items()):
            if (other.carrier, other.call_id) == (call.carrier, call.call_id):
                del self._waiting[token]
        token = secrets.token_urlsafe(32)
        self._waiting[token] = call, now_s + LIFETIME_S
        return token

    def claim(self, carrier: str, token: str, now_s: float) -> CarrierCall | None:
        """The call that ``token`` was issued for; None where it is unknown, used or too old."""
        self._forget(now_s)
        call, _ = self._waiting.get(token, (None, 0.0))
        if call is None or call.carrier != carrier:
            return None
        del self._waiting[token]
        self._begun[call.carrier, call.call_id] = None
        while len(self._begun) > KEPT_CALLS:
            self._begun.popitem(last=False)
        return call

    def _forget(self, now_s: float) -> None:
        self._waiting = {t: kept for t, kept in self._waiting.items() if kept[1] > now_s}
