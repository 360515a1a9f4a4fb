"""Who is told of calls as they go on: meters, budgets, exporters."""

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from agent.call import Call
    from agent.records.record import CallRecord, TurnRecord


class CallWatcher(Protocol):
    """Told of every call of the box, on its event loop; returns at once and raises nothing.

    `Box.watchers` holds them. What one raises all the same is logged, and the call goes on.
    """

    def began(self, call: "Call") -> None:
        """A call was connected."""

    def turn_over(self, call: "Call", turn: "TurnRecord") -> None:
        """A turn was measured and recorded."""

    def ended(self, call: "Call", record: "CallRecord") -> None:
        """A call is over and recorded."""
