"""How the budgets stand: ``GET /api/budgets``."""

import asyncio
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter

from agent.box import Box
from agent.records.record import to_text

LIST_LIMIT = 500
"""Accounts that are told of; a budget of every caller may have as many as there are callers."""


def budgets_routes(box: Box) -> APIRouter:
    """The route; `agent.web.server` asks for the token before it."""
    routes = APIRouter(prefix="/api")

    @routes.get("/budgets")
    async def budgets(limit: int = 100) -> dict[str, Any]:
        """Every account of the periods under way, the most spent of a budget first."""
        now, held = datetime.now(UTC), box.budgets
        standings = [] if held is None else await asyncio.to_thread(held.standings, now)
        shown = standings[: max(1, min(limit, LIST_LIMIT))]
        return {
            "budgets": [standing.to_json() for standing in shown],
            "left_out": len(standings) - len(shown),
            "now": to_text(now),
        }

    return routes
