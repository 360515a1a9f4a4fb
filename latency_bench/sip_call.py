"""The signalling of one call from this side: ringing, answered, changed, over (RFC 3261)."""

import asyncio
import secrets
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from typing import Protocol

from latency_bench.recording import CallFailed
from latency_bench.rtp_wire import Address
from latency_bench.sip_channel import Channel, ChannelError, open_channel, resolve
from latency_bench.sip_dialog import ALLOW, Dialog, Outgoing
from latency_bench.sip_digest import DigestError, authorization, parse_challenge
from latency_bench.sip_message import Request, Response, SipFault, parse, reason_text
from latency_bench.sip_sdp import Agreed, LocalMedia, Media, agreed_types, parse_media
from latency_bench.sip_uri import SipUri, UriError, parse_uri, uri_in
from latency_bench.srtp import fresh_key
from latency_bench.target import Target

T1_S = 0.5
"""First retransmission (RFC 3261, 17.1.1.1)."""
T2_S = 4.0
"""Longest wait between two, of all but INVITE."""
SILENCE_LIMIT_S = 10.0
"""An INVITE without any word back by then goes to nobody."""
REQUEST_LIMIT_S = 4.0
ATTEMPTS = 4
"""INVITEs of one call: for a challenge or two, a stale nonce, encryption."""
KEPT_ANSWERS = 32


class NoAnswer(Exception):
    """Nothing came back; the message says to what."""


class CallEvents(Protocol):
    """What the far end does in a call; all from the event loop's thread."""

    def changed(self, media: Media, agreed: Agreed) -> None:
        """It wants the sound elsewhere, or none."""

    def hung_up(self, at_s: float, reason: str) -> None:
        """It ended the call."""

    def referred(self, to: str) -> None:
        """It asks the caller to go to ``to``."""

    def noted(self, text: str) -> None:
        """Something unusual."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The far end's 200."""

    at_s: float
    """When it arrived."""
    media: Media
    agreed: Agreed
    local: LocalMedia
    """What was offered last."""


