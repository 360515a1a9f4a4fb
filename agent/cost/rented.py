"""Usage x rented prices -> what the same call would have cost elsewhere. Pure.

The vendor is assumed to use as much as was measured here: as many tokens (cached where they were
cached here, if the vendor has a price for that), as many characters spoken, as long a line. Rules
of billing (`Price.billed_min`) hold for one call: bill calls one by one and add the bills up.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from agent.cost.breakdown import CostBreakdown, exact, sum_usd
from agent.cost.language_model_rates import audio_usd, text_usd
from agent.cost.price_book import PriceBook, Stack
from agent.cost.price_row import Price
from agent.usage import Usage

VIEW = "the same usage, rented"


@dataclass(frozen=True, slots=True)
class StackCost:
    """One rented stack's bill."""

    stack: str
    cost: CostBreakdown


def rented_costs(usage: Usage, book: PriceBook) -> tuple[StackCost, ...]:
    """The bill of every stack of the book; a total is None where a price is not known."""
    return tuple(
        StackCost(name, CostBreakdown(_lines(usage, book.prices, stack), VIEW))
        for name, stack in book.stacks.items()
    )


def price_usd(usage: Usage, price: Price, *, cached_apart: bool = False) -> Decimal | None:
    """What one price makes of one call's ``usage``; None where it is not known.

    ``cached_apart``: cached tokens have a price of their own beside this one.
    """
    match price.unit:
        case "tokens":
            return text_usd(usage, price)
        case "audio_tokens":
            return audio_usd(usage, price)
        case "telephony_min":
            return _line_usd(usage, price)
    quantity = _quantity(usage, price, cached_apart)
    return None if price.usd is None else price.usd * quantity


def _lines(usage: Usage, prices: Mapping[str, Price], stack: Stack) -> dict[str, Decimal | None]:
    lines = {}
    for part, names in stack.items():
        rows = [prices[name] for name in names]
        apart = any(row.unit == "mtok_cached" for row in rows)
        lines[part] = sum_usd(price_usd(usage, row, cached_apart=apart) for row in rows)
    return lines


def _line_usd(usage: Usage, price: Price) -> Decimal | None:
    """Each direction at its own price; one that nobody called in costs nothing."""
    dialled_s = exact(usage.dialled_s)
    directions = (
        (exact(usage.telephony_s) - dialled_s, price.usd),
        (dialled_s, price.usd_outbound),
    )
    return sum_usd(
        None if usd is None else usd * price.billed_min(seconds)
        for seconds, usd in directions
        if seconds > 0
    )


def _quantity(usage: Usage, price: Price, cached_apart: bool) -> Decimal:
    cached = usage.cached_tokens if cached_apart else 0
    match price.unit:
        case "call_min":
            return price.billed_min(exact(usage.call_s))
        case "audio_min":
            # A streaming recogniser is charged while its stream is open, silence included.
            return price.billed_min(exact(usage.call_s))
        case "speech_min":
            return price.billed_min(exact(usage.audio_heard_s))
        case "kchar":
            return Decimal(usage.characters) / 1000
        case "mtok_in":
            return Decimal(usage.prompt_tokens - cached) / 1_000_000
        case "mtok_cached":
            return Decimal(cached) / 1_000_000
        case "mtok_out":
            return Decimal(usage.generated_tokens) / 1_000_000
    raise AssertionError(price.unit)
