"""Usage x rented prices -> what the same call would have cost elsewhere. Pure.

The vendor is assumed to use as much as was measured here: as many tokens (cached where they
were cached here, if the vendor has a price for that), as many characters spoken.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from agent.cost.breakdown import CostBreakdown, exact, sum_usd
from agent.cost.rates import Price, Rates
from agent.usage import Usage


@dataclass(frozen=True, slots=True)
class StackCost:
    """One rented stack's bill."""

    stack: str
    cost: CostBreakdown


def rented_costs(usage: Usage, rates: Rates) -> tuple[StackCost, ...]:
    """The bill of every stack of the rate file; a total is None where a price is not known."""
    return tuple(
        StackCost(stack, CostBreakdown(_lines(usage, rates, lines), "the same usage, rented"))
        for stack, lines in rates.stacks.items()
    )


def _lines(
    usage: Usage, rates: Rates, lines: Mapping[str, tuple[str, ...]]
) -> dict[str, Decimal | None]:
    return {
        line: sum_usd(_amounts(usage, [rates.prices[name] for name in names]))
        for line, names in lines.items()
    }


def _amounts(usage: Usage, prices: list[Price]) -> list[Decimal | None]:
    units = _units(usage, has_cached_price=any(p.unit == "mtok_cached" for p in prices))
    return [None if price.usd is None else price.usd * units[price.unit] for price in prices]


def _units(usage: Usage, has_cached_price: bool) -> dict[str, Decimal]:
    call_min = exact(usage.call_s) / 60
    cached = usage.cached_tokens if has_cached_price else 0
    return {
        "call_min": call_min,
        # A streaming recogniser is charged while its stream is open, silence included.
        "audio_min": call_min,
        "kchar": Decimal(usage.characters) / 1000,
        "mtok_in": Decimal(usage.prompt_tokens - cached) / 1_000_000,
        "mtok_cached": Decimal(cached) / 1_000_000,
        "mtok_out": Decimal(usage.generated_tokens) / 1_000_000,
    }