class SipCall:
    """One call: `open`, `invite`, then `hang_up`; `close` in any case."""

    def __init__(self, target: Target, events: CallEvents) -> None:
        self._target = target
        self._events = events
        self._uri: SipUri
        self._channel: Channel | None = None
        self._dialog: Dialog
        self._media: LocalMedia
        self._waiting: dict[tuple[str, str], asyncio.Queue[tuple[Response, float] | str]] = {}
        self._acks: dict[str, bytes] = {}
        """By the INVITE's branch."""
        self._answers: dict[tuple[str, int, str], bytes] = {}
        """To requests of the far end, which may be repeated."""
        self._credentials: dict[str, str] = {}
        self._refused: set[tuple[str, str]] = set()
        self._ringing: Outgoing | None = None
        self._provisional = False
        self._version = 1
        self._answered = False
        self._over = False
        self._tasks: set[asyncio.Task[None]] = set()
        self.doubtful = False
        """The way to the far end broke; ask with `check`."""
        self.local_host = ""

    async def open(self) -> None:
        """Finds the far end's address, and connects. Raises CallFailed."""
        try:
            self._uri = parse_uri(self._target.address)
            self._channel = await open_channel(
                self._uri, self._received, self._broke, self._target.ca_file
            )
        except UriError as error:
            raise CallFailed(str(error), "unreachable") from None
        except ChannelError as error:
            raise CallFailed(f"{self._target} cannot be reached: {error}") from error
        self.local_host = self._channel.local[0]
        target = self._target
        self._dialog = Dialog(
            target=self._uri,
            local=self._channel.local,
            call_id=f"{secrets.token_hex(8)}@{self.local_host}",
            tag=secrets.token_hex(4),
            user=target.caller or target.username or "bench",
            # Whoever has an account there is known by the far end's own domain.
            domain=self._uri.host if target.username else "",
        )

    async def invite(self, media: LocalMedia, answer_limit_s: float) -> Answered:
        """Calls, and acknowledges what comes. Raises CallFailed.

        When cancelled, `abandon` takes the call back.
        """
        self._media = media
        until_s = asyncio.get_running_loop().time() + answer_limit_s
        for _ in range(ATTEMPTS):
            outgoing = self._dialog.invite(self._media.offer(), *self._credentials.values())
            response, at_s = await self._ring(outgoing, until_s, answer_limit_s)
            if response.status < 300:
                return await self._agree(response, at_s)
            if response.status in (401, 407):
                self._take_challenge(response, outgoing)
            elif response.status == 488 and self._may_encrypt():
                self._media = replace(media, key=fresh_key())
            else:
                raise self._refusal(response)
        raise CallFailed(f"{self._target} asked {ATTEMPTS} times for something else", "refused")

    async def hang_up(self) -> None:
        """Sends BYE, unless the far end did, and waits for its answer."""
        if not self._answered or self._over:
            return
        self._over = True
        try:
            await self._request("BYE")
        except NoAnswer as error:
            self._events.noted(str(error))

    async def abandon(self) -> None:
        """Takes back a call that rings."""
        invite = self._ringing
        if invite is None or not self._provisional:
            return  # nothing came back: there is nothing that could be cancelled
        queue = self._waiting[invite.key]
        self._ringing = None
        try:
            await self._ask(self._dialog.cancel(invite), REQUEST_LIMIT_S)
            response, at_s = await self._final(queue, REQUEST_LIMIT_S)
        except NoAnswer:
            return
        await self._confirm(invite, response)
        # It may have been answered just then.
        await self.hang_up()

    async def check(self) -> str | None:
        """Whether the far end still knows the call: None, or what speaks against it."""
        self.doubtful = False
        try:
            assert self._channel is not None
            await self._channel.reopen()
            response = await self._request("OPTIONS")
        except (NoAnswer, ChannelError) as error:
            return str(error)
        if response.status in (408, 481):
            return f"the agent answered {response} to OPTIONS: it does not know the call any more"
        return None

    def close(self) -> None:
        """Frees the way; a call that is still up is told so, without waiting."""
        if self._channel is None:
            return
        if self._answered and not self._over:
            self._send(self._dialog.request("BYE").raw)
        elif self._ringing is not None:
            self._send(self._dialog.cancel(self._ringing).raw)
        self._over = True
        for task in self._tasks:
            task.cancel()
        self._channel.close()
        self._channel = None

    async def _ring(
        self, outgoing: Outgoing, until_s: float, limit_s: float
    ) -> tuple[Response, float]:
        """One INVITE, to its final answer."""
        loop = asyncio.get_running_loop()
        queue = self._expect(outgoing)
        self._ringing, self._provisional = outgoing, False
        silent_until_s = min(until_s, loop.time() + SILENCE_LIMIT_S)
        wait_s = T1_S
        self._send(outgoing.raw)
        while True:
            left_s = (until_s if self._provisional else silent_until_s) - loop.time()
            if left_s <= 0:
                break
            patient = self._provisional or (self._channel is not None and self._channel.reliable)
            try:
                async with asyncio.timeout(left_s if patient else min(left_s, wait_s)):
                    got = await queue.get()
            except TimeoutError:
                if not patient:
                    wait_s *= 2
                    self._send(outgoing.raw)
                continue
            if isinstance(got, str):
                self._ringing = None
                raise CallFailed(f"{self._target} cannot be reached: {got}")
            response, at_s = got
            if response.status < 200:
                self._provisional = True
                continue
            self._ringing = None
            await self._confirm(outgoing, response)
            return response, at_s
        if self._provisional:
            await self.abandon()
            raise CallFailed(f"{self._target} did not answer within {limit_s:g} s", "unanswered")
        self._ringing = None
        raise CallFailed(
            f"{self._target}: no answer to INVITE within {min(limit_s, SILENCE_LIMIT_S):g} s: "
            "nobody is there"
        )

    async def _confirm(self, invite: Outgoing, response: Response) -> None:
        """ACK, and the same again for each repetition of the answer."""
        self._waiting.pop(invite.key, None)
        if response.status < 300:
            self._answered = True
            self._dialog.answered(response)
            await self._reroute()
        ack = self._dialog.ack(invite, response, *self._credentials.values()).raw
        self._acks[invite.branch] = ack
        self._send(ack)

    async def _reroute(self) -> None:
        """Follows the far end to where it wants the rest of the call (RFC 3261, 12.2.1.1)."""
        assert self._channel is not None
        if self._channel.reliable:
            return
        try:
            self._channel.reroute(await resolve(parse_uri(self._dialog.next_hop)))
        except (UriError, ChannelError) as error:
            self._events.noted(f"the agent's contact cannot be used: {error}")

    async def _agree(self, response: Response, at_s: float) -> Answered:
        media = parse_media(response.body)
        try:
            if media is None or not media.port:
                raise CallFailed(
                    f"{self._target} answered {response} without a port for audio", "no_audio"
                )
            agreed = agreed_types(media, self._media.form)
            if agreed is None:
                offered = ", ".join(media.maps.get(n, str(n)) for n in media.formats)
                raise CallFailed(
                    f"{self._target} answered with {offered}, and not with "
                    f"{self._media.form.rtpmap}, which alone was offered",
                    "bad_codec",
                )
            if self._media.key is not None and media.key is None:
                raise CallFailed(f"{self._target} gave no key for encrypted audio", "no_audio")
        except CallFailed:
            await self.hang_up()
            raise
        return Answered(at_s, media, agreed, self._media)

    def _take_challenge(self, response: Response, outgoing: Outgoing) -> None:
        """Answers a challenge in the requests that follow. Raises CallFailed."""
        target, headers = self._target, response.headers
        asked, name = (
            ("www-authenticate", "Authorization")
            if response.status == 401
            else ("proxy-authenticate", "Proxy-Authorization")
        )
        if target.username is None or target.password is None:
            raise CallFailed(
                f"{target} asks for a password ({response}): give a user name and a password",
                "refused",
            )
        try:
            challenge = parse_challenge(headers.lines(asked))
        except DigestError as error:
            raise CallFailed(f"{target} {error}", "refused") from None
        if (name, challenge.realm) in self._refused and not challenge.stale:
            raise CallFailed(
                f"{target} does not take the password of {target.username!r} ({response})",
                "refused",
            )
        self._refused.add((name, challenge.realm))
        value = authorization(
            challenge,
            username=target.username,
            password=target.password,
            method=outgoing.method,
            uri=outgoing.uri,
            client_nonce=secrets.token_hex(8),
        )
        self._credentials[f"{name} {challenge.realm}"] = f"{name}: {value}"

    def _may_encrypt(self) -> bool:
        """The key stands in the message: only where nobody else reads that."""
        return self._uri.transport == "tls" and self._media.key is None

    def _refusal(self, response: Response) -> CallFailed:
        message = f"{self._target} answered {response}"
        if response.status < 400:
            contact = uri_in(response.headers.one("contact"))
            message += f": it sends callers to {contact or 'nobody'}; call that instead"
        elif warning := response.headers.one("warning") or reason_text(response.headers):
            message += f" ({warning[:200]})"
        return CallFailed(message, "refused")

    async def _request(self, method: str, *extra: str, body: str = "") -> Response:
        """A request in the call, with a password where one is asked for. Raises NoAnswer."""
        kind = "message/sipfrag;version=2.0" if method == "NOTIFY" else "application/sdp"
        credentials: tuple[str, ...] = ()
        for _ in range(2):
            outgoing = self._dialog.request(
                method, *extra, *credentials, body=body, content_type=kind
            )
            response = await self._ask(outgoing, REQUEST_LIMIT_S)
            if response.status not in (401, 407):
                break
            self._credentials.clear()
            self._refused.clear()
            try:
                self._take_challenge(response, outgoing)
            except CallFailed as error:
                raise NoAnswer(f"{method}: {error}") from None
            credentials = tuple(self._credentials.values())
        return response

    async def _ask(self, outgoing: Outgoing, limit_s: float) -> Response:
        """Sends until something final comes back. Raises NoAnswer."""
        queue = self._expect(outgoing)
        final = asyncio.create_task(self._final(queue, limit_s), name="sip-answer")
        wait_s = T1_S
        try:
            self._send(outgoing.raw)
            while not (await asyncio.wait((final,), timeout=wait_s))[0]:
                wait_s = min(2 * wait_s, T2_S)
                if self._channel is not None and not self._channel.reliable:
                    self._send(outgoing.raw)
            return final.result()[0]
        except NoAnswer as error:
            raise NoAnswer(f"{outgoing.method}: {error}") from None
        finally:
            final.cancel()
            self._waiting.pop(outgoing.key, None)

    async def _final(
        self, queue: asyncio.Queue[tuple[Response, float] | str], limit_s: float
    ) -> tuple[Response, float]:
        try:
            async with asyncio.timeout(limit_s):
                while True:
                    got = await queue.get()
                    if isinstance(got, str):
                        raise NoAnswer(got)
                    if got[0].status >= 200:
                        return got
        except TimeoutError:
            raise NoAnswer(f"no answer within {limit_s:g} s") from None

    def _expect(self, outgoing: Outgoing) -> asyncio.Queue[tuple[Response, float] | str]:
        queue: asyncio.Queue[tuple[Response, float] | str] = asyncio.Queue(100)
        self._waiting[outgoing.key] = queue
        return queue

    def _send(self, message: bytes, to: Address | None = None) -> None:
        if self._channel is not None:
            self._channel.send(message, to)

    def _broke(self, what: str) -> None:
        self.doubtful = True
        for queue in self._waiting.values():
            if not queue.full():
                queue.put_nowait(what)

    def _received(self, raw: bytes, at_s: float, source: Address) -> None:
        try:
            message = parse(raw)
        except SipFault:
            return  # a stray datagram is no part of the call
        if isinstance(message, Request):
            self._requested(message, at_s, source)
            return
        headers = message.headers
        if headers.one("call-id") != self._dialog.call_id:
            return
        queue = self._waiting.get((headers.branch, headers.method))
        if queue is not None:
            if not queue.full():
                queue.put_nowait((message, at_s))
        elif headers.method == "INVITE" and message.status >= 200:
            if ack := self._acks.get(headers.branch):
                # The answer was repeated: our ACK was lost, or went to the wrong place.
                self._send(ack)
                self._send(ack, source)

    def _requested(self, request: Request, at_s: float, source: Address) -> None:
        headers, method = request.headers, request.method
        if method == "ACK":
            return
        key = (headers.branch, headers.sequence, method)
        if key not in self._answers:
            if not self._dialog.owns(request):
                # Of somebody else's call, or a new one; this side takes none.
                status = (200, "OK") if method == "OPTIONS" else (481, "Call Does Not Exist")
                self._send(request.answer(*status, tag=self._dialog.tag), source)
                return
            self._answers[key] = self._take(request, at_s)
            if len(self._answers) > KEPT_ANSWERS:
                del self._answers[next(iter(self._answers))]
        self._send(self._answers[key], source)

    def _take(self, request: Request, at_s: float) -> bytes:
        """Acts on a request of the far end; the answer to it."""
        match request.method:
            case "INVITE" | "UPDATE":
                return self._renegotiate(request)
            case "BYE":
                self._over = True
                self._events.hung_up(at_s, reason_text(request.headers))
            case "REFER":
                return self._refer(request)
            case "OPTIONS":
                return request.answer(200, "OK", extra=(f"Allow: {ALLOW}",))
            case "INFO" | "NOTIFY" | "MESSAGE" | "CANCEL":
                pass
            case _:
                return request.answer(405, "Method Not Allowed", extra=(f"Allow: {ALLOW}",))
        return request.answer(200, "OK")

    def _renegotiate(self, request: Request) -> bytes:
        """Hold, another port, or a sign of life (RFC 3261, 14.2; RFC 3311)."""
        dialog = self._dialog
        if not self._answered:
            return request.answer(491, "Request Pending")
        dialog.refresh(request.headers)
        extra = (dialog.own_contact, f"Allow: {ALLOW}")
        if not request.body.strip():
            body = self._media.offer(self._version) if request.method == "INVITE" else ""
            return request.answer(200, "OK", extra=extra, body=body)
        media = parse_media(request.body)
        agreed = agreed_types(media, self._media.form) if media is not None else None
        if media is None or agreed is None or media.secure != (self._media.key is not None):
            self._events.noted("the agent asked for other audio in mid-call, and was refused")
            return request.answer(488, "Not Acceptable Here")
        self._version += 1
        self._events.changed(media, agreed)
        body = self._media.answer(media, agreed, self._version)
        return request.answer(200, "OK", extra=extra, body=body)

    def _refer(self, request: Request) -> bytes:
        """Accepts, and says at once that it worked (RFC 3515): nobody else is really called."""
        to = uri_in(request.headers.one("refer-to"))
        if not to:
            return request.answer(400, "No Refer-To")
        self._events.referred(to)
        self._later(self._tell_transferred())
        return request.answer(202, "Accepted", extra=(self._dialog.own_contact,))

    async def _tell_transferred(self) -> None:
        try:
            await self._request(
                "NOTIFY",
                "Event: refer",
                "Subscription-State: terminated;reason=noresource",
                self._dialog.own_contact,
                body="SIP/2.0 200 OK\r\n",
            )
        except NoAnswer as error:
            self._events.noted(str(error))

    def _later(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work, name="sip-notify")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
