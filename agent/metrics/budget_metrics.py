"""How the budgets stand. Callers are nobody's labels: of those, only how many are where."""

from collections import Counter
from collections.abc import Iterable, Sequence

from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from agent.budgets.ledger import Level, Standing
from agent.metrics.tally import MOST_SERIES


def budgets_of(standings: Sequence[Standing]) -> Iterable[Metric]:
    """Every account of the periods under way; nothing where there are no budgets. Pure."""
    if not standings:
        return
    limit = GaugeMetricFamily(
        "offhook_budget_limit", "What may be spent.", labels=("budget", "per", "period", "unit")
    )
    for budget in {standing.budget.name: standing.budget for standing in standings}.values():
        limit.add_metric([budget.name, budget.per, budget.period, budget.unit], float(budget.limit))
    yield limit
    named = [each for each in standings if each.budget.per != "caller"][:MOST_SERIES]
    spent = GaugeMetricFamily(
        "offhook_budget_spent",
        "What was spent in the period under way; budgets of callers are in the next metric alone.",
        labels=("budget", "subject", "unit"),
    )
    for each in named:
        values = [each.budget.name, each.account.subject, each.budget.unit]
        spent.add_metric(values, float(each.spent))
    yield spent
    accounts = GaugeMetricFamily(
        "offhook_budget_accounts",
        "Accounts of a budget (callers, profiles, ...) by how far they are spent.",
        labels=("budget", "level"),
    )
    counted = Counter((each.budget.name, each.level) for each in standings)
    for name in {each.budget.name for each in standings}:
        for level in Level:
            accounts.add_metric([name, level.name.lower()], counted[name, level])
    yield accounts
    furthest = GaugeMetricFamily(
        "offhook_budget_used_ratio",
        "Spent over limit, of the account of a budget that is furthest; over 1 is passed.",
        labels=("budget",),
    )
    shares: dict[str, float] = {}
    for each in standings:
        shares[each.budget.name] = max(each.share, shares.get(each.budget.name, 0.0))
    for name, share in shares.items():
        furthest.add_metric([name], share)
    yield furthest
