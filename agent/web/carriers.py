"""The carriers' door: webhooks that are answered with an address, and the streams that follow.

A webhook is let in by its carrier's signature alone, and a stream by the ticket which that
webhook was given. A carrier whose key is not set finds nothing here.
"""

import asyncio
import logging
import time

from fastapi import APIRouter, Request, Response, WebSocket, WebSocketDisconnect
from fastapi.responses import JSONResponse

from agent.admission import BoxFull, OverBudget
from agent.box import Box
from agent.budgets.announcement import announce
from agent.call import Origin
from agent.web.body import read_body
from agent.web.carrier_dialects import KEYS, Carrier, open_carriers
from agent.web.carrier_line import (
    BAD_PAYLOAD,
    POLICY,
    TRY_AGAIN_LATER,
    CarrierLine,
)
from agent.web.carrier_messages import BadStream, read_event
from agent.web.carrier_tickets import AlreadyBegun, CarrierCall, Tickets
from agent.web.carrier_webhook import BadWebhook, Webhook
from telephony.signatures import BadSignature
from telephony.transport import CallGone

log = logging.getLogger(__name__)

BODY_LIMIT_BYTES = 64 * 1024
"""A webhook is a form of some twenty fields."""
BODY_LIMIT_S = 10.0
START_LIMIT_S = 10.0
"""How long an open socket may take to say which stream it brings."""
START_MESSAGES = 50
"""What may come before: a greeting of the protocol, and some audio."""
NAME_LIMIT = 40
REASON_LIMIT = 120
"""A close frame holds 123 bytes of reason."""

WEBHOOKS = frozenset(f"/carriers/{name}/{path}" for name in KEYS for path in ("answer", "event"))
"""The paths that are let in by signature; the page's guard leaves them alone."""


def carrier_routes(box: Box) -> APIRouter:
    """The routes of every carrier, open or not."""
    return _Door(box).router


