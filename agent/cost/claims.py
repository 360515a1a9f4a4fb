"""The founding articles' claims, each reckoned from prices and measurements. Pure.

Nothing here knows a verdict: each claim has a figure (`claims.toml`), a formula, inputs from the
price book and from measured usage, and what the formula makes of them. Change an input and the
verdict changes. A claim whose inputs this box does not have *cannot be checked here*, and says what
would.
"""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any

from agent.cost.breakdown import CostBreakdown, exact
from agent.cost.measured import Measured
from agent.cost.owned import Box, View
from agent.cost.price_book import PriceBook
from agent.cost.price_row import Price
from agent.cost.rented import price_usd
from agent.usage import Usage

SHIPPED = Path(__file__).with_name("claims.toml")
ABOUT = Decimal("0.25")
""""About" and "as low as" leave so large a share of room."""


class Verdict(StrEnum):
    """What became of a claim."""

    HOLDS = "holds"
    FAILS = "does not hold"
    UNCHECKED = "cannot be checked here"


@dataclass(frozen=True, slots=True)
class Facts:
    """What claims are checked against."""

    book: PriceBook
    box: Box
    measured: Measured | None = None
    """The calls, each billed by itself; None: there are none."""
    capacity_calls: int | None = None
    """Calls at once that the box carries, as measured; None: not known."""
    training_usd: Decimal | None = None
    """Spent on training and fine-tuning; None: no such line was entered."""
    inference_usd: Decimal | None = None
    """What the calls cost at measured utilisation, without the trunk, which computes nothing; None:
    not known."""
    given: Mapping[str, Decimal] = field(default_factory=dict)
    """What no box can measure of itself, and somebody knows, by name (`agent.cost_command.INPUTS`);
    each is over 0."""

    @property
    def usage(self) -> Usage:
        """Of the measured calls together; nothing measured: all 0."""
        return Usage() if self.measured is None else self.measured.usage

    def owned(self, view: View) -> CostBreakdown | None:
        """The calls' bills here, added up; None where the view was not measured."""
        return None if self.measured is None else self.measured.owned.get(view)


@dataclass(frozen=True, slots=True)
class Checked:
    """One claim, reckoned."""

    name: str
    claim: str
    source: str
    formula: str
    inputs: Mapping[str, Decimal | str | None]
    measured: Decimal | None
    verdict: Verdict
    why: str

    def to_json(self) -> dict[str, Any]:
        """JSON types only; numbers as text, exact."""
        return {
            "name": self.name,
            "claim": self.claim,
            "source": self.source,
            "formula": self.formula,
            "inputs": {key: None if v is None else str(v) for key, v in self.inputs.items()},
            "measured": None if self.measured is None else str(self.measured),
            "verdict": self.verdict.value,
            "why": self.why,
        }


@dataclass(frozen=True, slots=True)
class _Found:
    """What a formula made of the facts."""

    verdict: Verdict
    why: str
    measured: Decimal | None = None
    inputs: Mapping[str, Decimal | str | None] = field(default_factory=dict)


_Check = Callable[[Facts, Decimal], _Found]


def check_claims(
    facts: Facts, claims: Mapping[str, Mapping[str, str]] | None = None
) -> list[Checked]:
    """Every claim, in the file's order; ``claims``: None takes those that ship.

    Raises KeyError for a claim that nobody knows how to check.
    """
    written = tomllib.loads(SHIPPED.read_text(encoding="utf-8")) if claims is None else claims
    checked = []
    for name, row in written.items():
        formula, check = _CHECKS[name]
        figure = Decimal(row["figure"])
        found = check(facts, figure)
        checked.append(
            Checked(
                name=name,
                claim=row["claim"],
                source=row["source"],
                formula=formula,
                inputs={"figure": figure, **found.inputs},
                measured=found.measured,
                verdict=found.verdict,
                why=found.why,
            )
        )
    return checked


def _at_most(measured: Decimal, figure: Decimal) -> Verdict:
    return Verdict.HOLDS if measured <= figure else Verdict.FAILS


def _unchecked(why: str, **inputs: Decimal | str | None) -> _Found:
    return _Found(Verdict.UNCHECKED, why, inputs=inputs)


def _agent_all_in(facts: Facts, figure: Decimal) -> _Found:
    price = facts.book.prices["telnyx-voice-ai"].usd
    if price is None:
        return _unchecked("the price book has no price for it", price=None)
    why = f"the price book has it at {price} a minute, without model and line"
    inputs: dict[str, Decimal | str | None] = {"telnyx-voice-ai": price}
    if (cost := facts.owned(View.UTILISATION)) is not None:
        here = inputs["this_box_usd_per_min"] = cost.usd_per_min(facts.usage.call_s)
        why += "; this box's price is not known" if here is None else f"; this box: {here:.4f}"
    return _Found(_at_most(price, figure), why, price, inputs)


