"""What the operator's pages read of the box itself: its state, its costs over time, its settings.

Everything here is read; nothing changes.
"""

import asyncio
import time
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from agent.box import Box
from agent.records import history
from agent.records.record import to_text
from agent.records.schema import StoreError
from agent.supervisor import status_file
from agent.web.box_state import box_state, weights_of
from agent.web.cost_history import DIMENSIONS, LINE, CostHistory
from agent.web.fleet_state import fleet_now
from agent.web.long_answer import long_answer
from agent.web.memory import read_memory
from agent.web.periods import Length, TooMany, length_for
from agent.web.queries import Moment, Readers, TooManyReaders
from agent.web.shown_settings import shown

MOST_CALLS = 20_000
"""In one answer about costs: the latest ones."""
PAUSE_EVERY = 8
PAUSE_S = 0.001
"""Reckoning lets the calls that are under way have the interpreter."""


class AskedCosts(BaseModel):
    """The query of ``GET /api/costs``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    by: str = LINE
    since: Moment | None = None
    until: Moment | None = None
    length: Annotated[Length | None, Field(description="of a period; None: what is readable")] = (
        None
    )

    @field_validator("by")
    @classmethod
    def _known(cls, by: str) -> str:
        if by not in DIMENSIONS:
            raise ValueError(f"must be one of {', '.join(DIMENSIONS)}")
        return by


def operator_routes(box: Box) -> APIRouter:
    """The routes; `agent.web.server` asks for the token before them."""
    routes = APIRouter(prefix="/api")
    readers = Readers()
    weights: dict[str, int | None] = {}

    @routes.get("/box")
    async def state() -> dict[str, Any]:
        """How the box is now; what counts up does so since its start."""
        if not weights:
            weights.update(await asyncio.to_thread(weights_of, box.config))
        memory = await asyncio.to_thread(read_memory)
        fleet = await asyncio.to_thread(fleet_now, status_file(box.config))
        state = box_state(box, weights, time.monotonic())
        return {**state, "memory": memory.to_json(), "fleet": fleet}

    @routes.get("/costs")
    async def costs(request: Request) -> Response:
        """What recorded calls cost, period by period."""
        try:
            asked = AskedCosts.model_validate(dict(request.query_params))
        except ValidationError as error:
            return _error(400, _mistakes(error))
        try:
            return await readers.read(lambda: long_answer(_costs(box, asked)))
        except TooMany as error:
            return _error(400, str(error))
        except (StoreError, TooManyReaders) as error:
            return _error(503, str(error))

    @routes.get("/settings")
    async def settings() -> dict[str, Any]:
        """Every setting; no secret."""
        return {"tables": shown(box.config)}

    return routes


def _costs(box: Box, asked: AskedCosts) -> dict[str, Any]:
    now = datetime.now(UTC)
    made = CostHistory(box.bill, asked.by)
    records = history.calls(
        box.store.source,
        since=asked.since,
        until=asked.until,
        limit=MOST_CALLS + 1,
        newest_first=True,
    )
    read = 0
    for read, record in enumerate(records, start=1):
        if read > MOST_CALLS:
            break
        made.add(record)
        _give_way(read)
    was_there = asked.since is not None and _any_before(box, asked.since)
    begins_at, ends_at = made.span(asked.since, asked.until, now, was_there=was_there)
    for number, _ in enumerate(made.priced(begins_at, ends_at)):
        _give_way(number)
    hourly = box.bill.box.fixed_usd_per_hour
    return {
        **made.to_json(begins_at, ends_at, asked.length or length_for(begins_at, ends_at)),
        "now": to_text(now),
        "from_first_call": not was_there,
        "left_out": read > MOST_CALLS,
        "most_calls": MOST_CALLS,
        "fixed_usd_per_hour": None if hourly is None else float(hourly),
    }


def _any_before(box: Box, at: datetime) -> bool:
    return next(history.calls(box.store.source, until=at, limit=1), None) is not None


def _give_way(number: int) -> None:
    if number % PAUSE_EVERY == 0:
        time.sleep(PAUSE_S)


def _mistakes(error: ValidationError) -> str:
    details = error.errors(include_url=False, include_context=False, include_input=False)
    said = "; ".join(f"`{'.'.join(str(p) for p in d['loc'])}`: {d['msg']}" for d in details)
    return f"{said}; fields: {', '.join(AskedCosts.model_fields)}"


def _error(status: int, message: str) -> JSONResponse:
    return JSONResponse({"error": message}, status_code=status)
