"""Recorded calls, grouped, with what each group cost here and rented. Pure."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from agent.cost.bill import Bill
from agent.cost.measured import Measured, measure
from agent.cost.owned import View
from agent.records.record import CallRecord

NOBODY = "(none)"
"""Stands for a call that has no such thing."""

BY: Mapping[str, Callable[[CallRecord], str]] = {
    "call": lambda call: call.call_id,
    "caller": lambda call: call.caller,
    "profile": lambda call: call.profile or "agent",
    "workflow": lambda call: call.workflow,
    "outcome": lambda call: call.outcome,
    "trunk": lambda call: call.trunk,
    "tenant": lambda call: call.tenant,
    "door": lambda call: call.door,
    "day": lambda call: call.started_at.date().isoformat(),
}
"""What calls may be grouped by, and how a call says it."""


@dataclass(frozen=True, slots=True)
class Group:
    """Calls that have something in common."""

    name: str
    measured: Measured
    value_usd: Decimal | None
    """What their outcomes are worth, as far as anybody said; None: nobody did."""
    callers: int
    """Different ones; all that told no number are one."""

    @property
    def turns(self) -> int:
        """Answers that callers heard."""
        return self.measured.usage.turns

    def owned_usd(self, view: View) -> Decimal | None:
        """All of it, here; None where that view was not measured."""
        cost = self.measured.owned.get(view)
        return None if cost is None else cost.total_usd

    def owned_usd_per_turn(self, view: View) -> Decimal | None:
        """An answer, here; None where it is not known, or nothing was answered."""
        total = self.owned_usd(view)
        return None if total is None or not self.turns else total / self.turns

    def owned_usd_per_call(self, view: View) -> Decimal | None:
        """A call, here; None where it is not known."""
        total = self.owned_usd(view)
        return None if total is None else total / self.measured.calls

    def net_usd(self, view: View) -> Decimal | None:
        """What outcomes are worth, less what the calls cost here; None where either is not
        known."""
        total = self.owned_usd(view)
        return None if total is None or self.value_usd is None else self.value_usd - total

    def rented_usd(self, stack: str) -> Decimal | None:
        """All of it, rented; None where a price is not known."""
        return self.measured.rented[stack].total_usd


@dataclass(frozen=True, slots=True)
class Report:
    """Groups, dearest first, and all of them together."""

    by: str
    groups: tuple[Group, ...]
    total: Group


def report(records: Iterable[CallRecord], bill: Bill, by: str, together: Measured) -> Report:
    """``together``: all these calls, measured; its mean of calls at once prices every group, since
    they share the box. Raises KeyError for what calls cannot be grouped by."""
    name_of = BY[by]
    grouped: dict[str, list[CallRecord]] = {}
    for record in records:
        if record.ended_at is not None and record.usage.call_s > 0:
            grouped.setdefault(name_of(record) or NOBODY, []).append(record)
    groups = [
        Group(name, measured, _value(calls), _callers(calls))
        for name, calls in grouped.items()
        if (measured := measure(calls, bill, mean_calls=together.mean_calls)) is not None
    ]
    groups.sort(key=lambda group: group.owned_usd(View.UTILISATION) or 0, reverse=True)
    everything = [call for calls in grouped.values() for call in calls]
    total = Group("all", together, _value(everything), _callers(everything))
    return Report(by, tuple(groups), total)


def _value(calls: Iterable[CallRecord]) -> Decimal | None:
    values = [each.outcome_value_usd for each in calls if each.outcome_value_usd is not None]
    return sum(values, Decimal(0)) if values else None


def _callers(calls: Iterable[CallRecord]) -> int:
    return len({each.caller for each in calls})
