"""The calls under way, as the operator's pages show them."""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from agent.records.record import to_text
from agent.usage import Usage

if TYPE_CHECKING:
    from agent.box import Box
    from agent.call import Call
    from agent.records.record import CallRecord, TurnRecord


@dataclass(slots=True)
class _Followed:
    call: "Call"
    began_at: datetime
    turn: "TurnRecord | None" = None
    """The latest that is over."""


class LiveCalls:
    """Follows a box's calls as one of its watchers; lives on its event loop."""

    def __init__(self, box: "Box") -> None:
        self._box = box
        self._followed: dict[str, _Followed] = {}

    # -- CallWatcher

    def began(self, call: "Call") -> None:
        """A call was connected."""
        self._followed[call.call_id] = _Followed(call, datetime.now(UTC))

    def turn_over(self, call: "Call", turn: "TurnRecord") -> None:
        """A turn was measured and recorded."""
        if call.call_id in self._followed:
            self._followed[call.call_id].turn = turn

    def ended(self, call: "Call", record: "CallRecord") -> None:
        """A call is over and recorded."""
        self._followed.pop(call.call_id, None)

    # -- the pages

    def find(self, call_id: str) -> "Call | None":
        """A call under way; None where there is none of that name."""
        followed = self._followed.get(call_id)
        return followed.call if followed else None

    def names(self) -> frozenset[str]:
        """The calls under way."""
        return frozenset(self._followed)

    def snapshots(self) -> "list[LiveCall]":
        """What stands at this moment, the longest call first."""
        # A call whose task failed was never told to have ended.
        for call_id in [each for each in self._followed if self._box.run_of(each) is None]:
            del self._followed[call_id]
        return [_snapshot(each) for each in self._followed.values()]


@dataclass(frozen=True, slots=True)
class LiveCall:
    """One call at one moment. Pricing it takes long enough to be done beside the event loop."""

    call: "Call"
    began_at: datetime
    usage: Usage
    turn: "TurnRecord | None"
    doing: str

    def to_json(self) -> dict[str, Any]:
        """JSON types only; dollars as strings, exact."""
        call, turn = self.call, self.turn
        outbound = call.origin.direction == "outbound"
        rented = call.bill.rented_usd(self.usage)
        return {
            "call_id": call.call_id,
            "started_at": to_text(self.began_at),
            "call_s": self.usage.call_s,
            "door": call.door,
            "direction": call.origin.direction,
            "caller": call.caller,
            "dialled": call.origin.dialled,
            "trunk": call.origin.trunk,
            "profile": call.origin.profile,
            "agent": call.config.agent.name,
            "workflow": call.config.agent.workflow,
            "tenant": call.config.agent.tenant,
            "outcome": call.outcome,
            "doing": self.doing,
            "turns": self.usage.turns,
            "heard": turn.heard if turn else "",
            "answer": turn.answer if turn else "",
            "latency_ms": turn.trace.total_ms if turn else None,
            "owned_usd": _text(call.bill.owned_usd(self.usage, outbound=outbound)),
            "rented_usd": {stack: _text(usd) for stack, usd in rented.items()},
        }


def _snapshot(followed: _Followed) -> LiveCall:
    call = followed.call
    return LiveCall(call, followed.began_at, call.usage, followed.turn, _doing(call))


def _doing(call: "Call") -> str:
    if call.on_hold:
        return "on hold"
    if call.agent_speaking:
        return "speaking"
    return "thinking" if call.agent_busy else "listening"


def _text(usd: Decimal | None) -> str | None:
    return None if usd is None else format(usd, "f")
