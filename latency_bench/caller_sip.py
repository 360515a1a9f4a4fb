"""A caller over SIP and RTP, from outside: its own messages, its own clock.

Calls any agent that speaks SIP over UDP and G.711 mu-law, ours or another.
"""

import asyncio
import re
import secrets
import time
from dataclasses import dataclass
from typing import cast

from latency_bench.rtp_wire import RtpCall, RtpWire, open_socket
from latency_bench.sip_dialog import Dialog, Request, Response, SipFault, ok_to, parse

T1_S = 0.5
"""First retransmission (RFC 3261, 17.1.1.1)."""
ANSWER_LIMIT_S = 15.0
BYE_LIMIT_S = 4.0
_TARGET = re.compile(r"sip:(?:[^@;]*@)?([0-9.]+|localhost)(?::(\d+))?")


class CallFailed(Exception):
    """The call was not answered; the message says what came instead."""


@dataclass(slots=True)
class SipCall:
    """An answered call; end it with `hang_up`."""

    rtp: RtpCall
    answer_ms: float
    """From the INVITE to its 200."""
    answered_at_s: float
    """`time.time()` of the 200."""
    _caller: "SipCaller"
    _wire: RtpWire

    @property
    def ended_by_peer(self) -> bool:
        """Whether the far end hung up."""
        return self._caller.ended.is_set()

    async def hang_up(self) -> None:
        """Sends BYE and waits for its answer; what was heard stays in ``rtp``."""
        self._wire.remove(self.rtp)
        await self._caller.bye()
        self.rtp.socket.close()


class SipCaller(asyncio.DatagramProtocol):
    """The signalling of one call."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()
        self._responses: asyncio.Queue[Response] = asyncio.Queue()
        self._transport: asyncio.DatagramTransport | None = None
        self._dialog: Dialog | None = None
        self._acked = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is there."""
        # asyncio's own datagram transport does not inherit from the class of that name.
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: object) -> None:
        """Answers requests, and keeps responses for whoever waits."""
        try:
            message = parse(data)
        except SipFault:
            # A stray datagram is no part of the call.
            return
        if isinstance(message, Request):
            if message.method == "BYE":
                self.ended.set()
            if message.method != "ACK":
                self._send(ok_to(message))
        elif message.method == "INVITE" and message.status >= 200 and self._acked:
            # The answer was repeated: our ACK was lost.
            self._send(self._call.ack())
        else:
            self._responses.put_nowait(message)

    async def invite(self, dialog: Dialog) -> tuple[Response, float]:
        """Calls; returns the answer and how long it took, in seconds. Raises CallFailed."""
        self._dialog = dialog
        began_s = time.monotonic()
        response = await self._ask(dialog.invite(), "INVITE", ANSWER_LIMIT_S)
        taken_s = time.monotonic() - began_s
        dialog.answered(response)
        self._send(dialog.ack())
        self._acked = True
        if response.status != 200:
            raise CallFailed(f"{dialog.target} answered {response.status} {response.reason}")
        return response, taken_s

    async def bye(self) -> None:
        """Hangs up, unless the far end did."""
        try:
            if not self.ended.is_set():
                await self._ask(self._call.bye(), "BYE", BYE_LIMIT_S)
        finally:
            self.close()

    def close(self) -> None:
        """Closes the socket."""
        if self._transport is not None:
            self._transport.close()

    @property
    def _call(self) -> Dialog:
        assert self._dialog is not None
        return self._dialog

    async def _ask(self, message: bytes, method: str, limit_s: float) -> Response:
        """Sends until something final comes back."""
        wait_s, provisional = T1_S, False
        try:
            async with asyncio.timeout(limit_s):
                while True:
                    if not provisional:
                        self._send(message)
                    try:
                        async with asyncio.timeout(None if provisional else wait_s):
                            response = await self._responses.get()
                    except TimeoutError:
                        wait_s = min(2 * wait_s, 4.0)
                        continue
                    if response.method != method:
                        continue
                    if response.status >= 200:
                        return response
                    provisional = True
        except TimeoutError:
            raise CallFailed(f"no answer to {method} within {limit_s:g} s") from None

    def _send(self, message: bytes) -> None:
        if self._transport is not None:
            self._transport.sendto(message)


async def place_call(target: str, frames: list[bytes], wire: RtpWire) -> SipCall:
    """Calls ``target`` (``sip:user@address:port``) and says ``frames`` once it is answered.

    Raises CallFailed.
    """
    found = _TARGET.match(target)
    if not found:
        raise CallFailed(f"{target!r} is no address to call: write sip:agent@127.0.0.1:5060")
    host = "127.0.0.1" if found[1] == "localhost" else found[1]
    peer = (host, int(found[2] or 5060))
    loop = asyncio.get_running_loop()
    _, caller = await loop.create_datagram_endpoint(SipCaller, remote_addr=peer)
    assert caller._transport is not None
    local: tuple[str, int] = caller._transport.get_extra_info("sockname")[:2]
    rtp = RtpCall(open_socket(local[0]), frames)
    wire.add(rtp)
    dialog = Dialog(
        target=target,
        local=local,
        rtp_port=rtp.socket.getsockname()[1],
        call_id=f"{secrets.token_hex(8)}@{local[0]}",
        tag=secrets.token_hex(4),
    )
    try:
        response, taken_s = await caller.invite(dialog)
        if response.media is None:
            raise CallFailed(f"{target} answered without audio")
    except BaseException:
        wire.remove(rtp)
        rtp.socket.close()
        caller.close()
        raise
    answered_at_s = time.time()
    rtp.peer = response.media
    return SipCall(rtp, taken_s * 1000, answered_at_s, caller, wire)
