"""A bill in lines. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class CostBreakdown:
    """What something cost, line by line, in US dollars."""

    lines_usd: Mapping[str, Decimal | None]
    """None: the price is not known."""
    view: str
    """Which question the figures answer."""

    @property
    def total_usd(self) -> Decimal | None:
        """The exact sum of the lines; None where one of them is not known."""
        return sum_usd(self.lines_usd.values())

    def usd_per_min(self, call_s: float) -> Decimal | None:
        """Per minute of a call of ``call_s`` seconds; None where it is not known."""
        total = self.total_usd
        return None if total is None or call_s <= 0 else total / exact(call_s) * 60


def sum_usd(amounts: Iterable[Decimal | None]) -> Decimal | None:
    """The sum; not known where one amount is not known."""
    total = Decimal(0)
    for amount in amounts:
        if amount is None:
            return None
        total += amount
    return total


def exact(measured: float) -> Decimal:
    """A measurement as the decimal number that it is printed as."""
    return Decimal(repr(measured))
