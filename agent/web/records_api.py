"""What the operator's pages read of calls, those under way and those that are over."""

import asyncio
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, cast

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent.box import Box
from agent.records import history
from agent.records.record import CallRecord, EventRecord, to_text
from agent.records.schema import StoreError
from agent.web.calls_api import turns_json
from agent.web.live_calls import LiveCalls
from agent.web.long_answer import long_answer
from agent.web.queries import Moment, Readers, TooManyReaders
from agent.web.waveform import NoRecording, duration_s, read_waveform

PAGE_LIMIT = 200
STRETCHES_LIMIT = 4000
SUFFIX = ".wav"
RECORDING = "recording"
"""The event of a recording's beginning; without it, it began with the call."""
TICK = timedelta(microseconds=1)
"""What records keep of a moment."""

Text = Annotated[str, Field(max_length=255)]


class Asked(BaseModel):
    """The query of ``GET /api/records/calls``; a field that is left out asks for nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    since: Moment | None = None
    until: Moment | None = None
    caller: Text | None = None
    profile: Text | None = None
    workflow: Text | None = None
    outcome: Text | None = None
    trunk: Text | None = None
    tenant: Text | None = None
    door: Text | None = None
    text: Text | None = None
    before: Text | None = None
    """`next` of the page before; None: the latest calls."""
    limit: Annotated[int, Field(ge=1, le=PAGE_LIMIT)] = 50


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page of calls, the latest first, ended."""

    at: datetime
    call_id: str

    def __str__(self) -> str:
        return f"{to_text(self.at)}~{self.call_id}"

    @classmethod
    def parse(cls, text: str) -> "Place":
        """The reverse of ``str``. Raises ValueError."""
        at, _, call_id = text.partition("~")
        moment = datetime.fromisoformat(at)
        if moment.tzinfo is None:
            raise ValueError("a moment without a time zone")
        try:
            moment.astimezone(UTC) + TICK
        except OverflowError:
            raise ValueError("a moment at the end of all time") from None
        return cls(moment, call_id)


def records_routes(box: Box) -> APIRouter:
    """The routes; `agent.web.server` asks for the token before them."""
    routes = APIRouter(prefix="/api/records")
    live = LiveCalls(box)
    readers = Readers()
    box.watchers.append(live)

    @routes.get("/live")
    async def under_way() -> dict[str, Any]:
        """The calls of this process at this moment."""
        shown = live.snapshots()
        priced = await asyncio.to_thread(lambda: [each.to_json() for each in shown])
        now = to_text(datetime.now(UTC))
        return {"calls": priced, "places": box.places.calls, "now": now}

    @routes.get("/calls")
    async def calls(request: Request) -> Response:
        """A page of the calls that are as asked for, the latest first."""
        try:
            asked = Asked.model_validate(dict(request.query_params))
            place = None if asked.before is None else Place.parse(asked.before)
        except ValidationError as error:
            return _error(400, _mistakes(error))
        except ValueError:
            return _error(400, "`before` must be `next` of the page before")
        under_way = live.names()

        def found() -> Response:
            calls, following = page_of(_source(box), asked, place)
            return long_answer(
                {
                    "calls": [{**row_of(c), "live": c.call_id in under_way} for c in calls],
                    "next": None if following is None else str(following),
                    "failing": box.store.failing,
                    "now": to_text(datetime.now(UTC)),
                }
            )

        try:
            return await readers.read(found)
        except (StoreError, TooManyReaders) as error:
            return _error(503, str(error))

    @routes.get("/calls/{call_id}")
    async def call(call_id: str) -> Response:
        """One call: its record, turns, events, costs, and whether its sound is there."""
        try:
            found = await asyncio.to_thread(_told, box, call_id)
        except StoreError as error:
            return _error(503, str(error))
        if found is None:
            return _nobody(call_id)
        running = live.find(call_id)
        cost = None
        if running is not None:
            usage, outbound = running.usage, running.origin.direction == "outbound"
            cost = await asyncio.to_thread(running.bill.to_json, usage, outbound=outbound)
        whole = {**found, "live": running is not None, "cost": cost}
        return await asyncio.to_thread(long_answer, whole)

    @routes.get("/calls/{call_id}/peaks")
    async def peaks(call_id: str, stretches: int = 900) -> Response:
        """How loud both sides were over the call."""
        try:
            path = await asyncio.to_thread(_recording, box, call_id)
            count = max(1, min(stretches, STRETCHES_LIMIT))
            shown = await asyncio.to_thread(read_waveform, path, count)
        except NoRecording as error:
            return _error(404, str(error))
        return JSONResponse(shown.to_json())

    @routes.get("/calls/{call_id}/recording")
    async def recording(call_id: str, download: bool = False) -> Response:
        """The sound, whole or the range that is asked for (RFC 9110, 14)."""
        try:
            path = await asyncio.to_thread(_recording, box, call_id)
            await asyncio.to_thread(duration_s, path)
        except NoRecording as error:
            return _error(404, str(error))
        return FileResponse(
            path,
            media_type="audio/wav",
            filename=f"call-{call_id}{SUFFIX}",
            content_disposition_type="attachment" if download else "inline",
        )

    return routes


