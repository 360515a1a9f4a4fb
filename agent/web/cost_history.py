"""What recorded calls cost over time, by what they have in common. Pure.

This box is reckoned anew with the prices of today, for its share of idle time belongs to the whole
stretch of time that is asked for. Rented stacks are taken as they were reckoned at each call's end,
since that was the price of that day; a stack that the record lacks is reckoned now.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from agent.cost.bill import Bill
from agent.cost.breakdown import exact, sum_usd
from agent.cost.owned import LINES, View
from agent.cost.report import BY as REPORT_BY
from agent.cost.report import NOBODY
from agent.records.record import CallRecord, Lines, to_text
from agent.usage import Usage
from agent.web.periods import Length, begin_of, periods

LINE = "stage"
"""Not what calls have in common: the stages and parts of the bill themselves."""
BY: Mapping[str, Callable[[CallRecord], str]] = {
    name: of for name, of in REPORT_BY.items() if name not in ("call", "day")
}
DIMENSIONS = (LINE, *BY)
MOST_SERIES = 7
"""Told apart in a chart; the rest is put together."""
MOST_GROUPS = 100
"""Told apart in the table behind it."""
ALL = "all"
"""The whole of a period, or of the stretch of time."""


@dataclass(slots=True)
class Tally:
    """Calls, and what they cost at each price: a view of this box, or a rented stack."""

    calls: int = 0
    call_s: Decimal = Decimal(0)
    turns: int = 0
    value_usd: Decimal | None = None
    """What their outcomes are worth, as far as anybody said."""
    lines_usd: dict[str, dict[str, Decimal | None]] = field(default_factory=dict)
    """Price -> line -> dollars; None: not known."""

    def count(self, record: CallRecord) -> None:
        """Takes in a call, and what it was worth."""
        self.calls += 1
        self.call_s += exact(record.usage.call_s)
        self.turns += record.usage.turns
        if record.outcome_value_usd is not None:
            self.value_usd = (self.value_usd or Decimal(0)) + record.outcome_value_usd

    def charge(self, price: str, lines: Lines) -> None:
        """Takes in one call's bill; what is not known once is not known in the sum."""
        mine = self.lines_usd.setdefault(price, {})
        for line, usd in lines.items():
            sofar = mine.get(line, Decimal(0))
            mine[line] = None if sofar is None or usd is None else sofar + usd

    def add(self, other: "Tally") -> None:
        """Takes in all of ``other``."""
        self.calls += other.calls
        self.call_s += other.call_s
        self.turns += other.turns
        if other.value_usd is not None:
            self.value_usd = (self.value_usd or Decimal(0)) + other.value_usd
        for price, lines in other.lines_usd.items():
            self.charge(price, lines)

    def usd(self, price: str) -> Decimal | None:
        """The total at a price; None where it, or a part of it, is not known."""
        lines = self.lines_usd.get(price)
        return None if lines is None else sum_usd(lines.values())

    def to_json(self) -> dict[str, Any]:
        """Dollars as numbers, null where not known; a price that is left out was not measured."""
        return {
            "calls": self.calls,
            "minutes": float(self.call_s / 60),
            "turns": self.turns,
            "value_usd": _number(self.value_usd),
            "usd": {price: _number(self.usd(price)) for price in self.lines_usd},
        }


@dataclass(frozen=True, slots=True)
class _Unpriced:
    """What is needed of a call until the share of each is known."""

    usage: Usage
    outbound: bool
    tallies: tuple[Tally, Tally]
    """Its period's and group's, and its group's."""


