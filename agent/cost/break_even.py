"""From how many minutes a month on owning a box beats renting. Pure.

    owned $ a month  = boxes x fixed $ + minutes x marginal $
    rented $ a month = minutes x rented $ a minute

A box is bought whole, so the number of boxes climbs in steps; within one box the two lines cross
once, at ``fixed / (rented - marginal)`` minutes. Where that is more than a box can carry, owning
loses on one box, and as every further one costs the same, on any number of them.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

from agent.cost.owned import Box
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

    @classmethod
    def of(
        cls, box: Box, marginal_usd_per_min: Decimal | None, concurrent_calls: int | None
    ) -> "OwnedBox":
        """``box`` with what a minute adds to it and what it carries."""
        fixed = box.fixed_usd_per_hour
        return cls(
            name=box.name,
            fixed_usd_per_month=None if fixed is None else fixed * HOURS_PER_MONTH,
            marginal_usd_per_min=marginal_usd_per_min,
            concurrent_calls=None if concurrent_calls is None else Decimal(concurrent_calls),
            assumed=box.hardware.assumed,
        )

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
    """What is missing, or by how much owning loses."""


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
    return BreakEven(box.name, stack, rented, Verdict.OWN, minutes, minutes / most)


def sentence(found: BreakEven) -> str:
    """What to tell whoever pays the bills."""
    match found.verdict:
        case Verdict.UNKNOWN:
            return f"{found.box} against {found.stack}: nobody can say, since {found.why}."
        case Verdict.RENT:
            return f"Rent {found.stack} rather than own {found.box}: {found.why}."
    assert found.minutes_per_month is not None and found.utilisation is not None
    assert found.rented_usd_per_min is not None
    return (
        f"Owning {found.box} beats {found.stack} ({found.rented_usd_per_min:.4f} dollars a minute) "
        f"from {found.minutes_per_month:,.0f} minutes a month on, which keep it busy for "
        f"{found.utilisation:.1%} of what it can carry; below that, rent."
    )


@dataclass(frozen=True, slots=True)
class Swing:
    """What one assumption does to the break-even."""

    assumption: str
    value: Decimal
    low: BreakEven
    """With the assumption cut."""
    high: BreakEven
    """With it raised."""

    @property
    def span(self) -> Decimal:
        """Between the two break-evens, in minutes a month; infinite where one side never breaks
        even."""
        ends = (self.low.minutes_per_month, self.high.minutes_per_month)
        if None in ends:
            return Decimal("Infinity")
        return abs((ends[1] or Decimal(0)) - (ends[0] or Decimal(0)))


def sensitivity(
    box: OwnedBox, stack: str, rented_usd_per_min: Decimal, change: Decimal = Decimal("0.5")
) -> list[Swing]:
    """Each assumption cut and raised by the share ``change`` alone; what matters most first.

    Raises ValueError where ``change`` is not between 0 and 1.
    """
    if not 0 < change < 1:
        raise ValueError(f"change is {change}; it is over 0 and under 1, such as 0.5")
    factors = (1 - change, 1 + change)
    swings: list[Swing] = []
    values: Mapping[str, tuple[Decimal | None, Callable[[Decimal], OwnedBox]]] = {
        "fixed_usd_per_month": (
            box.fixed_usd_per_month,
            lambda usd: replace(box, fixed_usd_per_month=usd),
        ),
        "marginal_usd_per_min": (
            box.marginal_usd_per_min,
            lambda usd: replace(box, marginal_usd_per_min=usd),
        ),
        "concurrent_calls": (
            box.concurrent_calls,
            lambda calls: replace(box, concurrent_calls=calls),
        ),
    }
    for name, (value, with_value) in values.items():
        if value is not None:
            low, high = (
                break_even(with_value(value * factor), stack, rented_usd_per_min)
                for factor in factors
            )
            swings.append(Swing(name, value, low, high))
    low, high = (break_even(box, stack, rented_usd_per_min * factor) for factor in factors)
    swings.append(Swing("rented_usd_per_min", rented_usd_per_min, low, high))
    return sorted(swings, key=lambda swing: swing.span, reverse=True)


def curve(
    box: OwnedBox, minutes: Sequence[Decimal], utilisation: Decimal = Decimal(1)
) -> list[Decimal | None]:
    """What each of so many minutes a month costs by the minute, whole boxes counted."""
    costs = ((box.usd_per_month(each, utilisation), each) for each in minutes)
    return [None if cost is None or not each else cost / each for cost, each in costs]
