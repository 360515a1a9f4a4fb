"""Calls that a program has the box place, and what was said in any call: ``/v1/calls``."""

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent.admission import BoxFull
from agent.box import Box
from agent.outbound import MAX_ANSWER_LIMIT_S, Outbound
from agent.placed_call import CallRequest, PlacedCall
from agent.records.record import CallRecord, TurnRecord, to_text
from agent.web.body import read_body
from agent.web.long_answer import long_answer
from telephony.trunk import DialRefused, Fault

BODY_LIMIT_BYTES = 4 * 1024
LIST_LIMIT = 500
STATUS_OF = {Fault.BAD_REQUEST: 400, Fault.NOT_ALLOWED: 403, Fault.TOO_MANY: 429}
NO_DOOR = (
    "this box places no calls: its telephone door is closed; set `enabled` in [sip] and see "
    "what `offhook serve` says of the port"
)
CLOCK_SLACK = timedelta(seconds=2)
"""The wall clock may have been set by so much since the call."""

Text = Annotated[str, Field(max_length=255)]


class NewCall(BaseModel):
    """The body of ``POST /v1/calls``."""

    model_config = ConfigDict(extra="forbid", strict=True)

    to: Annotated[str, Field(min_length=1, max_length=255)]
    trunk: Text = ""
    profile: Text = ""
    caller_id: Text = ""
    answer_limit_s: Annotated[float, Field(gt=0, le=MAX_ANSWER_LIMIT_S)] = 30.0


def calls_routes(box: Box) -> APIRouter:
    """The routes; `agent.web.server` asks for the token before them."""
    routes = APIRouter(prefix="/v1")

    @routes.post("/calls")
    async def place(request: Request, wait: bool = False) -> Response:
        """Places a call: 201 as soon as it is dialled, with ``wait`` once it is decided."""
        body = await read_body(request, BODY_LIMIT_BYTES)
        if body is None:
            return _error(413, f"the body is over {BODY_LIMIT_BYTES // 1024} KiB")
        try:
            new = NewCall.model_validate_json(body)
        except ValidationError as error:
            return _error(400, _mistakes(error))
        if box.outbound is None:
            return _error(503, NO_DOOR)
        try:
            call = box.outbound.place(CallRequest(**new.model_dump()))
        except DialRefused as refused:
            return _error(STATUS_OF[refused.fault], str(refused))
        except BoxFull as full:
            box.refusals["outbound"] += 1
            return _error(503, str(full), full.headers)
        if wait:
            await box.outbound.settled(call)
        return JSONResponse(
            call.to_json(), status_code=201, headers={"Location": f"/v1/calls/{call.call_id}"}
        )

    @routes.get("/calls")
    async def recent(limit: int = 20) -> dict[str, Any]:
        """The latest placed calls of this process, latest first."""
        known = box.outbound.recent(max(1, min(limit, LIST_LIMIT))) if box.outbound else []
        return {"calls": [call.to_json() for call in known]}

    @routes.get("/calls/{call_id}")
    async def show(call_id: str) -> Response:
        """One placed call; an older one as its record tells."""
        call = _known(box.outbound, call_id) or await _recorded(box, call_id)
        return JSONResponse(call.to_json()) if call else _nobody(call_id)

    @routes.get("/calls/{call_id}/turns")
    async def turns(call_id: str) -> Response:
        """The record of any call, under way or over, and its turns so far."""

        def found() -> Response:
            known = box.store.call(call_id)
            if known is None or known[0].call_id != call_id:
                return _error(404, f"this box has no record of a call {call_id[:40]!r}")
            call, turns = known
            now = datetime.now(UTC)
            told = turns_json(call, turns, now, time.monotonic())
            return long_answer({"call": call.to_json(), "turns": told, "now": to_text(now)})

        return await asyncio.to_thread(found)

    @routes.delete("/calls/{call_id}")
    async def hang_up(call_id: str) -> Response:
        """Gives up a call, or ends it where it was answered; 409 where it is over."""
        call = _known(box.outbound, call_id)
        if call is None or box.outbound is None:
            return _nobody(call_id)
        if not box.outbound.hang_up(call):
            return _error(409, f"call {call_id} is over")
        return JSONResponse(call.to_json(), status_code=202)

    return routes


def turns_json(
    call: CallRecord, turns: Sequence[TurnRecord], now: datetime, now_s: float
) -> list[dict[str, Any]]:
    """Each turn as the page is told of it (docs/events.md), and ``at``: when in UTC.

    ``now_s`` is the monotonic time of ``now``. Marks are monotonic: of a call from before the
    machine started, they say nothing about the day, and ``at`` is null.
    """
    earliest = call.started_at - CLOCK_SLACK
    latest = (call.ended_at or now) + CLOCK_SLACK
    told = []
    for turn in turns:
        zero_s = turn.trace.zero_s
        at = None if zero_s is None else now - timedelta(seconds=now_s - zero_s)
        told.append(
            {
                "turn": turn.turn,
                "heard": turn.heard,
                "answer": turn.answer,
                "interrupted": turn.interrupted,
                "at": to_text(at) if at is not None and earliest <= at <= latest else None,
                "at_ms": turn.trace.at_ms(),
                "stages_ms": turn.trace.stages_ms(),
                "total_ms": turn.trace.total_ms,
                "usage": asdict(turn.usage),
                "owned_usd": None if turn.owned_usd is None else format(turn.owned_usd, "f"),
            }
        )
    return told


def _known(outbound: Outbound | None, call_id: str) -> PlacedCall | None:
    return outbound.find(call_id) if outbound else None


async def _recorded(box: Box, call_id: str) -> PlacedCall | None:
    found = await asyncio.to_thread(box.store.call, call_id)
    if found is None or found[0].direction != "outbound" or found[0].call_id != call_id:
        return None
    return PlacedCall.from_record(*found)


def _mistakes(error: ValidationError) -> str:
    """What is wrong with the body, each field by name."""
    said = []
    for detail in error.errors(include_url=False, include_context=False, include_input=False):
        name = ".".join(str(part) for part in detail["loc"])
        if not name:
            shape = json.dumps({"to": "+15551234567"})
            return f"the body must be a JSON object such as {shape}: {detail['msg']}"
        if detail["type"] == "extra_forbidden":
            said.append(f"unknown field `{name[:40]}`; fields: {', '.join(NewCall.model_fields)}")
        elif detail["type"] == "missing":
            said.append(f"`{name}` is missing: a telephone number or a SIP address")
        else:
            said.append(f"`{name}`: {detail['msg']}")
    return "; ".join(said)


def _nobody(call_id: str) -> JSONResponse:
    return _error(404, f"this box has placed no call {call_id[:40]!r}")


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": message}, status_code=status, headers=headers)