class CostHistory:
    """Takes calls one by one; `priced` then reckons what this box cost for each of them."""

    def __init__(self, bill: Bill, by: str) -> None:
        """Raises KeyError for what calls cannot be grouped by."""
        self._bill = bill
        self._by = by
        self._name_of = BY[by] if by != LINE else lambda record: ALL
        self._unpriced: list[_Unpriced] = []
        self._cells: dict[tuple[datetime, str], Tally] = {}
        self._groups: dict[str, Tally] = {}
        self._first_at: datetime | None = None
        self._last_at: datetime | None = None
        self.mean_calls: Decimal | None = None
        """Calls at once on average over the whole time, empty hours included."""

    @property
    def calls(self) -> int:
        """Taken in."""
        return len(self._unpriced)

    def add(self, record: CallRecord) -> None:
        """Takes in a call; one that is not over, or never was, does not count."""
        if record.ended_at is None or record.usage.call_s <= 0:
            return
        name = self._name_of(record) or NOBODY
        hour = begin_of(record.started_at, Length.HOUR)
        cell = self._cells.setdefault((hour, name), Tally())
        group = self._groups.setdefault(name, Tally())
        missing = set(self._bill.book.stacks) - set(record.rented_lines)
        now = self._bill.rented(record.usage) if missing else {}
        for tally in (cell, group):
            tally.count(record)
            for stack in self._bill.book.stacks:
                lines = now[stack].lines_usd if stack in missing else record.rented_lines[stack]
                tally.charge(stack, lines)
        self._unpriced.append(
            _Unpriced(record.usage, record.direction == "outbound", (cell, group))
        )
        self._first_at = min(record.started_at, self._first_at or record.started_at)
        self._last_at = max(record.ended_at, self._last_at or record.ended_at)

    def span(
        self,
        since: datetime | None,
        until: datetime | None,
        now: datetime,
        *,
        was_there: bool = True,
    ) -> tuple[datetime, datetime]:
        """The time that is told of: as asked for, else from the first call to the last one's end.

        With ``since`` the idle time until ``until``, or now, counts as well. ``was_there``: the
        box took calls before; else it is told of from its first call on.
        """
        begins_at = (since if was_there else None) or self._first_at or since or now
        ends_at = min(until or now, now) if since is not None else self._last_at or now
        return begins_at, max(begins_at, ends_at)

    def priced(self, begins_at: datetime, ends_at: datetime) -> Iterator[None]:
        """Reckons what each call cost this box; yields after each, so that others have a turn."""
        seconds = (ends_at - begins_at).total_seconds()
        call_s = sum((tally.call_s for tally in self._groups.values()), Decimal(0))
        if seconds > 0 and call_s > 0:
            self.mean_calls = call_s / exact(seconds)
        for each in self._unpriced:
            owned = self._bill.owned(each.usage, outbound=each.outbound, mean_calls=self.mean_calls)
            for view, cost in owned.items():
                for tally in each.tallies:
                    if cost is not None:
                        tally.charge(view.value, cost.lines_usd)
            yield

    def to_json(self, begins_at: datetime, ends_at: datetime, length: Length) -> dict[str, Any]:
        """For the page; see docs/operator-box.md. Raises TooMany."""
        begins = periods(begins_at, ends_at, length)
        total = Tally()
        for tally in self._groups.values():
            total.add(tally)
        series = {LINE: ()} if self._by == LINE else self._ranked(MOST_SERIES)
        members = {name: kept for kept, names in series.items() for name in names}
        cells: dict[datetime, dict[str, Tally]] = {begin: {} for begin in begins}
        wholes: dict[datetime, Tally] = {begin: Tally() for begin in begins}
        for (hour, name), tally in self._cells.items():
            begin = begin_of(hour, length)
            if begin in cells:
                wholes[begin].add(tally)
                if self._by != LINE:
                    cells[begin].setdefault(members[name], Tally()).add(tally)
        capacity = self._bill.capacity_calls
        return {
            "by": self._by,
            "length": length.value,
            "begins_at": to_text(begins_at),
            "ends_at": to_text(ends_at),
            "mean_calls": _number(self.mean_calls),
            "capacity_calls": capacity,
            "hardware": self._bill.box.hardware.what,
            "assumed": list(self._bill.box.hardware.assumed),
            "prices": [
                *({"name": view.value, "kind": "owned", "measured": view.value in total.lines_usd}
                  for view in View),
                *({"name": stack, "kind": "rented", "measured": True}
                  for stack in self._bill.book.stacks),
            ],
            "series": self._lines_of(total) if self._by == LINE else list(series),
            "periods": [
                {
                    "begins_at": to_text(begin),
                    **wholes[begin].to_json(),
                    "series": _by_line(wholes[begin])
                    if self._by == LINE
                    else {name: cell.to_json()["usd"] for name, cell in cells[begin].items()},
                }
                for begin in begins
            ],
            "groups": [] if self._by == LINE else self._groups_json(),
            "total": {**total.to_json(), "lines": _by_line(total)},
        }  # fmt: skip

    def _ranked(self, most: int) -> dict[str, list[str]]:
        """Groups by name, those with most minutes first; the rest under a name of its own."""
        names = sorted(self._groups, key=lambda name: self._groups[name].call_s, reverse=True)
        kept = {name: [name] for name in names[:most]}
        if rest := names[most:]:
            kept[f"{len(rest)} others"] = rest
        return kept

    def _groups_json(self) -> list[dict[str, Any]]:
        found = []
        for shown, names in self._ranked(MOST_GROUPS).items():
            tally = Tally()
            for name in names:
                tally.add(self._groups[name])
            found.append({"name": shown, **tally.to_json()})
        return found

    def _lines_of(self, total: Tally) -> list[str]:
        there = [line for lines in total.lines_usd.values() for line in lines]
        return [line for line in dict.fromkeys((*LINES, *there)) if line in there]


def _by_line(tally: Tally) -> dict[str, dict[str, float | None]]:
    """Line -> price -> dollars."""
    found: dict[str, dict[str, float | None]] = {}
    for price, lines in tally.lines_usd.items():
        for line, usd in lines.items():
            found.setdefault(line, {})[price] = _number(usd)
    return found


def _number(usd: Decimal | None) -> float | None:
    return None if usd is None else float(usd)
