"""``GET /metrics``: what Prometheus scrapes."""

import asyncio
from datetime import UTC, datetime

from fastapi import APIRouter, Request, Response

from agent.box import Box
from agent.metrics.box_metrics import engines_of, money_of, places_of, process_of
from agent.metrics.budget_metrics import budgets_of
from agent.metrics.call_metrics import CallMetrics
from agent.metrics.exposition import written


def metrics_routes(box: Box) -> APIRouter:
    """The route; `agent.web.server` asks for the token before it. Watches the box's calls from
    here on."""
    routes = APIRouter()
    calls = CallMetrics()
    box.watchers.append(calls)

    @routes.get("/metrics")
    async def metrics(request: Request) -> Response:
        calls.expect(box.bill)
        # Read on the loop that changes it, in a millisecond; written beside it.
        counts = calls.counts()
        now = [*places_of(box), *engines_of(box), *money_of(box)]
        budgets = box.budgets
        accept = request.headers.get("Accept", "")

        def write() -> tuple[bytes, str]:
            standings = [] if budgets is None else budgets.standings(datetime.now(UTC))
            families = [*(each.family() for each in counts), *now, *budgets_of(standings)]
            return written([*families, *process_of()], accept)

        body, content_type = await asyncio.to_thread(write)
        return Response(body, headers={"Content-Type": content_type})

    return routes
