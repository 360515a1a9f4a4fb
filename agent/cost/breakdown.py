"""A bill in lines. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

CENT = Decimal("0.01")


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

    def __add__(self, other: "CostBreakdown") -> "CostBreakdown":
        """Line by line; a line that one of the two lacks is the other's."""
        names = [*self.lines_usd, *(name for name in other.lines_usd if name not in self.lines_usd)]
        nothing = Decimal(0)
        return CostBreakdown(
            {
                name: sum_usd(
                    (self.lines_usd.get(name, nothing), other.lines_usd.get(name, nothing))
                )
                for name in names
            },
            self.view,
        )


def sum_usd(amounts: Iterable[Decimal | None]) -> Decimal | None:
    """The sum; not known where one amount is not known."""
    total = Decimal(0)
    for amount in amounts:
        if amount is None:
            return None
        total += amount
    return total


def in_steps(lines_usd: Mapping[str, Decimal], step: Decimal = CENT) -> dict[str, Decimal]:
    """The lines in whole ``step``, so that they sum to the total in whole ``step``.

    By largest remainder: each line is cut down, and what the total still lacks goes, a step each,
    to the lines that lost most (Hare-Niemeyer).
    """
    total = sum(lines_usd.values(), Decimal(0)).quantize(step, ROUND_HALF_EVEN)
    cut = {name: usd // step * step for name, usd in lines_usd.items()}
    lacking = int((total - sum(cut.values(), Decimal(0))) / step)
    lost = sorted(lines_usd, key=lambda name: cut[name] - lines_usd[name])
    for name in lost[: max(0, lacking)]:
        cut[name] += step
    return cut


def shown_in_steps(
    lines_usd: Mapping[str, Decimal | None], step: Decimal
) -> dict[str, Decimal | None]:
    """Lines as a table shows them, so that a reader who adds them up finds the total that it shows.

    Where one is not known neither is the total, and the others are rounded each by itself.
    """
    known = {name: usd for name, usd in lines_usd.items() if usd is not None}
    if len(known) == len(lines_usd):
        return dict(in_steps(known, step))
    return {
        name: None if usd is None else usd.quantize(step, ROUND_HALF_EVEN)
        for name, usd in lines_usd.items()
    }


def exact(measured: float) -> Decimal:
    """A measurement as the decimal number that it is printed as."""
    return Decimal(repr(measured))