class _Door:
    def __init__(self, box: Box) -> None:
        config = box.config.carriers
        self._box = box
        self._carriers = open_carriers(config)
        self._public_url = (config.public_url or "").rstrip("/")
        self._tickets = Tickets()
        self._told_closed: set[str] = set()
        self.router = APIRouter()
        self.router.add_api_route("/carriers/{name}/answer", self._answer, methods=["POST"])
        self.router.add_api_route("/carriers/{name}/event", self._event, methods=["POST"])
        self.router.add_api_websocket_route("/carriers/{name}/stream/{token}", self._stream)
        for name in self._carriers:
            log.info("%s may call: %s/carriers/%s/answer", name, self._public_url, name)

    async def _answer(self, name: str, request: Request) -> Response:
        """A carrier asks what to do with a call."""
        got = await self._verified(name, request)
        if isinstance(got, Response):
            return got
        carrier, webhook = got
        try:
            call = carrier.call(webhook)
            refusal = self._over_budget(call)
            if refusal:
                log.warning("a call from %s was refused: %s", name, refusal)
                markup = carrier.busy()
            elif self._has_room():
                token = self._tickets.issue(call, time.monotonic())
                markup = carrier.connect(call, self._stream_url(name, token))
            else:
                self._box.refusals[name] += 1
                log.warning("a call from %s was refused: every place is taken", name)
                markup = carrier.busy()
        except AlreadyBegun as error:
            log.warning("a webhook for %s was refused: %s", name, error)
            return _error(403, "this call had its stream")
        except BadWebhook as error:
            log.warning("a webhook from %s announces no call: %s", name, error)
            return _error(400, str(error))
        return Response(markup.text, media_type=markup.media_type)

    async def _event(self, name: str, request: Request) -> Response:
        """A carrier tells how a call goes, which its stream tells sooner."""
        got = await self._verified(name, request)
        return got if isinstance(got, Response) else Response(status_code=204)

    async def _verified(self, name: str, request: Request) -> tuple[Carrier, Webhook] | Response:
        """What a carrier sent and signed, or why it is refused."""
        carrier = self._carrier(name)
        if carrier is None:
            return _error(404, "no such carrier here")
        try:
            async with asyncio.timeout(BODY_LIMIT_S):
                body = await read_body(request, BODY_LIMIT_BYTES)
        except TimeoutError:
            return _error(408, f"the body did not come within {BODY_LIMIT_S:.0f} s")
        if body is None:
            return _error(413, f"the body is over {BODY_LIMIT_BYTES // 1024} KiB")
        webhook = Webhook(self._url(request), request.headers, body)
        try:
            carrier.check(webhook, time.time())
        except (BadSignature, BadWebhook) as error:
            log.warning("a webhook for %s was refused: %s", name, error)
            return _error(403, "the signature does not hold")
        return carrier, webhook

    async def _stream(self, socket: WebSocket, name: str, token: str) -> None:
        """A carrier brings a call's audio."""
        carrier = self._carriers.get(name)
        call = self._tickets.claim(name, token, time.monotonic())
        if carrier is None or call is None:
            log.warning("a stream for %r was refused: no webhook announced it", name[:NAME_LIMIT])
            await socket.close(POLICY)
            return
        await socket.accept()
        try:
            async with asyncio.timeout(START_LIMIT_S):
                line = await _begin(socket, carrier, call)
        except TimeoutError:
            await _refuse(socket, name, POLICY, f"no start within {START_LIMIT_S:.0f} s")
        except BadStream as error:
            await _refuse(socket, name, BAD_PAYLOAD, str(error))
        except WebSocketDisconnect:
            log.info("a stream from %s was closed before it began", name)
        else:
            try:
                await self._box.take(line, self._origin(call))
            except BoxFull as error:
                self._box.refusals[name] += 1
                if isinstance(error, OverBudget) and error.spoken:
                    log.warning("a call from %s was refused, and told so: %s", name, error)
                    await announce(line, self._box.engines, error.spoken)
                    return
                await _refuse(socket, name, TRY_AGAIN_LATER, str(error))
            except CallGone as gone:
                log.info("call from %s over %s: %s", call.caller, name, gone)
            else:
                await line.over.wait()

    def _origin(self, call: CarrierCall) -> Origin:
        profile = self._box.config.carriers.profile_for(call.dialled)
        return Origin(dialled=call.dialled, profile=profile)

    def _over_budget(self, call: CarrierCall) -> str:
        """Why the call is not even answered; empty where it is, if only to be told so."""
        try:
            self._box.judged(call.carrier, call.caller, self._origin(call))
        except OverBudget as over:
            return "" if over.spoken else str(over)
        return ""

    def _carrier(self, name: str) -> Carrier | None:
        found = self._carriers.get(name)
        if found is None and name in KEYS and name not in self._told_closed:
            self._told_closed.add(name)
            log.warning("%s called, but it is not let in: set `%s` in [carriers]", name, KEYS[name])
        return found

    def _has_room(self) -> bool:
        """Whether a place is free, calls on their way here counted."""
        coming = self._tickets.waiting(time.monotonic())
        room = self._box.waiting_room
        left = self._box.places.calls + room.places - self._box.active_calls - room.waiting
        return coming < left

    def _url(self, request: Request) -> str:
        """The request's address as the carrier knows it, and signed it."""
        query = f"?{request.url.query}" if request.url.query else ""
        return self._public_url + request.url.path + query

    def _stream_url(self, name: str, token: str) -> str:
        # http becomes ws, and https wss.
        return f"ws{self._public_url.removeprefix('http')}/carriers/{name}/stream/{token}"


async def _begin(socket: WebSocket, carrier: Carrier, call: CarrierCall) -> CarrierLine:
    """Reads up to the start of the stream. Raises BadStream, WebSocketDisconnect."""
    for _ in range(START_MESSAGES):
        event = await socket.receive()
        if event["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(int(event.get("code", 1006)))
        said = read_event(event, carrier.binary)
        serializer = carrier.begin(said, call) if isinstance(said, dict) else None
        if serializer is not None:
            line = CarrierLine(
                socket,
                serializer,
                door=call.carrier,
                caller=call.caller,
                dialled=call.dialled,
                sample_rate_hz=carrier.rate_hz,
                binary=carrier.binary,
            )
            await line.open()
            return line
    raise BadStream("the stream does not say how it begins")


async def _refuse(socket: WebSocket, name: str, code: int, reason: str) -> None:
    log.warning("a stream from %s was refused: %s", name, reason)
    await socket.close(code, reason[:REASON_LIMIT])


def _error(status: int, message: str) -> JSONResponse:
    return JSONResponse({"error": message}, status_code=status)
