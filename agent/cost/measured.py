"""What recorded calls used and cost, together and by the minute. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

from agent.cost.bill import Bill
from agent.cost.breakdown import CostBreakdown, exact
from agent.cost.owned import View, energy_is_modelled, joules
from agent.records.record import CallRecord
from agent.usage import Usage


@dataclass(frozen=True, slots=True)
class Measured:
    """Calls of a stretch of time."""

    calls: int
    usage: Usage
    """Of all of them together."""
    from_at: datetime
    to_at: datetime
    mean_calls: Decimal | None
    """Calls at once on average, the empty hours included; None without calls."""
    owned: Mapping[View, CostBreakdown | None]
    """Bills of all calls added up; None where a view's share was not measured."""
    rented: Mapping[str, CostBreakdown]
    """By stack: each call billed by itself, and the bills added up."""
    joules: Decimal
    """Above the idle draw, of all of them."""
    energy: Literal["measured", "modelled", "partly modelled"]
    """Whether counters of the machine told them, of each call or of some."""

    @property
    def minutes(self) -> Decimal:
        """Connected minutes."""
        return exact(self.usage.call_s) / 60

    def owned_usd_per_min(self, view: View) -> Decimal | None:
        """A minute on this box; None where it is not known."""
        cost = self.owned.get(view)
        return None if cost is None else cost.usd_per_min(self.usage.call_s)

    def rented_usd_per_min(self, stack: str) -> Decimal | None:
        """A minute on a rented stack; None where it is not known."""
        return self.rented[stack].usd_per_min(self.usage.call_s)


def measure(
    records: Iterable[CallRecord],
    bill: Bill,
    from_at: datetime | None = None,
    to_at: datetime | None = None,
    *,
    mean_calls: Decimal | None = None,
) -> Measured | None:
    """What calls that are over used and cost; None where there are none.

    ``from_at``, ``to_at``: the stretch of time that the box was there for; None: from the first
    call's beginning to the last one's end, which leaves out the idle time around them.
    ``mean_calls``: calls at once on average, others' on the box included; None: these alone.
    """
    over = [each for each in records if each.ended_at is not None and each.usage.call_s > 0]
    if not over:
        return None
    ends = [each.ended_at for each in over if each.ended_at is not None]
    begins_at = from_at or min(each.started_at for each in over)
    ends_at = to_at or max(ends)
    usage = sum((each.usage for each in over), Usage())
    seconds = (ends_at - begins_at).total_seconds()
    mean = mean_calls
    if mean is None and seconds > 0:
        mean = exact(usage.call_s) / exact(seconds)
    return Measured(
        calls=len(over),
        usage=usage,
        from_at=begins_at,
        to_at=ends_at,
        mean_calls=mean,
        owned=_owned(over, bill, mean),
        rented=_rented(over, bill),
        joules=sum((joules(each.usage, bill.box) for each in over), Decimal(0)),
        energy=_energy(over),
    )


def _energy(
    records: Sequence[CallRecord],
) -> Literal["measured", "modelled", "partly modelled"]:
    modelled = sum(energy_is_modelled(each.usage) for each in records)
    if modelled == len(records):
        return "modelled"
    return "partly modelled" if modelled else "measured"


def _owned(
    records: Sequence[CallRecord], bill: Bill, mean_calls: Decimal | None
) -> dict[View, CostBreakdown | None]:
    total: dict[View, CostBreakdown | None] = {}
    for record in records:
        outbound = record.direction == "outbound"
        for view, cost in bill.owned(
            record.usage, outbound=outbound, mean_calls=mean_calls
        ).items():
            so_far = total.get(view)
            total[view] = cost if so_far is None or cost is None else so_far + cost
    return total


def _rented(records: Sequence[CallRecord], bill: Bill) -> dict[str, CostBreakdown]:
    total: dict[str, CostBreakdown] = {}
    for record in records:
        for stack, cost in bill.rented(record.usage).items():
            total[stack] = total[stack] + cost if stack in total else cost
    return total
