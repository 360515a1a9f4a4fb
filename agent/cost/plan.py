"""Training and inference as two budgets. Pure.

Training, or fine-tuning, is capital: paid once, written off in equal parts over the months in
which the model serves. Inference is what calls cost. They answer different questions, so they are
shown apart, and added up only where somebody asks for that.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_FLOOR, Decimal


@dataclass(frozen=True, slots=True)
class Training:
    """One model trained or fine-tuned."""

    name: str
    cost_usd: Decimal
    paid: date
    model: str
    """Which version of the model came of it."""
    months: int
    """Over how many it is written off, that of ``paid`` included."""

    def written_off_usd(self, month: date) -> Decimal:
        """The part of it that falls to the month of ``month``; they sum to the cost, exactly."""
        place = months_between(self.paid, month)
        if not 0 <= place < self.months:
            return Decimal(0)
        # Down, so that nothing is owed back in the last month.
        part = (self.cost_usd / self.months).quantize(Decimal("0.01"), ROUND_FLOOR)
        if place < self.months - 1:
            return part
        # What rounding left over.
        return self.cost_usd - part * (self.months - 1)

    def written_off_until_usd(self, day: date) -> Decimal:
        """The parts of all months up to that of ``day``, which counts whole."""
        months = min(self.months, months_between(self.paid, day) + 1)
        parts = (self.written_off_usd(later(first_of(self.paid), n)) for n in range(months))
        return sum(parts, Decimal(0))


@dataclass(frozen=True, slots=True)
class Month:
    """One month's two budgets."""

    month: date
    """Its first day."""
    training_usd: Decimal
    inference_usd: Decimal | None
    """None: the calls' cost is not known."""
    minutes: Decimal

    @property
    def blended_usd(self) -> Decimal | None:
        """Both together; None where one is not known."""
        return None if self.inference_usd is None else self.training_usd + self.inference_usd

    @property
    def inference_usd_per_min(self) -> Decimal | None:
        """A minute of calls; None where it is not known, or there was none."""
        if self.inference_usd is None or not self.minutes:
            return None
        return self.inference_usd / self.minutes

    @property
    def blended_usd_per_min(self) -> Decimal | None:
        """The same with training in it."""
        blended = self.blended_usd
        return None if blended is None or not self.minutes else blended / self.minutes


def plan(
    trainings: Iterable[Training], inference: Iterable[tuple[date, Decimal | None, Decimal]]
) -> list[Month]:
    """``inference``: months, each with the dollars of its calls and their minutes, in any order.

    Months with training alone are there too, up to the last that anything falls to.
    """
    lines = list(trainings)
    calls = {first_of(month): (usd, minutes) for month, usd, minutes in inference}
    months = set(calls)
    for line in lines:
        months |= {later(first_of(line.paid), n) for n in range(line.months)}
    return [
        Month(
            month,
            sum((line.written_off_usd(month) for line in lines), Decimal(0)),
            *calls.get(month, (Decimal(0), Decimal(0))),
        )
        for month in sorted(months)
    ]


def first_of(day: date) -> date:
    """The first day of its month."""
    return day.replace(day=1)


def later(month: date, months: int) -> date:
    """The first day of the month so many months on."""
    years, place = divmod(month.month - 1 + months, 12)
    return date(month.year + years, place + 1, 1)


def months_between(first: date, second: date) -> int:
    """From the month of one to that of the other; negative where it lies before."""
    return (second.year - first.year) * 12 + second.month - first.month