def _llm_on_owned(facts: Facts, figure: Decimal) -> _Found:
    measured, cost = facts.measured, facts.owned(View.CAPACITY)
    if measured is None or cost is None:
        return _unchecked(
            "it takes calls that were measured, and a capacity: offhook bench capacity --install"
        )
    llm, total = cost.lines_usd["llm"], cost.total_usd
    if llm is None or total is None:
        return _unchecked("this box's own price is not known", box=facts.box.name)
    minutes = measured.minutes
    # Idle time is paid for, too: the model's part of the work bears its part of it.
    work = sum(
        (usd for line, usd in cost.lines_usd.items() if usd and line not in ("idle", "trunk")),
        Decimal(0),
    )
    idle = cost.lines_usd["idle"] or Decimal(0)
    per_min = (llm + (idle * llm / work if work else Decimal(0))) / minutes
    gpu_s = exact(facts.usage.gpu_s)
    inputs = {"llm_usd": llm, "idle_usd": idle, "minutes": minutes, "gpu_s": gpu_s}
    full = f"{facts.box.hardware.what}, full with {facts.capacity_calls} calls"
    if not gpu_s:
        why = f"no GPU worked in these calls; the measured figure is of {full}"
        return _Found(Verdict.UNCHECKED, why, per_min, inputs)
    return _Found(_at_most(per_min, figure), full, per_min, inputs)


def _times_cheaper(dear: str, cheap: str) -> _Check:
    def check(facts: Facts, figure: Decimal) -> _Found:
        prices = facts.book.prices
        if dear not in prices or cheap not in prices:
            return _unchecked(f"the price book lacks {dear} or {cheap}")
        high, low = prices[dear].usd, prices[cheap].usd
        inputs = {dear: high, cheap: low}
        if high is None or not low:
            return _unchecked("one of the two prices is not known", **inputs)
        times = high / low
        enough = times >= figure * (1 - ABOUT)
        verdict = Verdict.HOLDS if enough else Verdict.FAILS
        return _Found(verdict, f"{times:.1f} times, by list prices", times, inputs)

    return check


def _open_against_closed(facts: Facts, figure: Decimal) -> _Found:
    usage = facts.usage
    tokens = usage.prompt_tokens + usage.generated_tokens
    if not tokens:
        return _unchecked("it takes measured calls, for what they read and write of tokens")
    open_usd, open_name = _cheapest(facts, ("together-llama-3.1-8b", "groq-gpt-oss-20b"))
    closed_usd, closed_name = _cheapest(facts, ("gpt-4.1", "claude-haiku-4.5", "gemini-2.5-flash"))
    if open_usd is None or not closed_usd:
        return _unchecked("a price is not known")
    millions = Decimal(tokens) / 1_000_000
    less = 1 - open_usd / closed_usd
    return _Found(
        Verdict.HOLDS if less >= figure else Verdict.FAILS,
        f"{less:.0%} less for the same calls: {open_name} at {open_usd / millions:.2f} a million "
        f"against {closed_name}, the cheapest closed one, at {closed_usd / millions:.2f}",
        less,
        {"open_usd": open_usd, "closed_usd": closed_usd, "million_tokens": millions},
    )


def _cheapest(facts: Facts, names: tuple[str, ...]) -> tuple[Decimal | None, str]:
    def usd(price: Price) -> Decimal | None:
        return price_usd(facts.usage, price)

    known = [
        (cost, name)
        for name in names
        if name in facts.book.prices and (cost := usd(facts.book.prices[name])) is not None
    ]
    return min(known) if known else (None, "")


def _agentic_tokens(facts: Facts, figure: Decimal) -> _Found:
    usage, agentic = facts.usage, facts.given.get("agentic_tokens_per_turn")
    plain = None
    if usage.turns:
        plain = Decimal(usage.prompt_tokens + usage.generated_tokens) / usage.turns
    if agentic is None or not plain:
        return _unchecked(
            "calls here are plain turns without tools: give what one with tools takes, with "
            "--input agentic_tokens_per_turn=N",
            agentic_tokens_per_turn=agentic,
            plain_tokens_per_turn=plain,
        )
    times = agentic / plain
    return _Found(
        Verdict.HOLDS if times >= figure else Verdict.FAILS,
        f"{times:.1f} times the {plain:,.0f} tokens of a turn here",
        times,
        {"agentic_tokens_per_turn": agentic, "plain_tokens_per_turn": plain},
    )


