"""A reference agent's telephone door: SIP and RTP of its own, with nothing between the wire and
what it logs: no jitter buffer, no mixer, no queue. RFC 3261, RFC 3264, RFC 3550; G.711 mu-law.

It is no stack: one dialog a call, UDP, loopback.
"""

import asyncio
import os
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

from latency_bench.reference.behaviour import Behaviour, behaviour_of
from latency_bench.reference.rtp import RtpLeg
from latency_bench.reference.talk import Truth

T1_S = 0.5
ANSWER_TRIES = 7
CALLS_LIMIT = 50


@dataclass(slots=True)
class _Call:
    """One dialog."""

    name: str
    behaviour: Behaviour
    invite: "_Message"
    peer: tuple[str, int]
    tag: str
    rtp: RtpLeg | None = None
    final: bytes = b""
    """What the INVITE was answered with; its repetition gets the same."""
    acked: asyncio.Event = field(default_factory=asyncio.Event)
    tasks: list["asyncio.Task[None]"] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Message:
    """A request, or a response (``method`` empty)."""

    method: str
    uri: str
    headers: tuple[tuple[str, str], ...]
    body: str

    def one(self, *names: str) -> str:
        """The first header of these names (lower case, long or short); empty where none is."""
        return next((value for name, value in self.headers if name in names), "")

    @property
    def call_id(self) -> str:
        """Which call it belongs to."""
        return self.one("call-id", "i")


