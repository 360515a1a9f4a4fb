"""A box as break-even needs it, and what each assumption about it does. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from agent.cost.break_even import BreakEven, OwnedBox, break_even
from agent.cost.owned import Box
from agent.cost.price_row import HOURS_PER_MONTH

Factor = Decimal
With = Callable[[Factor], "Scenario"]


@dataclass(frozen=True, slots=True)
class Scenario:
    """Prices of a box, and what a minute of call asks of it; None: not known."""

    box: Box
    joules_per_min: Decimal | None
    """Above the idle draw, for a minute of one call."""
    paid_usd_per_min: Decimal | None
    """To others: the trunk, and a language model elsewhere."""
    concurrent_calls: Decimal | None
    """Calls at once that it carries."""

    @property
    def owned(self) -> OwnedBox:
        """The same in dollars."""
        box, joules, paid = self.box, self.joules_per_min, self.paid_usd_per_min
        fixed = box.fixed_usd_per_hour
        return OwnedBox(
            name=box.name,
            fixed_usd_per_month=None if fixed is None else fixed * HOURS_PER_MONTH,
            marginal_usd_per_min=None
            if joules is None or paid is None
            else box.energy_usd(joules) + paid,
            concurrent_calls=self.concurrent_calls,
            assumed=box.hardware.assumed,
            leaves_out=box.hardware.leaves_out,
        )

    def calls_to_beat(self, rented_usd_per_min: Decimal) -> Decimal | None:
        """Calls at once that it would have to carry, never idle, to cost as much as renting them.

        At its full draw all the time. None where its price, or the trunk's, is not known, and where
        what is paid to others alone costs as much.
        """
        fixed = self.box.fixed_usd_per_hour
        if fixed is None or self.paid_usd_per_min is None:
            return None
        gained = (rented_usd_per_min - self.paid_usd_per_min) * 60
        if gained <= 0:
            return None
        row = self.box.hardware
        draw = self.box.energy_usd(max(Decimal(0), row.watts_busy - row.watts_idle) * 3600)
        return (fixed + draw) / gained


@dataclass(frozen=True, slots=True)
class Swing:
    """What one assumption does to the break-even."""

    assumption: str
    value: Decimal
    low: BreakEven
    """With the assumption cut."""
    high: BreakEven
    """With it raised."""
    moves: bool
    """Whether either changes anything."""

    @property
    def span(self) -> Decimal:
        """Between the two break-evens, in minutes a month; infinite where one side never breaks
        even."""
        ends = (self.low.minutes_per_month, self.high.minutes_per_month)
        if ends == (None, None):
            return Decimal(0)
        if None in ends:
            return Decimal("Infinity")
        return abs((ends[1] or Decimal(0)) - (ends[0] or Decimal(0)))


def sensitivity(
    scenario: Scenario, stack: str, rented_usd_per_min: Decimal, change: Decimal = Decimal("0.5")
) -> list[Swing]:
    """Each assumption cut and raised by the share ``change`` alone; what matters most first.

    Raises ValueError where ``change`` is not between 0 and 1.
    """
    if not 0 < change < 1:
        raise ValueError(f"change is {change}; it is over 0 and under 1, such as 0.5")
    factors = (1 - change, 1 + change)
    now = break_even(scenario.owned, stack, rented_usd_per_min).minutes_per_month
    swings = []
    for name, (value, scaled) in assumptions(scenario).items():
        ends = [break_even(scaled(f).owned, stack, rented_usd_per_min) for f in factors]
        swings.append(
            Swing(name, value, ends[0], ends[1], any(end.minutes_per_month != now for end in ends))
        )
    ends = [break_even(scenario.owned, stack, rented_usd_per_min * f) for f in factors]
    swings.append(Swing("rented_usd_per_min", rented_usd_per_min, ends[0], ends[1], True))
    return sorted(swings, key=lambda swing: (swing.span, swing.moves), reverse=True)


def assumptions(scenario: Scenario) -> Mapping[str, tuple[Decimal, With]]:
    """Every input that is known and not 0, by its name in the settings, and how to scale it."""
    row = scenario.box.hardware
    rented = row.usd_per_hour is not None

    def hardware(key: str) -> With:
        def scaled(factor: Factor) -> Scenario:
            changed = row.model_copy(update={key: getattr(row, key) * factor})
            return replace(scenario, box=replace(scenario.box, hardware=changed))

        return scaled

    def around(part: str, key: str) -> With:
        def scaled(factor: Factor) -> Scenario:
            rates: Any = getattr(scenario.box, part)
            changed = rates.model_copy(update={key: getattr(rates, key) * factor})
            return replace(scenario, box=replace(scenario.box, **{part: changed}))

        return scaled

    def own(key: str) -> With:
        return lambda factor: replace(scenario, **{key: getattr(scenario, key) * factor})

    found: dict[str, tuple[Decimal | None, With]] = {
        "usd_per_hour": (row.usd_per_hour, hardware("usd_per_hour")),
        "purchase_usd": (None if rented else row.purchase_usd, hardware("purchase_usd")),
        "years": (None if rented else row.years, hardware("years")),
        "operations_usd_per_month": (
            row.operations_usd_per_month,
            hardware("operations_usd_per_month"),
        ),
        "watts_idle": (row.watts_idle, hardware("watts_idle")),
        "watts_busy (the place)": (
            row.watts_busy if row.colocated else None,
            hardware("watts_busy"),
        ),
        "usd_per_kwh": (
            scenario.box.electricity.usd_per_kwh,
            around("electricity", "usd_per_kwh"),
        ),
        "usd_per_kw_month": (
            scenario.box.colocation.usd_per_kw_month if row.colocated else None,
            around("colocation", "usd_per_kw_month"),
        ),
        "joules_per_min": (None if rented else scenario.joules_per_min, own("joules_per_min")),
        "paid_usd_per_min": (scenario.paid_usd_per_min, own("paid_usd_per_min")),
        "concurrent_calls": (scenario.concurrent_calls, own("concurrent_calls")),
    }
    return {name: (value, scaled) for name, (value, scaled) in found.items() if value}