def _minutes_per_usd(facts: Facts) -> Decimal | None:
    """Of a full box, its trunk left out: what hardware does for a dollar."""
    measured, cost = facts.measured, facts.owned(View.CAPACITY)
    if measured is None or cost is None:
        return None
    total, trunk = cost.total_usd, cost.lines_usd["trunk"]
    if total is None or trunk is None or total <= trunk:
        return None
    return measured.minutes / (total - trunk)


def _turns_per_joule(facts: Facts) -> Decimal | None:
    spent_j = Decimal(0) if facts.measured is None else facts.measured.joules
    return Decimal(facts.usage.turns) / spent_j if facts.usage.turns and spent_j else None


def _gain(now: str, before: str, measure: Callable[[Facts], Decimal | None]) -> _Check:
    """A year's gain: what is measured here, against what somebody gives of a year ago."""

    def check(facts: Facts, figure: Decimal) -> _Found:
        here, then = measure(facts), facts.given.get(before)
        inputs = {now: here, before: then}
        if here is None:
            return _unchecked("it takes measured calls, the box's price and its capacity", **inputs)
        if then is None:
            return _unchecked(
                f"there is one box, of one year: give the same of a year ago, --input {before}=N",
                **inputs,
            )
        gain = here / then - 1
        verdict = Verdict.HOLDS if gain >= figure else Verdict.FAILS
        return _Found(verdict, f"{gain:+.0%} in a year", gain, inputs)

    return check


def _inference_share(facts: Facts, figure: Decimal) -> _Found:
    training, inference = facts.training_usd, facts.inference_usd
    if training is None or not inference:
        return _unchecked(
            "nothing was trained here: enter what was as [cost.training.NAME]"
            if training is None
            else "what inference costs here is not known: it takes calls, and the box's price",
            training_usd=training,
            inference_usd=inference,
        )
    share = inference / (inference + training)
    return _Found(
        Verdict.HOLDS if share >= figure else Verdict.FAILS,
        f"inference is {share:.0%} of what was spent on both, in dollars, for want of operations",
        share,
        {"training_usd": training, "inference_usd": inference},
    )


def _own_or_be_eaten(facts: Facts, figure: Decimal) -> _Found:
    measured, cost = facts.measured, facts.owned(View.UTILISATION)
    if measured is None or cost is None:
        return _unchecked("it takes calls that were measured over some time")
    owned = cost.total_usd
    rented = [(bill.total_usd, stack) for stack, bill in measured.rented.items() if bill.total_usd]
    if owned is None or not rented:
        return _unchecked("this box's price, or every rented one, is not known")
    cheapest, stack = min(rented)
    beaten = sum(usd > owned for usd, _ in rented)
    times = cheapest / owned if owned else Decimal("Infinity")
    return _Found(
        Verdict.HOLDS if times >= figure else Verdict.FAILS,
        f"at measured utilisation the cheapest stack, {stack}, costs {times:.2f} times what this "
        f"box does; the box is cheaper than {beaten} of {len(rented)}",
        times,
        {"owned_usd": owned, "cheapest_rented_usd": cheapest, "calls_at_once": measured.mean_calls},
    )


_CHECKS: Mapping[str, tuple[str, _Check]] = {
    "agent-all-in": ("price of Telnyx's Voice AI engine <= figure", _agent_all_in),
    "llm-on-owned-gpus": (
        "(model's work + its part of idle) / minutes, at capacity <= figure",
        _llm_on_owned,
    ),
    "tts-against-elevenlabs": (
        "ElevenLabs Flash / Telnyx, by 1,000 characters >= figure, less a quarter",
        _times_cheaper("elevenlabs-flash", "telnyx-tts"),
    ),
    "sip-against-twilio": (
        "Twilio Voice / Telnyx SIP, inbound, by the minute >= figure, less a quarter",
        _times_cheaper("twilio-voice-inbound", "telnyx-sip-inbound"),
    ),
    "open-against-closed": (
        "1 - cheapest open / cheapest closed, for the measured tokens >= figure",
        _open_against_closed,
    ),
    "agentic-tokens": (
        "tokens of an agentic turn / tokens of a plain one, as measured >= figure",
        _agentic_tokens,
    ),
    "hardware-price-performance": (
        "minutes a dollar, at capacity, now / a year ago - 1 >= figure",
        _gain("minutes_per_usd", "minutes_per_usd_a_year_ago", _minutes_per_usd),
    ),
    "energy-efficiency": (
        "turns a joule now / a year ago - 1 >= figure",
        _gain("turns_per_joule", "turns_per_joule_a_year_ago", _turns_per_joule),
    ),
    "inference-share": (
        "inference / (inference + training), in dollars >= figure",
        _inference_share,
    ),
    "own-or-be-eaten": (
        "cheapest rented stack / this box at measured utilisation >= figure",
        _own_or_be_eaten,
    ),
}
"""Claim -> its formula in words, and how it is reckoned."""
