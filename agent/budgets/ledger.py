"""What was spent of each budget, by subject and period. Pure: time is an argument."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import IntEnum
from typing import Any

from agent.budget_section import BudgetConfig
from agent.budgets.period import ends_at, starts_at
from agent.budgets.spending import Party, Spending


class Level(IntEnum):
    """How far a budget is spent."""

    FINE = 0
    WARNED = 1
    SPENT = 2


@dataclass(frozen=True, slots=True)
class Account:
    """One subject's spending of one budget in one period."""

    budget: str
    subject: str
    """A profile, a caller, a trunk, a tenant; empty: the box."""
    starts_at: datetime
    """UTC."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How an account stands."""

    budget: BudgetConfig
    account: Account
    spent: Decimal
    """In the budget's unit."""

    @property
    def share(self) -> float:
        """Of the limit; over 1 where it is passed."""
        return float(self.spent / self.budget.limit)

    @property
    def level(self) -> Level:
        """How far it is spent."""
        if self.spent >= self.budget.limit:
            return Level.SPENT
        return Level.WARNED if self.share >= self.budget.warn_at else Level.FINE

    @property
    def ends_at(self) -> datetime:
        """When the next period begins, UTC."""
        return ends_at(self.account.starts_at, self.budget.period, self.budget.time_zone)

    @property
    def subject(self) -> str:
        """Whose it is, in words."""
        per = self.budget.per
        return "this box" if per == "box" else f"{per} {self.account.subject}"

    @property
    def key(self) -> str:
        """The account and how far it is spent, as one name."""
        account, level = self.account, self.level.name.lower()
        return f"{account.budget}/{account.subject}/{account.starts_at:%Y%m%dT%H%MZ}/{level}"

    def to_json(self) -> dict[str, Any]:
        """JSON types only; amounts as strings, to nine decimals; times as ISO 8601 in UTC."""
        budget = self.budget
        return {
            "budget": budget.name,
            "per": budget.per,
            "subject": self.account.subject,
            "period": budget.period,
            "starts_at": self.account.starts_at.isoformat(),
            "ends_at": self.ends_at.isoformat(),
            "unit": budget.unit,
            "limit": format(budget.limit, "f"),
            "spent": format(self.spent.quantize(Decimal("1e-9")).normalize(), "f"),
            "share": self.share,
            "warn_at": budget.warn_at,
            "action": budget.action,
            "state": self.level.name.lower(),
        }


@dataclass(slots=True)
class _Counted:
    """What of one call is in the accounts."""

    started_at: datetime
    amounts: dict[Account, Decimal]
    over: bool = False


class Ledger:
    """The accounts of one box. A call is counted in the period in which it began."""

    def __init__(self, budgets: Sequence[BudgetConfig]) -> None:
        self._budgets = {budget.name: budget for budget in budgets}
        self._spent: dict[Account, Decimal] = {}
        self._reached: dict[Account, Level] = {}
        """How far each account was at most, where that was told."""
        self._calls: dict[str, _Counted] = {}

    def count(
        self,
        call_id: str,
        party: Party,
        started_at: datetime,
        spending: Spending,
        *,
        over: bool = False,
    ) -> list[Standing]:
        """Counts what a call spent so far, in place of what was counted of it before.

        ``over``: that is all; what is said of it later counts no more. Returns the accounts that
        reached a level by it for the first time.
        """
        counted = self._calls.get(call_id)
        if counted is None:
            counted = self._calls[call_id] = _Counted(started_at, {})
        if counted.over:
            return []
        counted.over = over
        accounts = list(self._accounts(party, counted.started_at))
        for account in counted.amounts.keys() - {account for _, account in accounts}:
            # It was somebody else's until now: a cheaper profile took it, say.
            self._spent[account] -= counted.amounts.pop(account)
        risen = []
        for budget, account in accounts:
            amount = spending.amount(budget.unit)
            before = counted.amounts.get(account, Decimal(0))
            counted.amounts[account] = amount
            spent = self._spent.get(account, Decimal(0)) + amount - before
            self._spent[account] = spent
            standing = Standing(budget, account, spent)
            if standing.level > self._reached.get(account, Level.FINE):
                self._reached[account] = standing.level
                risen.append(standing)
        return risen

    def standings(self, party: Party, at: datetime) -> list[Standing]:
        """Of every account that a call of ``party``, begun at ``at``, counts in."""
        return [
            Standing(budget, account, self._spent.get(account, Decimal(0)))
            for budget, account in self._accounts(party, at)
        ]

    def all_standings(self, now: datetime) -> list[Standing]:
        """Every account of the periods that ``now`` lies in, the most spent of a budget first.

        A budget of the box, and what ``only`` names, is there before anything was spent. May be
        asked on any thread: with tens of thousands of callers it takes half a second.
        """
        spent = self._spent.copy()
        found = []
        for budget in self._budgets.values():
            start = starts_at(now, budget.period, budget.time_zone)
            named = ("",) if budget.per == "box" else budget.only
            accounts = {Account(budget.name, subject, start) for subject in named}
            accounts |= {
                account
                for account in spent
                if account.budget == budget.name and account.starts_at == start
            }
            standings = [
                Standing(budget, account, spent.get(account, Decimal(0))) for account in accounts
            ]
            found += sorted(standings, key=lambda each: (-each.spent, each.account.subject))
        return found

    def knows(self, call_id: str) -> bool:
        """Whether all that the call spent is counted."""
        counted = self._calls.get(call_id)
        return counted is not None and counted.over

    def forget(self, calls_before: datetime, accounts_before: datetime) -> None:
        """Drops what nobody asks about any more.

        Calls that are over and began before ``calls_before``, whose records are not read again, and
        accounts of periods that ended before ``accounts_before``.
        """
        for call_id, counted in list(self._calls.items()):
            if counted.over and counted.started_at < calls_before:
                del self._calls[call_id]
        for account, spent in list(self._spent.items()):
            if Standing(self._budgets[account.budget], account, spent).ends_at < accounts_before:
                del self._spent[account]
                self._reached.pop(account, None)

    def _accounts(self, party: Party, at: datetime) -> Iterator[tuple[BudgetConfig, Account]]:
        for budget in self._budgets.values():
            subject = party.subject(budget)
            if subject is not None:
                start = starts_at(at, budget.period, budget.time_zone)
                yield budget, Account(budget.name, subject, start)
