"""Own or rent, in the words that whoever pays the bills needs. Pure."""

from collections.abc import Mapping
from decimal import Decimal

from agent.cost.break_even import OwnedBox, Verdict, break_even

HUNDRED_USD = Decimal(100)


def recommendation(
    box: OwnedBox,
    rates: Mapping[str, Decimal | None],
    minutes_per_month: Decimal,
    operations_usd_per_month: Decimal,
) -> str:
    """Against the cheapest and the dearest stack whose price is known, at that traffic.

    ``rates``: stack -> dollars a minute, None where not known. ``operations_usd_per_month``: what
    of the box's cost is for whoever looks after it.
    """
    known = sorted((rate, stack) for stack, rate in rates.items() if rate is not None)
    if not known:
        return "No rented stack's price is known, so nobody can say whether to own or to rent."
    said = [_against(box, stack, rate, minutes_per_month) for rate, stack in known[:1]]
    if len(known) > 1:
        rate, stack = known[-1]
        said.append(_against(box, stack, rate, minutes_per_month))
    unknown = len(rates) - len(known)
    if unknown:
        said.append(f"The price of {unknown} more is not known.")
    if box.fixed_usd_per_month is not None:
        begins = f"{box.name} costs {box.fixed_usd_per_month:,.2f} dollars a month before the first"
        said.insert(0, f"{begins} call.")
    if not operations_usd_per_month:
        said.append(_unattended(box, known[0][0]))
    return " ".join(said)


def _unattended(box: OwnedBox, cheapest: Decimal) -> str:
    """That nobody is paid to look after the box, and what it would do if somebody were."""
    said = "Nobody is paid to look after it (`operations_usd_per_month` is 0)"
    marginal = box.marginal_usd_per_min
    if marginal is None or cheapest <= marginal:
        return f"{said}."
    more = HUNDRED_USD / (cheapest - marginal)
    return f"{said}: every 100 dollars a month of that add {more:,.0f} minutes to the cheapest's."


def _against(box: OwnedBox, stack: str, rate: Decimal, minutes: Decimal) -> str:
    found = break_even(box, stack, rate)
    if found.verdict is Verdict.UNKNOWN:
        return f"Whether it beats {stack} nobody can say: {found.why}."
    owned, rented = box.usd_per_month(minutes), rate * minutes
    assert owned is not None
    cheaper = "own" if owned < rented else "rent"
    least = "at least " if box.leaves_out else ""
    if found.verdict is Verdict.RENT:
        pays = f"Against {stack} ({rate:.4f} a minute) it never pays: {found.why}"
    else:
        pays = (
            f"Against {stack} ({rate:.4f} a minute) it pays from {least}"
            f"{found.minutes_per_month:,.0f} minutes a month ({found.utilisation:.1%} busy)"
        )
    return (
        f"{pays}; at the recorded rate of {minutes:,.0f} minutes a month {cheaper}, which saves "
        f"{abs(owned - rented):,.2f} dollars a month."
    )
