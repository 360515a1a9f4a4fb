"""The section of the settings about budgets: what may be spent, and what happens then."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, SecretStr

from agent.phone_sections import OWN_PROFILE
from agent.sections import Name, Probability, Section, unset

Per = Literal["box", "profile", "caller", "trunk", "tenant"]
Period = Literal["day", "month"]
Unit = Literal["usd", "minutes", "tokens", "machine_s"]
Action = Literal["warn", "cheaper", "refuse", "end"]

MESSAGE = "I am sorry, I cannot go on with this call now. Please call again later. Goodbye."


def _zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (KeyError, ValueError, OSError):
        raise ValueError(
            "must be a time zone of this machine's, such as UTC or Europe/Berlin"
        ) from None
    return text


class BudgetConfig(Section):
    """One limit, and what is done on the way to it and there."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9]+([-_][a-z0-9]+)*$", max_length=40)]
    per: Per = "box"
    """Whose spending is added up: all, or each profile's, caller's, trunk's, tenant's apart."""
    only: tuple[Name, ...] = ()
    """Those of them that it is for; empty: each."""
    period: Period = "day"
    """A call counts whole in the one in which it began."""
    time_zone: Annotated[str, AfterValidator(_zone)] = "UTC"
    """Where days and months begin at midnight."""
    unit: Unit = "usd"
    limit: Annotated[Decimal, Field(gt=0, allow_inf_nan=False)]
    warn_at: Probability = 0.8
    """Share of the limit."""
    action: Action = "warn"
    """What happens at the limit, besides a warning."""
    cheaper_llm: Name | None = None
    """With ``cheaper``: the language model of new calls and of next turns."""
    cheaper_profile: Name | None = None
    """With ``cheaper``: who answers new calls."""
    message: Name = MESSAGE
    """What a caller hears before the box hangs up."""
    speak_refusal: bool = False
    """Answer telephone calls that are refused, to say ``message``."""
    webhook: str | None = Field(default=None, pattern=r"^https?://")
    """Is told of warning and limit (POST, JSON)."""
    webhook_secret: SecretStr | None = None
    """Signs what it is told."""
    webhook_secret_env: Name | None = None
    """The environment variable that holds it."""

    @property
    def refuses(self) -> bool:
        """Whether new calls are refused at the limit."""
        return self.action in ("refuse", "end")

    def secret(self, environ: Mapping[str, str]) -> str:
        """What its webhook is signed with; empty: nothing."""
        if self.webhook_secret_env:
            return environ.get(self.webhook_secret_env, "")
        return self.webhook_secret.get_secret_value() if self.webhook_secret else ""

    def faults(self, environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """Keys that go together."""
        cheaper = self.cheaper_llm is not None or self.cheaper_profile is not None
        if (self.action == "cheaper") != cheaper:
            yield (
                "action",
                'is "cheaper", which needs `cheaper_llm` or `cheaper_profile`'
                if not cheaper
                else f'is {self.action!r}; `cheaper_llm` and `cheaper_profile` go with "cheaper"',
            )
        if self.only and self.per == "box":
            yield "only", "goes with a `per` other than box"
        if self.speak_refusal and not self.refuses:
            yield "speak_refusal", 'goes with `action = "refuse"` or "end"'
        if self.webhook_secret is not None and self.webhook_secret_env is not None:
            yield "webhook_secret_env", "is given beside `webhook_secret`; keep one of them"
        if self.webhook_secret_env and not environ.get(self.webhook_secret_env):
            yield "webhook_secret_env", unset(self.webhook_secret_env)
        if self.webhook is None and (self.webhook_secret or self.webhook_secret_env):
            key = "webhook_secret" if self.webhook_secret else "webhook_secret_env"
            yield key, "goes with `webhook`"
        if not re.search(r"\w", self.message):
            yield "message", "has no words to speak"


def budget_faults(
    budgets: Sequence[BudgetConfig], profiles: Collection[str], trunks: Collection[str]
) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """What is wrong with a budget beside the rest of the settings: the table, the key, what."""
    known = {"profile": (OWN_PROFILE, *profiles), "trunk": tuple(trunks)}
    names = [budget.name for budget in budgets]
    for number, budget in enumerate(budgets):
        table = ("budgets", str(number))
        if budget.name in names[:number]:
            yield table, "name", f"is {budget.name!r}, as of another budget; choose another"
        for name in budget.only:
            if budget.per in known and name not in known[budget.per]:
                there = ", ".join(known[budget.per]) or "none"
                yield table, "only", f"names {name!r}; there is: {there}"
        if budget.cheaper_profile not in (None, *known["profile"]):
            there = ", ".join(known["profile"])
            yield table, "cheaper_profile", f"is {budget.cheaper_profile!r}; there is: {there}"
