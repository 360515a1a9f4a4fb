"""What a program does to a call, whoever called whom: ``/v1/calls/ID/...``.

All but its outcome asks for a call under way.
"""

import asyncio
import logging
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from agent.box import Box
from agent.pipeline import CallRun, CannotDo
from agent.records.record import EventRecord
from agent.web.body import read_body
from telephony.transport import TransferFailed

log = logging.getLogger(__name__)

BODY_LIMIT_BYTES = 4 * 1024
MOST_USD = Decimal(10**9)
PLACES_USD = 9
Usd = Annotated[
    Decimal,
    Field(ge=-MOST_USD, le=MOST_USD, decimal_places=PLACES_USD),
    # Written out, the exponent of a 0 may fill the memory.
    AfterValidator(lambda usd: usd or Decimal(0)),
]


class Transfer(BaseModel):
    """The body of ``transfer``."""

    model_config = ConfigDict(extra="forbid", strict=True)

    to: Annotated[str, Field(min_length=1, max_length=255)]
    introduce: bool = False
    """The box calls there itself and tells of the caller first."""


class Digits(BaseModel):
    """The body of ``digits``."""

    model_config = ConfigDict(extra="forbid", strict=True)

    digits: Annotated[str, Field(pattern=r"^[0-9A-Da-d*#]{1,64}$")]


class Say(BaseModel):
    """The body of ``say``."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: Annotated[str, Field(min_length=1, max_length=1000)]


class Outcome(BaseModel):
    """The body of ``outcome``."""

    model_config = ConfigDict(extra="forbid", strict=True)

    outcome: Annotated[str, Field(max_length=80)]
    """Empty takes back what was said."""
    value_usd: Usd | None = None


Body = TypeVar("Body", bound=BaseModel)


def control_routes(box: Box) -> APIRouter:
    """The routes; `agent.web.server` asks for the token before them."""
    routes = APIRouter(prefix="/v1/calls/{call_id}")

    @routes.post("/transfer")
    async def transfer(call_id: str, request: Request) -> Response:
        """Hands the far end over; 200 once it is taken, 502 where it is not: the call goes on."""
        if (run := box.run_of(call_id)) is None:
            return _nobody(call_id)
        body = await _body(request, Transfer)
        if not isinstance(body, Transfer):
            return body
        if body.introduce is False and run.control is None:
            return _error(409, f"the {run.call.door} door cannot transfer calls; use `introduce`")
        try:
            await run.transfer(_allowed(box, run, body), introduce=body.introduce)
        except PermissionError as refused:
            return _error(403, str(refused))
        except TransferFailed as failed:
            return _error(502, str(failed))
        return JSONResponse({"call_id": call_id, "transferred": body.to})

    @routes.post("/digits")
    async def digits(call_id: str, request: Request) -> Response:
        """Presses keys towards the far end (RFC 4733, or INFO)."""
        if (run := box.run_of(call_id)) is None:
            return _nobody(call_id)
        body = await _body(request, Digits)
        if not isinstance(body, Digits):
            return body
        return await _done(call_id, run.send_digits(body.digits), {"digits": body.digits})

    @routes.post("/say")
    async def say(call_id: str, request: Request) -> Response:
        """Has the agent say something as soon as it is silent."""
        if (run := box.run_of(call_id)) is None:
            return _nobody(call_id)
        body = await _body(request, Say)
        if not isinstance(body, Say):
            return body
        return await _done(call_id, run.say(body.text), {"text": body.text})

    @routes.post("/hold")
    async def hold(call_id: str) -> Response:
        """Puts the far end on hold; the agent neither hears nor speaks."""
        if (run := box.run_of(call_id)) is None:
            return _nobody(call_id)
        return await _done(call_id, run.hold(True), {"on_hold": True})

    @routes.post("/resume")
    async def resume(call_id: str) -> Response:
        """Takes the far end back."""
        if (run := box.run_of(call_id)) is None:
            return _nobody(call_id)
        return await _done(call_id, run.hold(False), {"on_hold": False})

    @routes.post("/outcome")
    async def outcome(call_id: str, request: Request) -> Response:
        """Says what came of a call, and what that is worth, also after the call."""
        body = await _body(request, Outcome)
        if not isinstance(body, Outcome):
            return body
        if (run := box.run_of(call_id)) is not None:
            run.call.set_outcome(body.outcome, body.value_usd)
        elif (refusal := await asyncio.to_thread(_said_afterwards, box, call_id, body)) is not None:
            return refusal
        worth = None if body.value_usd is None else str(body.value_usd)
        return JSONResponse({"call_id": call_id, "outcome": body.outcome, "value_usd": worth})

    return routes


def _said_afterwards(box: Box, call_id: str, body: Outcome) -> Response | None:
    """Keeps the outcome of a call that is over; a refusal where there is none. Blocks."""
    found = box.store.call(call_id)
    if found is None or found[0].call_id != call_id:
        return _error(404, f"no call {call_id[:40]!r}; GET /api/calls lists them")
    record = found[0]
    if record.cause is None:
        return _error(409, f"call {call_id} is under way in another process; ask that one, or wait")
    worth = None if body.value_usd is None else str(body.value_usd)
    detail = {"outcome": body.outcome, "value_usd": worth}
    box.store.end_call(replace(record, outcome=body.outcome, outcome_value_usd=body.value_usd))
    box.store.add_event(EventRecord(call_id, datetime.now(UTC), "outcome", detail))
    return None


def _allowed(box: Box, run: CallRun, body: Transfer) -> str:
    """The target, under the rules of calls that are placed: a transfer is billed as one.

    Raises PermissionError.
    """
    if box.outbound is None:
        raise PermissionError("the telephone door is closed; set `enabled` in [sip]")
    refusal = box.outbound.refusal(body.to, run.call.origin.trunk)
    if refusal:
        raise PermissionError(refusal)
    return body.to


async def _done(call_id: str, work: Any, result: dict[str, Any]) -> Response:
    try:
        await work
    except CannotDo as error:
        return _error(409, str(error))
    return JSONResponse({"call_id": call_id, **result})


async def _body(request: Request, kind: type[Body]) -> "Body | JSONResponse":
    body = await read_body(request, BODY_LIMIT_BYTES)
    if body is None:
        return _error(413, f"the body is over {BODY_LIMIT_BYTES // 1024} KiB")
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False, include_input=False)
        said = "; ".join(
            f"`{'.'.join(str(part) for part in d['loc']) or 'body'}`: {d['msg']}" for d in details
        )
        return _error(400, f"{said}; fields: {', '.join(kind.model_fields)}")


def _nobody(call_id: str) -> JSONResponse:
    return _error(404, f"no call {call_id[:40]!r} is under way; GET /api/calls lists them")


def _error(status: int, message: str) -> JSONResponse:
    return JSONResponse({"error": message}, status_code=status)
