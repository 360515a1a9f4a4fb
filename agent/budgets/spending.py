"""What a call has spent so far, in every unit that a budget may have. Pure."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from agent.budget_section import BudgetConfig, Unit
from agent.call import UNBILLED_DOORS
from agent.cost.breakdown import exact
from agent.phone_sections import OWN_PROFILE
from agent.records.record import BOX_STOPPED, CallRecord, TurnRecord
from agent.usage import Usage

Reckon = Callable[[Usage, bool], Decimal | None]
"""Dollars of a usage; the second tells whether the box placed the call. None: not known."""

_NUMBER = re.compile(r"\+?[0-9]{3,}")


@dataclass(frozen=True, slots=True)
class Party:
    """Whose a call is: what budgets may be counted by."""

    profile: str
    caller: str
    trunk: str
    tenant: str

    def subject(self, budget: BudgetConfig) -> str | None:
        """Whose spending ``budget`` adds it to; None: it does not count such a call."""
        if budget.per == "box":
            return ""
        subject: str = getattr(self, budget.per)
        return subject if subject and (not budget.only or subject in budget.only) else None


def party(profile: str, caller: str, trunk: str, tenant: str) -> Party:
    """As budgets name them: a number without the host that it came by, [agent] by its name."""
    user = caller.partition("@")[0]
    return Party(profile or OWN_PROFILE, user if _NUMBER.fullmatch(user) else caller, trunk, tenant)


@dataclass(frozen=True, slots=True)
class Spending:
    """Of one call, from its beginning."""

    usd: Decimal = Decimal(0)
    """Owned, at the utilisation that was measured."""
    call_s: float = 0.0
    tokens: int = 0
    """Prompts, cached tokens included, and answers: what a rented model would bill."""
    machine_s: float = 0.0
    """Engine-seconds, thrown-away ones included."""

    @classmethod
    def of(cls, usage: Usage, usd: Decimal | None) -> "Spending":
        """``usd``: what ``usage`` cost; None counts as nothing, which is checked for at start."""
        return cls(
            usd=usd or Decimal(0),
            call_s=usage.call_s,
            tokens=usage.prompt_tokens + usage.generated_tokens,
            machine_s=sum(usage.busy_s.values()),
        )

    def amount(self, unit: Unit) -> Decimal:
        """In a budget's unit."""
        match unit:
            case "usd":
                return self.usd
            case "minutes":
                return exact(self.call_s) / 60
            case "tokens":
                return Decimal(self.tokens)
            case "machine_s":
                return exact(self.machine_s)


def recorded_spending(
    record: CallRecord, turns: Sequence[TurnRecord], now: datetime, reckon: Reckon
) -> Spending:
    """What a call of the records spent. ``turns`` are read of one whose end nobody recorded.

    One under way has been connected until now; one that the box stopped in, up to the last thing
    that is known of it.
    """
    usage = record.usage
    if needs_turns(record):
        usage = sum((turn.usage for turn in turns), Usage())
        call_s = (now - record.started_at).total_seconds()
        if record.cause is not None:
            marks_s = [at for turn in turns for at in _marks_s(turn)]
            call_s = max(marks_s) - min(marks_s) if marks_s else 0.0
        telephony_s = 0.0 if record.door in UNBILLED_DOORS else call_s
        usage = replace(usage, call_s=max(0.0, call_s), telephony_s=max(0.0, telephony_s))
    elif record.owned_usd is not None:
        return Spending.of(usage, record.owned_usd)
    return Spending.of(usage, reckon(usage, record.direction == "outbound"))


def needs_turns(record: CallRecord) -> bool:
    """Whether its record alone does not tell what it spent."""
    return record.cause is None or (record.cause == BOX_STOPPED and record.usage == Usage())


def _marks_s(turn: TurnRecord) -> list[float]:
    zero_s = turn.trace.zero_s
    if zero_s is None:
        return []
    return [zero_s, *(zero_s + ms / 1000 for ms in turn.trace.at_ms().values())]
