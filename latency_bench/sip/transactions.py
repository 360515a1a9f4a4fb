"""Requests of this side and the answers to them (RFC 3261, section 17)."""

import asyncio

from latency_bench.sip.channel import Channel
from latency_bench.sip.dialog import Outgoing
from latency_bench.sip.message import Response
from latency_bench.sip.rtp_wire import Address

T1_S = 0.5
"""First retransmission (RFC 3261, 17.1.1.1)."""
T2_S = 4.0
"""Longest wait between two, of all but INVITE."""
ANSWERS_LIMIT = 100
"""That wait to be read, of one request."""


class NoAnswer(Exception):
    """Nothing final came back; the message says why not."""


class Pending:
    """One request under way; its answers in the order of arrival."""

    def __init__(self, outgoing: Outgoing) -> None:
        self.outgoing = outgoing
        self._queue: asyncio.Queue[tuple[Response, float] | str] = asyncio.Queue(ANSWERS_LIMIT)

    def put(self, got: tuple[Response, float] | str) -> None:
        """An answer with its arrival, or what broke."""
        if not self._queue.full():
            self._queue.put_nowait(got)

    async def next(self, limit_s: float) -> tuple[Response, float] | None:
        """The next answer; None: none came in time. Raises NoAnswer where the way broke."""
        try:
            async with asyncio.timeout(limit_s):
                got = await self._queue.get()
        except TimeoutError:
            return None
        if isinstance(got, str):
            raise NoAnswer(got)
        return got


class Transactions:
    """All requests of one call."""

    def __init__(self, channel: Channel) -> None:
        self._channel: Channel | None = channel
        self._pending: dict[tuple[str, str], Pending] = {}
        self._acks: dict[str, bytes] = {}
        """By the INVITE's branch."""

    def begin(self, outgoing: Outgoing) -> Pending:
        """Sends, once; `finish` has to follow."""
        pending = self._pending[outgoing.key] = Pending(outgoing)
        self.send(outgoing.raw)
        return pending

    def finish(self, pending: Pending) -> None:
        """No more answers are wanted."""
        self._pending.pop(pending.outgoing.key, None)

    def confirm(self, pending: Pending, ack: Outgoing) -> None:
        """Sends the ACK of an INVITE, and again whenever its answer is repeated."""
        self.finish(pending)
        self._acks[pending.outgoing.branch] = ack.raw
        self.send(ack.raw)

    async def ask(self, outgoing: Outgoing, limit_s: float) -> Response:
        """Sends until something final comes back. Raises NoAnswer."""
        pending = self.begin(outgoing)
        try:
            return (await self.final(pending, limit_s))[0]
        except NoAnswer as error:
            raise NoAnswer(f"{outgoing.method}: {error}") from None
        finally:
            self.finish(pending)

    async def final(
        self, pending: Pending, limit_s: float, *, repeat: bool = True
    ) -> tuple[Response, float]:
        """The final answer and its arrival. Raises NoAnswer."""
        loop = asyncio.get_running_loop()
        until_s, wait_s = loop.time() + limit_s, T1_S
        while (left_s := until_s - loop.time()) > 0:
            got = await pending.next(min(left_s, wait_s))
            if got is not None and got[0].status >= 200:
                return got
            if got is None:
                wait_s = min(2 * wait_s, T2_S)
                if repeat:
                    self.repeat(pending)
        raise NoAnswer(f"no answer within {limit_s:g} s")

    def repeat(self, pending: Pending) -> None:
        """Sends again, where the way may lose messages."""
        if self._channel is not None and not self._channel.reliable:
            self.send(pending.outgoing.raw)

    def send(self, message: bytes, to: Address | None = None) -> None:
        """Sends anything, while there is a way."""
        if self._channel is not None:
            self._channel.send(message, to)

    def received(self, response: Response, at_s: float, source: Address) -> None:
        """Hands an answer to whoever waits for it."""
        headers = response.headers
        pending = self._pending.get((headers.branch, headers.method))
        if pending is not None:
            pending.put((response, at_s))
        elif headers.method == "INVITE" and (ack := self._acks.get(headers.branch)):
            if response.status >= 200:
                # Our ACK was lost, or went to an address that does not work.
                self.send(ack)
                self.send(ack, source)

    def broke(self, what: str) -> None:
        """The way broke: nobody waits any longer."""
        for pending in self._pending.values():
            pending.put(what)

    def close(self) -> None:
        """Nothing is sent from here on."""
        self._channel = None
