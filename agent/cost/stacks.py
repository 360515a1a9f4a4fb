"""The same calls on this box, in each view, and on each rented stack. Pure."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from agent.cost.owned import View
from agent.cost.report import Group


@dataclass(frozen=True, slots=True)
class StackRow:
    """One way to have had a group's calls; None: not known."""

    name: str
    """The view of this box, or the stack."""
    kind: Literal["owned", "rented"]
    usd: Decimal | None
    usd_per_min: Decimal | None
    usd_per_turn: Decimal | None
    usd_per_call: Decimal | None
    usd_per_caller: Decimal | None
    times_owned: Decimal | None
    """How many times what this box costs in the view that is asked for; under 1: cheaper."""


def stack_rows(group: Group, view: View) -> list[StackRow]:
    """This box in every view, then the stacks, cheapest first; those not known come last."""
    owned = group.owned_usd(view)
    here = [_row(each.value, "owned", group, group.owned_usd(each), owned) for each in View]
    rented = [
        _row(stack, "rented", group, group.rented_usd(stack), owned)
        for stack in group.measured.rented
    ]
    rented.sort(key=lambda row: (row.usd is None, row.usd or Decimal(0)))
    return [*here, *rented]


def _row(
    name: str,
    kind: Literal["owned", "rented"],
    group: Group,
    usd: Decimal | None,
    owned_usd: Decimal | None,
) -> StackRow:
    def by(quantity: Decimal | int) -> Decimal | None:
        return None if usd is None or not quantity else usd / quantity

    return StackRow(
        name=name,
        kind=kind,
        usd=usd,
        usd_per_min=by(group.measured.minutes),
        usd_per_turn=by(group.turns),
        usd_per_call=by(group.measured.calls),
        usd_per_caller=by(group.callers),
        times_owned=None if usd is None or not owned_usd else usd / owned_usd,
    )
