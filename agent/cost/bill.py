"""What the box says about money: one call's cost here, beside what rented parts would cost."""

import logging
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from agent.capacity import places_of
from agent.config import Config
from agent.cost.breakdown import CostBreakdown
from agent.cost.owned import owned_cost
from agent.cost.rates import Rates, load_rates
from agent.cost.rented import rented_costs
from agent.usage import Usage

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Bill:
    """Rates, and how many calls share the box in the figures that are shown."""

    rates: Rates
    concurrent_calls: int = 1
    measured_calls: int | None = None
    """Calls at once that `offhook bench capacity` found this box to carry; None: not measured."""

    @classmethod
    def load(cls, config: Config, today: date | None = None) -> "Bill":
        """Reads the rate file that ``config`` names; warns of old rows. Raises ConfigError."""
        cost = config.cost
        rates = load_rates(
            cost.rates,
            cost.hardware,
            usd_per_hour=cost.usd_per_hour,
            usd_per_kwh=cost.usd_per_kwh,
            watts_idle=cost.watts_idle,
            watts_busy=cost.watts_busy,
        )
        if old := rates.warnings(today or datetime.now(UTC).date()):
            log.warning("check these prices (`rates` in [cost] names a file): %s", "; ".join(old))
        places = places_of(config)
        return cls(rates, measured_calls=places.calls if places.source == "measured" else None)

    def owned_usd(self, usage: Usage) -> Decimal | None:
        """What ``usage`` cost here; None where the box's price is not known."""
        return owned_cost(usage, self.rates, self.concurrent_calls).total_usd

    def rented_usd(self, usage: Usage) -> dict[str, Decimal | None]:
        """What it would have cost on each rented stack; None where a price is not known."""
        return {each.stack: each.cost.total_usd for each in rented_costs(usage, self.rates)}

    def to_json(self, usage: Usage) -> dict[str, Any]:
        """Both sides for the page, dollars as numbers, null where a price is not known."""
        owned = owned_cost(usage, self.rates, self.concurrent_calls)
        return {
            "call_s": usage.call_s,
            "owned": {
                **_as_json(owned, usage),
                "view": owned.view,
                "hardware": self.rates.hardware.what,
                "assumed": list(self.rates.hardware.assumed),
                "at_capacity": self._at_capacity(usage),
            },
            "rented": [
                {"stack": each.stack, **_as_json(each.cost, usage)}
                for each in rented_costs(usage, self.rates)
            ],
            "as_of": self.rates.as_of.isoformat(),
        }

    def _at_capacity(self, usage: Usage) -> dict[str, Any] | None:
        """The same call with the box full of them: what a busy box would charge it."""
        if self.measured_calls is None:
            return None
        cost = owned_cost(usage, self.rates, self.measured_calls)
        return {
            "calls": self.measured_calls,
            "total_usd": _number(cost.total_usd),
            "usd_per_min": _number(cost.usd_per_min(usage.call_s)),
        }


def _as_json(cost: CostBreakdown, usage: Usage) -> dict[str, Any]:
    return {
        "total_usd": _number(cost.total_usd),
        "usd_per_min": _number(cost.usd_per_min(usage.call_s)),
        "lines": {line: _number(usd) for line, usd in cost.lines_usd.items()},
    }


def _number(usd: Decimal | None) -> float | None:
    return None if usd is None else float(usd)
