"""Usage x the box's rates -> what a call cost here. Pure.

A box costs the same whether it works or waits: its purchase or rent, its place, whoever looks after
it, and its idle draw. What a call adds is energy above the idle draw, and the trunk. Which part of
the rest is the call's is a question of its own, and there are three answers, always named:

- *marginal*: none of it. What one more call costs a box that is there anyway.
- *at measured utilisation*: the box is shared by as many calls as it carried on average, nights
  included. What calls cost now.
- *at capacity*: it is shared by as many as it can carry. What they would cost on a full box.

Of its share, each stage bears the engine-seconds that it used, work that was thrown away is a line
of its own, and what is left is idle time. Engine-seconds are wall time on one of the box's lanes: a
stage that runs on several threads at once is undercounted, and its difference stands in the idle
line.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from agent.cost.breakdown import CostBreakdown, exact, sum_usd
from agent.cost.price_row import HOURS_PER_MONTH, Colocation, Electricity, Hardware, Price
from agent.cost.rented import price_usd
from agent.usage import STAGES, Usage

SECONDS_PER_HOUR = Decimal(3600)
WATTS_PER_KILOWATT = Decimal(1000)
JOULES_PER_KWH = Decimal(3_600_000)

LINES = (*STAGES, "discarded", "idle", "trunk")
"""Of an owned bill, in every view."""


class View(StrEnum):
    """Which share of the box a call pays for."""

    MARGINAL = "marginal"
    UTILISATION = "at measured utilisation"
    CAPACITY = "at capacity"


@dataclass(frozen=True, slots=True)
class Box:
    """One box, and what stands around it."""

    name: str
    hardware: Hardware
    electricity: Electricity
    colocation: Colocation
    trunk: Price | None = None
    """What a minute on its telephone line costs; None: it is not known."""
    llm_elsewhere: bool = False
    """Whether somebody else's language model answers, and charges for it."""
    llm_price: Price | None = None
    """What that charges; None: it is not known."""

    @property
    def fixed_usd_per_hour(self) -> Decimal | None:
        """What it costs without a call; None where neither price nor rent is known."""
        lines = self.fixed_lines_usd_per_hour
        amounts = [usd for usd in lines.values() if usd is not None]
        return sum(amounts, Decimal(0)) if len(amounts) == len(lines) else None

    @property
    def fixed_lines_usd_per_hour(self) -> dict[str, Decimal | None]:
        """The same by what it is for: capital, place, operations, idle draw."""
        row = self.hardware
        busy_kw = row.watts_busy / WATTS_PER_KILOWATT
        place = busy_kw * self.colocation.usd_per_kw_month / HOURS_PER_MONTH
        # With a rented box its power is in the rent.
        idle_w = row.watts_idle if row.usd_per_hour is None else Decimal(0)
        return {
            "capital": row.capital_usd_per_hour,
            "place": place if row.colocated else Decimal(0),
            "operations": row.operations_usd_per_month / HOURS_PER_MONTH,
            "idle draw": idle_w / WATTS_PER_KILOWATT * self._usd_per_kwh,
        }

    def energy_usd(self, joules: Decimal) -> Decimal:
        """What ``joules`` above the idle draw cost; with a rented box they are in the rent."""
        if self.hardware.usd_per_hour is not None:
            return Decimal(0)
        return joules / JOULES_PER_KWH * self._usd_per_kwh

    def modelled_j(self, busy_s: Decimal) -> Decimal:
        """Joules above the idle draw for so many engine-seconds, by the power model: the draw
        rises from idle to busy in proportion to the lanes at work."""
        extra_w = max(Decimal(0), self.hardware.watts_busy - self.hardware.watts_idle)
        return extra_w / self.hardware.lanes * busy_s

    @property
    def _usd_per_kwh(self) -> Decimal:
        return self.electricity.usd_per_kwh * self.electricity.pue


@dataclass(frozen=True, slots=True)
class Share:
    """How much of the box a call pays for."""

    view: View
    calls: Decimal
    """Calls at once that share it; not read in the marginal view."""


MARGINAL = Share(View.MARGINAL, Decimal(1))


def owned_cost(usage: Usage, box: Box, share: Share = MARGINAL) -> CostBreakdown:
    """What ``usage`` cost on ``box``; the lines are `LINES`.

    Usage without connected time (one turn) pays for its work alone. A call that worked more than
    its share pays for the work. Raises ValueError where not even a part of a call shares the box.
    """
    if share.calls <= 0:
        raise ValueError(f"{share.calls} calls share the box; the number is over 0")
    work_s = _work_s(usage)
    energy = energy_usd(usage, box)
    lines: dict[str, Decimal | None] = {name: energy[name] for name in work_s}
    lines["idle"] = Decimal(0)
    if share.view is not View.MARGINAL:
        fixed = box.fixed_usd_per_hour
        if fixed is None:
            lines |= dict.fromkeys([*work_s, "idle"])
        else:
            per_s = fixed / SECONDS_PER_HOUR
            work = {name: per_s / box.hardware.lanes * s for name, s in work_s.items()}
            lines = {name: energy[name] + usd for name, usd in work.items()}
            due = per_s * exact(usage.call_s) / share.calls
            lines["idle"] = max(Decimal(0), due - sum(work.values(), Decimal(0)))
    if box.llm_elsewhere:
        charged = None if box.llm_price is None else price_usd(usage, box.llm_price)
        lines["llm"] = sum_usd((lines["llm"], charged))
    lines["trunk"] = _trunk_usd(usage, box.trunk)
    return CostBreakdown({name: lines[name] for name in LINES}, share.view.value)


def energy_usd(usage: Usage, box: Box) -> Mapping[str, Decimal]:
    """Dollars for energy above the idle draw, by line, in proportion to the work."""
    work_s = _work_s(usage)
    busy_s = sum(work_s.values(), Decimal(0))
    if not busy_s:
        # Joules without engine work are the wire's; none of the stages' lines is theirs.
        return {
            **dict.fromkeys(work_s, Decimal(0)),
            "turn_taking": box.energy_usd(joules(usage, box)),
        }
    spent_j = joules(usage, box)
    return {name: box.energy_usd(spent_j * s / busy_s) for name, s in work_s.items()}


def energy_is_modelled(usage: Usage) -> bool:
    """Whether no counter of the machine told its energy."""
    return usage.energy_j <= 0


def joules(usage: Usage, box: Box) -> Decimal:
    """Above the idle draw: as a counter told, else by the power model."""
    if not energy_is_modelled(usage):
        return exact(usage.energy_j)
    return box.modelled_j(sum(_work_s(usage).values(), Decimal(0)))


def _work_s(usage: Usage) -> dict[str, Decimal]:
    """Engine-seconds by line: each stage's that came to something, and all that did not."""
    wasted = {stage: exact(s) for stage, s in usage.wasted_s.items()}
    kept = {stage: max(Decimal(0), exact(s) - wasted[stage]) for stage, s in usage.busy_s.items()}
    return {**kept, "discarded": sum(wasted.values(), Decimal(0))}


def _trunk_usd(usage: Usage, trunk: Price | None) -> Decimal | None:
    if not usage.telephony_s:
        return Decimal(0)
    if trunk is None or trunk.usd is None:
        return None
    return trunk.billed_min(exact(usage.telephony_s)) * trunk.usd
