"""What calls of the records spent: of before the start, and of other processes. Blocks."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from agent.budget_section import BudgetConfig
from agent.budgets.ledger import Ledger, Standing
from agent.budgets.period import starts_at
from agent.budgets.spending import (
    Party,
    Reckon,
    Spending,
    needs_turns,
    party,
    recorded_spending,
)
from agent.records import history
from agent.records.history import Source

LATE = timedelta(minutes=1)
"""A call's record may be written this long after it began."""


@dataclass(frozen=True, slots=True)
class Found:
    """A call of the records."""

    call_id: str
    party: Party
    started_at: datetime
    spending: Spending
    over: bool


class ReadBack:
    """Reads what is new. One thread at a time."""

    def __init__(
        self,
        source: Source,
        reckon: Reckon,
        since: datetime,
        skip: Callable[[str], bool] = lambda call_id: False,
    ) -> None:
        """``skip``: calls whose spending is known without their records; asked on the thread."""
        self._source = source
        self._reckon = reckon
        self._skip = skip
        self.since = since
        """Calls from here on are read the next time: those before are all over and read."""

    def read(self, now: datetime) -> list[Found]:
        """Calls that are not over yet, or were not when they were read last. Raises StoreError."""
        found = []
        since = max(self.since, now - LATE)
        for record in history.calls(self._source, since=self.since):
            if record.cause is None:
                since = min(since, record.started_at)
            if self._skip(record.call_id):
                continue
            turns = history.turns(self._source, record.call_id) if needs_turns(record) else []
            found.append(
                Found(
                    record.call_id,
                    party(record.profile, record.caller, record.trunk, record.tenant),
                    record.started_at,
                    recorded_spending(record, turns, now, self._reckon),
                    record.cause is not None,
                )
            )
        self.since = since
        return found


def count(ledger: Ledger, found: list[Found]) -> list[Standing]:
    """Puts them into the ledger; returns the accounts that reached a level by it."""
    risen = []
    for call in found:
        risen += ledger.count(
            call.call_id, call.party, call.started_at, call.spending, over=call.over
        )
    return risen


def earliest(budgets: tuple[BudgetConfig, ...], now: datetime) -> datetime:
    """When the first of the periods under way began."""
    starts = (starts_at(now, budget.period, budget.time_zone) for budget in budgets)
    return min(starts, default=now.astimezone(UTC))
