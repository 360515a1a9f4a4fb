"""From how many minutes a month on owning a box beats renting. Pure.

    owned $ a month  = boxes x fixed $ + minutes x marginal $
    rented $ a month = minutes x rented $ a minute

A box is bought whole, so the number of boxes climbs in steps; within one box the two lines cross
once, at ``fixed / (rented - marginal)`` minutes, and n boxes cost the same as renting at n times
that. Where it is more than half of what a box carries, the first minutes of a second box are dearer
than rented ones again. Where it is more than all of that, owning loses on one box, and as every
further one costs the same, on any number of them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from agent.cost.price_row import HOURS_PER_MONTH

MINUTES_PER_MONTH = HOURS_PER_MONTH * 60


class Verdict(StrEnum):
    """Who is cheaper."""

    OWN = "owning is cheaper from there on"
    RENT = "renting is cheaper at any volume"
    UNKNOWN = "not known"


@dataclass(frozen=True, slots=True)
class OwnedBox:
    """A box as the comparison needs it; None: not known."""

    name: str
    fixed_usd_per_month: Decimal | None
    marginal_usd_per_min: Decimal | None
    """Energy and trunk of one more minute."""
    concurrent_calls: Decimal | None
    """Calls at once that it carries."""
    assumed: tuple[str, ...] = ()
    """Inputs that are nobody's price or measurement."""
    leaves_out: str = ""
    """What a working box needs besides, and this price lacks: owning costs at least this much."""

    @property
    def most_minutes(self) -> Decimal | None:
        """Minutes a month of one box that is never idle."""
        calls = self.concurrent_calls
        return None if calls is None else calls * MINUTES_PER_MONTH

    def boxes(self, minutes: Decimal, utilisation: Decimal = Decimal(1)) -> int | None:
        """Boxes for so many minutes a month, none busier than ``utilisation`` on average."""
        most = self.most_minutes
        if most is None:
            return None
        return max(1, math.ceil(minutes / (most * utilisation)))

    def usd_per_month(self, minutes: Decimal, utilisation: Decimal = Decimal(1)) -> Decimal | None:
        """What so many minutes a month cost; None where an input is not known."""
        boxes = self.boxes(minutes, utilisation)
        if boxes is None or self.fixed_usd_per_month is None or self.marginal_usd_per_min is None:
            return None
        return boxes * self.fixed_usd_per_month + minutes * self.marginal_usd_per_min

    def usd_per_min(self, utilisation: Decimal) -> Decimal | None:
        """A minute on a box that is busy for so large a share of its capacity."""
        most = self.most_minutes
        if most is None or self.fixed_usd_per_month is None or self.marginal_usd_per_min is None:
            return None
        return self.fixed_usd_per_month / (most * utilisation) + self.marginal_usd_per_min


@dataclass(frozen=True, slots=True)
class BreakEven:
    """One box against one rented stack."""

    box: str
    stack: str
    rented_usd_per_min: Decimal | None
    verdict: Verdict
    minutes_per_month: Decimal | None = None
    """Owning is cheaper from here on; None where it never is, or that is not known."""
    utilisation: Decimal | None = None
    """Of the box's capacity that these minutes are, 0 to 1."""
    why: str = ""
    """What is missing, by how much owning loses, why its minutes are a lower bound, or what further
    boxes need."""


def break_even(box: OwnedBox, stack: str, rented_usd_per_min: Decimal | None) -> BreakEven:
    """Where owning ``box`` begins to beat renting ``stack``."""
    missing = [
        what
        for what, value in (
            ("the box's price", box.fixed_usd_per_month),
            ("what a minute adds", box.marginal_usd_per_min),
            ("how many calls it carries", box.concurrent_calls),
            ("the stack's price", rented_usd_per_min),
        )
        if value is None
    ]
    if missing:
        why = f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not known"
        return BreakEven(box.name, stack, rented_usd_per_min, Verdict.UNKNOWN, why=why)
    fixed, marginal = box.fixed_usd_per_month, box.marginal_usd_per_min
    most, rented = box.most_minutes, rented_usd_per_min
    assert fixed is not None and marginal is not None and most is not None and rented is not None
    if rented <= marginal:
        why = f"a minute of energy and trunk costs {marginal:.4f} dollars already"
        return BreakEven(box.name, stack, rented, Verdict.RENT, why=why)
    minutes = fixed / (rented - marginal)
    if minutes > most:
        why = (
            f"a box that is never idle carries {most:,.0f} minutes a month and would have to carry "
            f"{minutes:,.0f}"
        )
        return BreakEven(box.name, stack, rented, Verdict.RENT, why=why)
    said = [f"at least, for the price leaves out {box.leaves_out}"] if box.leaves_out else []
    if 2 * minutes > most:
        said.append(f"with more boxes as long as each is {minutes / most:.0%} busy")
    why = "; ".join(said)
    return BreakEven(box.name, stack, rented, Verdict.OWN, minutes, minutes / most, why)


def sentence(found: BreakEven) -> str:
    """What to tell whoever pays the bills."""
    match found.verdict:
        case Verdict.UNKNOWN:
            return f"{found.box} against {found.stack}: nobody can say, since {found.why}."
        case Verdict.RENT:
            return f"Rent {found.stack} rather than own {found.box}: {found.why}."
    assert found.minutes_per_month is not None and found.utilisation is not None
    assert found.rented_usd_per_min is not None
    bound = f" ({found.why})" if found.why else ""
    return (
        f"Owning {found.box} beats {found.stack} ({found.rented_usd_per_min:.4f} dollars a minute) "
        f"from {found.minutes_per_month:,.0f} minutes a month on{bound}, which keep it busy for "
        f"{found.utilisation:.1%} of what it can carry; below that, rent."
    )


def curve(
    box: OwnedBox, minutes: Sequence[Decimal], utilisation: Decimal = Decimal(1)
) -> list[Decimal | None]:
    """What each of so many minutes a month costs by the minute, whole boxes counted."""
    costs = ((box.usd_per_month(each, utilisation), each) for each in minutes)
    return [None if cost is None or not each else cost / each for cost, each in costs]
