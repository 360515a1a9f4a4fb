"""The signalling of one call from this side: ringing, answered, over (RFC 3261)."""

import asyncio
import secrets
from dataclasses import dataclass, replace

from latency_bench.interrupt import guarded, telling
from latency_bench.recording import CallFailed
from latency_bench.sip.channel import Channel, ChannelError, open_channel, resolve
from latency_bench.sip.credentials import CHALLENGES, Credentials, CredentialsRefused
from latency_bench.sip.dialog import Dialog, Outgoing
from latency_bench.sip.message import Request, Response, SipFault, parse, reason_text
from latency_bench.sip.requests import CallEvents, FarRequests
from latency_bench.sip.rtp_wire import Address
from latency_bench.sip.sdp import Agreed, LocalMedia, Media, agreed_types, parse_media
from latency_bench.sip.srtp import fresh_key
from latency_bench.sip.transactions import T1_S, NoAnswer, Pending, Transactions
from latency_bench.sip.uri import SipUri, UriError, parse_uri, uri_in
from latency_bench.target import Target

SILENCE_LIMIT_S = 10.0
"""An INVITE without any word back by then goes to nobody."""
REQUEST_LIMIT_S = 4.0
"""Any other request without an answer by then gets none."""
ATTEMPTS = 4
"""INVITEs of one call: for a challenge or two, a stale nonce, encryption."""


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
        self.doubtful = False
        """The way to the far end broke; ask with `check`."""
        self.broken: Exception | None = None
        """What was raised here where nobody waits for it."""
        self.local_host = ""
        """This side's address on the way to the far end, once `open`."""
        self._target = target
        self._events = events
        self._credentials = Credentials(target)
        self._uri: SipUri
        self._channel: Channel | None = None
        self._dialog: Dialog
        self._transactions: Transactions
        self._requests: FarRequests
        self._ringing: Pending | None = None
        self._provisional = False
        self._answered = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Finds the far end's address, and connects. Raises CallFailed."""
        target = self._target
        try:
            self._uri = parse_uri(target.address)
            received = guarded(self._failed, self._received)
            channel = await open_channel(self._uri, received, self._broke, target.ca_file)
        except UriError as error:
            raise CallFailed(str(error), "unreachable") from None
        except ChannelError as error:
            raise CallFailed(f"{target} cannot be reached: {error}") from error
        self._channel = channel
        self.local_host = channel.local[0]
        self._dialog = Dialog(
            target=self._uri,
            local=channel.local,
            call_id=f"{secrets.token_hex(8)}@{self.local_host}",
            tag=secrets.token_hex(4),
            user=target.caller or target.username or "bench",
            # Whoever has an account there is known by the far end's own domain.
            domain=self._uri.host if target.username else "",
        )
        self._transactions = Transactions(channel)
        self._requests = FarRequests(self._dialog, self._events, self._tell_transferred)

    async def invite(self, media: LocalMedia, answer_limit_s: float) -> Answered:
        """Calls, and acknowledges what comes. Raises CallFailed.

        When cancelled, `abandon` takes the call back.
        """
        until_s = asyncio.get_running_loop().time() + answer_limit_s
        for _ in range(ATTEMPTS):
            outgoing = self._dialog.invite(media.offer(), *self._credentials.lines)
            response, at_s = await self._ring(outgoing, until_s, answer_limit_s)
            if response.status < 300:
                return await self._agree(response, at_s, media)
            if response.status in CHALLENGES:
                try:
                    self._credentials.challenged(response, outgoing)
                except CredentialsRefused as error:
                    raise CallFailed(str(error), "refused") from None
            elif response.status == 488 and self._uri.transport == "tls" and media.key is None:
                # It may want encrypted sound. The key stands in the message: not in the clear.
                media = replace(media, key=fresh_key())
            else:
                raise self._refusal(response)
        raise CallFailed(f"{self._target} answered {response} to {ATTEMPTS} INVITEs", "refused")

    async def hang_up(self) -> None:
        """Sends BYE, unless the far end did, and waits for its answer."""
        if not self._answered or self._requests.hung_up:
            return
        self._answered = False
        assert self._channel is not None
        try:
            await self._channel.reopen()
            await self._request("BYE")
        except (NoAnswer, ChannelError) as error:
            self._events.noted(str(error))

    async def abandon(self) -> None:
        """Takes back a call that rings."""
        pending, self._ringing = self._ringing, None
        if pending is None or not self._provisional:
            return  # nothing came back: there is nothing that could be cancelled
        try:
            await self._transactions.ask(self._dialog.cancel(pending.outgoing), REQUEST_LIMIT_S)
            response, _ = await self._transactions.final(pending, REQUEST_LIMIT_S, repeat=False)
        except NoAnswer as error:
            self._events.noted(str(error))
            return
        await self._confirm(pending, response)
        # It may have been answered just then.
        await self.hang_up()

    async def check(self) -> str | None:
        """Whether the far end still knows the call: None, or what speaks against it."""
        self.doubtful = False
        assert self._channel is not None
        try:
            await self._channel.reopen()
            response = await self._request("OPTIONS")
        except (NoAnswer, ChannelError) as error:
            return str(error)
        if response.status in (408, 481):
            return f"{response} to OPTIONS"
        return None

    def close(self) -> None:
        """Frees the way; a call that is still up is told so, without waiting."""
        if self._channel is None:
            return
        if self._answered and not self._requests.hung_up:
            self._transactions.send(self._dialog.request("BYE").raw)
        elif self._ringing is not None:
            self._transactions.send(self._dialog.cancel(self._ringing.outgoing).raw)
        for task in self._tasks:
            task.cancel()
        self._transactions.close()
        self._channel.close()
        self._channel = None

    async def _ring(
        self, outgoing: Outgoing, until_s: float, limit_s: float
    ) -> tuple[Response, float]:
        """One INVITE, to its final answer. Raises CallFailed."""
        loop = asyncio.get_running_loop()
        silent_until_s = min(until_s, loop.time() + SILENCE_LIMIT_S)
        pending = self._transactions.begin(outgoing)
        self._ringing, self._provisional = pending, False
        wait_s = T1_S
        while (left_s := (until_s if self._provisional else silent_until_s) - loop.time()) > 0:
            try:
                got = await pending.next(left_s if self._provisional else min(left_s, wait_s))
            except NoAnswer as error:
                self._ringing = None
                raise CallFailed(f"{self._target} cannot be reached: {error}") from None
            if got is None:
                if not self._provisional:
                    wait_s *= 2
                    self._transactions.repeat(pending)
            elif got[0].status < 200:
                self._provisional = True
            else:
                self._ringing = None
                await self._confirm(pending, got[0])
                return got
        if self._provisional:
            await self.abandon()
            raise CallFailed(f"{self._target} did not answer within {limit_s:g} s", "unanswered")
        self._ringing = None
        waited_s = min(limit_s, SILENCE_LIMIT_S)
        raise CallFailed(
            f"{self._target}: no answer to INVITE within {waited_s:g} s: nobody is there"
        )

    async def _confirm(self, pending: Pending, response: Response) -> None:
        """ACK; of a 200, to wherever the far end wants the rest of the call."""
        if response.status < 300:
            self._answered = True
            self._dialog.answered(response)
            await self._reroute()
        ack = self._dialog.ack(pending.outgoing, response, *self._credentials.lines)
        self._transactions.confirm(pending, ack)

    async def _reroute(self) -> None:
        """RFC 3261, 12.2.1.1: the first route, or the contact."""
        assert self._channel is not None
        if self._channel.reliable:
            return
        try:
            self._channel.reroute(await resolve(parse_uri(self._dialog.next_hop)))
        except (UriError, ChannelError) as error:
            self._events.noted(f"the agent's contact cannot be used: {error}")

    async def _agree(self, response: Response, at_s: float, own: LocalMedia) -> Answered:
        theirs = parse_media(response.body)
        agreed = agreed_types(theirs, own.form) if theirs is not None else None
        if theirs is None or not theirs.port:
            problem = CallFailed(
                f"{self._target} answered {response} without a port for audio", "no_audio"
            )
        elif agreed is None:
            names = ", ".join(theirs.maps.get(kind, str(kind)) for kind in theirs.formats)
            problem = CallFailed(
                f"{self._target} answered with {names} to an offer of {own.form.rtpmap} alone",
                "bad_codec",
            )
        elif own.key is not None and theirs.key is None:
            problem = CallFailed(
                f"{self._target} gave no key for encrypted audio that is known here", "no_audio"
            )
        else:
            self._requests.media = own
            return Answered(at_s, theirs, agreed, own)
        await self.hang_up()
        raise problem

    def _refusal(self, response: Response) -> CallFailed:
        message = f"{self._target} answered {response}"
        if response.status < 400:
            contact = uri_in(response.headers.one("contact"))
            message += f": it sends callers to {contact or 'nobody'}; call that instead"
        elif why := response.headers.one("warning") or reason_text(response.headers):
            message += f" ({why[:200]})"
        return CallFailed(message, "refused")

    async def _request(
        self, method: str, *extra: str, body: str = "", content_type: str = ""
    ) -> Response:
        """A request in the call, with a password where one is asked for. Raises NoAnswer."""
        credentials = Credentials(self._target)
        for _ in range(ATTEMPTS):
            outgoing = self._dialog.request(
                method, *extra, *credentials.lines, body=body, content_type=content_type
            )
            response = await self._transactions.ask(outgoing, REQUEST_LIMIT_S)
            if response.status not in CHALLENGES:
                return response
            try:
                credentials.challenged(response, outgoing)
            except CredentialsRefused as error:
                raise NoAnswer(f"{method}: {error}") from None
        raise NoAnswer(f"{method}: {response} to {ATTEMPTS} attempts")

    def _tell_transferred(self) -> None:
        notifying = telling(self._failed, self._notify())
        task = asyncio.create_task(notifying, name="sip-notify")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _notify(self) -> None:
        try:
            await self._request(
                "NOTIFY",
                "Event: refer",
                "Subscription-State: terminated;reason=noresource",
                self._dialog.own_contact,
                body="SIP/2.0 200 OK\r\n",
                content_type="message/sipfrag;version=2.0",
            )
        except NoAnswer as error:
            self._events.noted(str(error))

    def _failed(self, error: Exception) -> None:
        self.broken = self.broken or error

    def _broke(self, what: str) -> None:
        self.doubtful = True
        self._transactions.broke(what)

    def _received(self, raw: bytes, at_s: float, source: Address) -> None:
        try:
            message = parse(raw)
        except SipFault:
            return  # a stray datagram is no part of the call
        if isinstance(message, Request):
            if answer := self._requests.answer(message, at_s):
                self._transactions.send(answer, source)
        elif message.headers.one("call-id") == self._dialog.call_id:
            self._transactions.received(message, at_s, source)