class SipDoor(asyncio.DatagramProtocol):
    """Answers calls, each as its address or ``otherwise`` says; ``on_truth`` gets each ended one.

    ``name.N`` in the address's user part is the behaviour ``name``; the whole is the call's name.
    """

    def __init__(self, otherwise: str, seed: int, on_truth: Callable[[Truth], None]) -> None:
        self._otherwise = otherwise
        self._seed = seed
        self._on_truth = on_truth
        self._transport: asyncio.DatagramTransport | None = None
        self._host = ""
        self._calls: dict[str, _Call] = {}
        self._vanished: set[str] = set()

    async def open(self, host: str, port: int) -> int:
        """Listens; returns the port."""
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: self, local_addr=(host, port))
        assert self._transport is not None
        self._host, bound = self._transport.get_extra_info("sockname")[:2]
        return int(bound)

    async def close(self) -> None:
        """Ends every call."""
        for call_id in list(self._calls):
            self._over(call_id)
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is there."""
        # asyncio's own datagram transport does not inherit from the class of that name.
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """One SIP message."""
        message = _parse(data)
        if message is None or message.call_id in self._vanished:
            return
        call = self._calls.get(message.call_id)
        match message.method:
            case "INVITE" if call is None:
                self._invited(message, addr[:2])
            case "INVITE" if call is not None and call.final:
                self._send(call.final, addr)
            case "ACK" if call is not None:
                call.acked.set()
            case "CANCEL" if call is not None:
                self._reply(message, addr, 200, "OK", call.tag)
                if not call.final:
                    self._finish(call, 487, "Request Terminated")
                    self._over(message.call_id)
            case "BYE":
                self._reply(message, addr, 200 if call is not None else 481, "OK", "")
                self._over(message.call_id)
            case "" | "ACK" | "INVITE":
                pass
            case _:
                self._reply(message, addr, 200, "OK", "")

    def _invited(self, message: _Message, peer: tuple[str, int]) -> None:
        found = re.match(r"sips?:(?:([^@;>]*)@)?", message.uri)
        name = (found[1] if found else "") or self._otherwise
        behaviour = behaviour_of(name, self._otherwise)
        call = _Call(name, behaviour, message, peer, secrets.token_hex(4))
        if len(self._calls) >= CALLS_LIMIT:
            self._reply(message, peer, 503, "Service Unavailable", call.tag)
            return
        self._calls[message.call_id] = call
        self._reply(message, peer, 180, "Ringing", call.tag)
        media = _media(message.body)
        if behaviour.signalling == "refuses":
            self._finish(call, 486, "Busy Here")
        elif behaviour.signalling == "no_sdp":
            self._finish(call, 200, "OK")
        elif behaviour.signalling == "answers":
            if media is None:
                self._finish(call, 488, "Not Acceptable Here")
                return
            call.rtp = RtpLeg(self._host, behaviour, self._seed)
            self._finish(call, 200, "OK", _answer(self._host, call.rtp.port))
            call.rtp.start(media, time.monotonic())
            call.tasks.append(asyncio.create_task(self._misbehave(message.call_id, call)))

    async def _misbehave(self, call_id: str, call: _Call) -> None:
        behaviour = call.behaviour
        ends = (behaviour.hang_up_s, behaviour.vanish_s, behaviour.exit_s)
        if all(end_s is None for end_s in ends):
            return
        await asyncio.sleep(min(end_s for end_s in ends if end_s is not None))
        if behaviour.exit_s is not None:
            os._exit(1)
        if behaviour.hang_up_s is not None:
            self._send(self._bye(call), call.peer)
        elif call.rtp is not None:
            # For this call alone: others may be under way on the same socket.
            self._vanished.add(call_id)
            del self._calls[call_id]
            await asyncio.to_thread(call.rtp.stop)
            return
        self._over(call_id)

    def _finish(self, call: _Call, status: int, reason: str, body: str = "") -> None:
        call.final = self._reply(call.invite, call.peer, status, reason, call.tag, body)
        call.tasks.append(asyncio.create_task(self._repeat(call)))

    async def _repeat(self, call: _Call) -> None:
        """The final answer again until it is acknowledged (RFC 3261, 13.3.1.4, 17.2.1)."""
        wait_s = T1_S
        for _ in range(ANSWER_TRIES):
            try:
                async with asyncio.timeout(wait_s):
                    await call.acked.wait()
                return
            except TimeoutError:
                self._send(call.final, call.peer)
                wait_s = min(2 * wait_s, 4.0)

    def _over(self, call_id: str) -> None:
        call = self._calls.pop(call_id, None)
        if call is None:
            return
        if call.rtp is not None:
            call.rtp.stop()
            self._on_truth(call.rtp.talk.truth(call.name, "sip"))
        for task in call.tasks:
            if task is not asyncio.current_task():
                task.cancel()

    def _bye(self, call: _Call) -> bytes:
        invite = call.invite
        contact = re.search(r"<([^>]*)>", invite.one("contact", "m"))
        lines = (
            f"BYE {contact[1] if contact else 'sip:caller'} SIP/2.0",
            f"Via: SIP/2.0/UDP {self._host}:{self._port};branch=z9hG4bK{secrets.token_hex(6)}",
            "Max-Forwards: 70",
            f"From: {invite.one('to', 't')};tag={call.tag}",
            f"To: {invite.one('from', 'f')}",
            f"Call-ID: {invite.call_id}",
            "CSeq: 1 BYE",
            "Content-Length: 0",
            "",
            "",
        )
        return "\r\n".join(lines).encode()

    def _reply(
        self,
        request: _Message,
        peer: tuple[str, int],
        status: int,
        reason: str,
        tag: str,
        body: str = "",
    ) -> bytes:
        to = request.one("to", "t")
        lines = [
            f"SIP/2.0 {status} {reason}",
            *(f"Via: {value}" for name, value in request.headers if name in ("via", "v")),
            f"From: {request.one('from', 'f')}",
            f"To: {to}" if not tag or ";tag=" in to else f"To: {to};tag={tag}",
            f"Call-ID: {request.call_id}",
            f"CSeq: {request.one('cseq')}",
            f"Contact: <sip:reference@{self._host}:{self._port}>",
            *(("Content-Type: application/sdp",) if body else ()),
            f"Content-Length: {len(body.encode())}",
            "",
            body,
        ]
        data = "\r\n".join(lines).encode()
        self._send(data, peer)
        return data

    @property
    def _port(self) -> int:
        assert self._transport is not None
        return int(self._transport.get_extra_info("sockname")[1])

    def _send(self, data: bytes, peer: tuple[str, int]) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(data, peer)


def _parse(data: bytes) -> _Message | None:
    """One datagram; None for what is no SIP."""
    head, _, body = data.decode("utf-8", "replace").partition("\r\n\r\n")
    first, _, rest = head.partition("\r\n")
    request = re.match(r"([A-Z]+) (\S+) SIP/2\.0$", first)
    if request is None and not first.startswith("SIP/2.0 "):
        return None
    headers = []
    for line in rest.split("\r\n"):
        name, colon, value = line.partition(":")
        if colon:
            headers.append((name.strip().lower(), value.strip()))
    method, uri = (request[1], request[2]) if request else ("", "")
    return _Message(method, uri, tuple(headers), body)


def _media(offer: str) -> tuple[str, int] | None:
    """Where the caller wants its audio; None where it does not offer G.711 mu-law."""
    audio = re.search(r"^m=audio (\d+) RTP/AVP([ \d]*)\r?$", offer, re.MULTILINE)
    host = re.search(r"^c=IN IP4 (\S+)\r?$", offer, re.MULTILINE)
    if audio is None or host is None or "0" not in audio[2].split():
        return None
    return host[1], int(audio[1])


def _answer(host: str, port: int) -> str:
    lines = (
        "v=0",
        f"o=- 1 1 IN IP4 {host}",
        "s=-",
        f"c=IN IP4 {host}",
        "t=0 0",
        f"m=audio {port} RTP/AVP 0",
        "a=rtpmap:0 PCMU/8000",
        "a=ptime:20",
        "a=sendrecv",
        "",
    )
    return "\r\n".join(lines)