def page_of(
    source: "history.Source | Path", asked: Asked, place: Place | None
) -> tuple[list[CallRecord], Place | None]:
    """The calls after ``place``, and where the next page goes on; None: there is none.

    Blocks. Raises StoreError.
    """
    until = asked.until
    if place is not None and (until is None or place.at < until):
        # Calls that began in the same moment are told apart by their names.
        until = place.at + TICK
    found = history.calls(
        source,
        until=until,
        newest_first=True,
        **asked.model_dump(exclude={"until", "before", "limit"}),
    )
    # Half-read, it holds a connection until it is closed.
    with closing(cast("Generator[CallRecord]", found)):
        after = (
            each
            for each in found
            if place is None or (each.started_at, each.call_id) < (place.at, place.call_id)
        )
        calls = list(islice(after, asked.limit + 1))
    if len(calls) <= asked.limit:
        return calls, None
    last = calls[asked.limit - 1]
    return calls[: asked.limit], Place(last.started_at, last.call_id)


def row_of(call: CallRecord) -> dict[str, Any]:
    """What a list shows of a call."""
    whole = call.to_json()
    shown = (
        "call_id started_at ended_at door direction caller dialled trunk profile workflow tenant "
        "agent outcome outcome_value_usd cause turns owned_usd rented_usd"
    )
    return {
        **{name: whole[name] for name in shown.split()},
        "call_s": call.usage.call_s,
        "latency_p50_ms": call.latency_ms(50),
        "recorded": bool(call.recording),
    }


def _told(box: Box, call_id: str) -> dict[str, Any] | None:
    """Blocks. Raises StoreError."""
    found = box.store.call(call_id)
    if found is None or found[0].call_id != call_id:
        return None
    record, turns = found
    events = history.events(_source(box), call_id)
    now = datetime.now(UTC)
    return {
        "call": record.to_json(),
        "turns": turns_json(record, turns, now, time.monotonic()),
        "events": [event.to_json() for event in events],
        "recording": _recording_json(record, events),
        "now": to_text(now),
    }


def _recording_json(call: CallRecord, events: Sequence[EventRecord]) -> dict[str, Any] | None:
    """``starts_s``: how long the call had gone on when its recording began."""
    if not call.recording:
        return None
    try:
        length_s = duration_s(_checked(call.recording))
    except NoRecording as error:
        return {"error": str(error)}
    began = next((event.at for event in events if event.kind == RECORDING), call.started_at)
    starts_s = max(0.0, (began - call.started_at).total_seconds())
    return {"duration_s": length_s, "starts_s": starts_s}


def _recording(box: Box, call_id: str) -> Path:
    found = box.store.call(call_id)
    if found is None or found[0].call_id != call_id or not found[0].recording:
        raise NoRecording(f"this box has no recording of a call {call_id[:40]!r}")
    return _checked(found[0].recording)


def _checked(recording: str) -> Path:
    """The file of a record, which is a sound file, or this would hand out anything."""
    path = Path(recording)
    if path.suffix != SUFFIX:
        raise NoRecording(f"the recording is not a {SUFFIX} file")
    return path


def _source(box: Box) -> "history.Source | Path":
    return box.store.source


def _mistakes(error: ValidationError) -> str:
    details = error.errors(include_url=False, include_context=False, include_input=False)
    said = "; ".join(f"`{'.'.join(str(p) for p in d['loc'])}`: {d['msg']}" for d in details)
    return f"{said}; fields: {', '.join(Asked.model_fields)}"


def _nobody(call_id: str) -> JSONResponse:
    return _error(404, f"this box has no record of a call {call_id[:40]!r}")


def _error(status: int, message: str) -> JSONResponse:
    return JSONResponse({"error": message}, status_code=status)
