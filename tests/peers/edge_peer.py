"""A small SIP user agent with G.711 over plain RTP: a phone, a trunk or a worker of the tests.

It speaks UDP, answers every call with an echo or with silence, and counts RTP packets and
where they come from.
"""

import asyncio
import hashlib
import itertools
import os
import re
import secrets
import time
from dataclasses import dataclass, field

REQUEST_LIMIT_S = 15.0
RETRANSMIT_S = 0.5
FRAME = b"\xd5" * 160
_numbers = itertools.count(1)


class Refused(Exception):
    """A final reply of 300 or more."""

    def __init__(self, reply: "Message") -> None:
        super().__init__(reply.start)
        self.reply = reply
        self.status = reply.status


@dataclass
class Message:
    start: str
    headers: list[tuple[str, str]]
    body: str = ""

    @classmethod
    def parse(cls, data: bytes) -> "Message":
        head, _, body = data.decode("utf-8", "replace").partition("\r\n\r\n")
        start, *lines = head.split("\r\n")
        pairs = (line.partition(":") for line in lines)
        return cls(start, [(name.strip().lower(), text.strip()) for name, _, text in pairs], body)

    def all(self, name: str) -> list[str]:
        return [text for known, text in self.headers if known == name]

    def get(self, name: str) -> str:
        return next(iter(self.all(name)), "")

    @property
    def status(self) -> int:
        return int(self.start.split()[1]) if self.start.startswith("SIP/2.0 ") else 0

    @property
    def method(self) -> str:
        return self.get("cseq").split()[-1]

    def to_bytes(self) -> bytes:
        lines = [self.start, *(f"{name}: {text}" for name, text in self.headers)]
        return ("\r\n".join(lines) + f"\r\nContent-Length: {len(self.body)}\r\n\r\n").encode() + (
            self.body.encode()
        )


@dataclass
class Media(asyncio.DatagramProtocol):
    """An RTP port: counts what comes, and sends it back where ``echo``."""

    echo: bool
    received: int = 0
    sources: set[tuple[str, int]] = field(default_factory=set)
    arrivals_s: list[float] = field(default_factory=list)
    far: tuple[str, int] | None = None
    port: int = 0
    transport: asyncio.DatagramTransport | None = None
    sequence: int = 0

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, source: tuple[str, int]) -> None:
        if len(data) < 12 or 200 <= data[1] <= 204:
            return
        self.received += 1
        self.sources.add(source)
        self.arrivals_s.append(time.monotonic())
        if self.echo and self.transport is not None:
            self.transport.sendto(data, source)

    def send_frame(self) -> None:
        assert self.transport is not None and self.far is not None
        self.sequence += 1
        head = bytes([0x80, 8]) + self.sequence.to_bytes(2, "big")
        head += (self.sequence * 160).to_bytes(4, "big") + b"edge"
        self.transport.sendto(head + FRAME, self.far)

    async def send(self, frames: int) -> None:
        """20 ms frames, paced."""
        began_s = time.monotonic()
        for n in range(frames):
            self.send_frame()
            await asyncio.sleep(max(0.0, began_s + (n + 1) * 0.02 - time.monotonic()))

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()


@dataclass
class PeerCall:
    peer: "SipPeer"
    call_id: str
    local: str
    remote: str
    target: str
    routes: list[str]
    media: Media
    answered_by: str = ""
    sdp: str = ""
    invite: Message | None = None
    cseq: int = 1
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    tasks: list["asyncio.Task[None]"] = field(default_factory=list)

    async def request(self, method: str) -> Message:
        self.cseq += 1
        return await self.peer.request(
            method, self.target, self.local, self.remote, self.call_id, self.cseq, self.routes
        )

    async def hang_up(self) -> None:
        self.over()
        await self.request("BYE")

    def over(self) -> None:
        self.ended.set()
        self.peer.calls.pop(self.call_id, None)
        for task in self.tasks:
            task.cancel()
        self.media.close()


class SipPeer(asyncio.DatagramProtocol):
    """Use ``await SipPeer.open(...)``, and ``close`` it."""

    def __init__(self, host: str, proxy: tuple[str, int], user: str) -> None:
        self.host = host
        self.port = 0
        self.proxy = proxy
        self.user = user
        self.agent = "edge-peer"
        self.echo = True
        self.refuse = 0
        """A status for every new call, instead of answering."""
        self.silent = False
        """Answers nothing at all."""
        self.calls: dict[str, PeerCall] = {}
        self.answered = 0
        self.ended = 0
        self.probes = 0
        self.last_sdp = ""
        """What the last caller offered."""
        self._waiting: dict[str, asyncio.Queue[Message]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._transport: asyncio.DatagramTransport | None = None

    @classmethod
    async def open(
        cls, host: str, proxy: tuple[str, int], user: str = "peer", port: int = 0
    ) -> "SipPeer":
        loop = asyncio.get_running_loop()
        _, peer = await loop.create_datagram_endpoint(
            lambda: cls(host, proxy, user), local_addr=(host, port)
        )
        return peer

    def close(self) -> None:
        for call in list(self.calls.values()):
            call.over()
        for task in self._tasks:
            task.cancel()
        if self._transport is not None:
            self._transport.close()

    # -- as a caller

    async def register(self, realm_user: str, password: str, domain: str) -> Message:
        uri = f"sip:{domain}"
        me = f"<sip:{realm_user}@{domain}>"
        extra = [("Contact", f"<{self.contact()}>"), ("Expires", "60")]
        call_id, tag = secrets.token_hex(8), secrets.token_hex(4)
        reply = await self.request("REGISTER", uri, f"{me};tag={tag}", me, call_id, 1, [], extra)
        if reply.status == 401:
            answer = digest(reply, "REGISTER", uri, realm_user, password)
            extra.append(("Authorization", answer))
            reply = await self.request(
                "REGISTER", uri, f"{me};tag={tag}", me, call_id, 2, [], extra
            )
        return reply

    async def call(
        self, uri: str, password: str = "", domain: str = "offhook", echo: bool = False
    ) -> PeerCall:
        """Places a call. Raises Refused, or TimeoutError where nothing answers."""
        media = await self._media(echo)
        try:
            return await self._invite(uri, password, domain, media)
        except BaseException:
            media.close()
            raise

    async def _invite(self, uri: str, password: str, domain: str, media: Media) -> PeerCall:
        call_id, tag = secrets.token_hex(8), secrets.token_hex(4)
        local, remote = f"<sip:{self.user}@{domain}>;tag={tag}", f"<{uri}>"
        sdp = self.sdp(media.port)
        extra = [("Contact", f"<{self.contact()}>"), ("Content-Type", "application/sdp")]
        cseq = 1
        reply = await self.request("INVITE", uri, local, remote, call_id, cseq, [], extra, sdp)
        if reply.status in (401, 407) and password:
            answer = digest(reply, "INVITE", uri, self.user, password)
            name = "Authorization" if reply.status == 401 else "Proxy-Authorization"
            cseq = 2
            reply = await self.request(
                "INVITE", uri, local, remote, call_id, cseq, [], [*extra, (name, answer)], sdp
            )
        if reply.status >= 300:
            raise Refused(reply)
        call = PeerCall(
            self,
            call_id,
            local,
            reply.get("to"),
            uri_of(reply.get("contact")),
            list(reversed(reply.all("record-route"))),
            media,
            reply.get("user-agent"),
            reply.body,
            reply,
            cseq,
        )
        media.far = audio_of(reply.body)
        self.calls[call_id] = call
        self._send_ack(call)
        return call

    def _send_ack(self, call: PeerCall) -> None:
        headers = self._headers(
            "ACK", call.local, call.remote, call.call_id, call.cseq, call.routes
        )
        self.send(Message(f"ACK {call.target} SIP/2.0", headers), self.proxy)

    async def request(
        self,
        method: str,
        uri: str,
        local: str,
        remote: str,
        call_id: str,
        cseq: int,
        routes: list[str],
        extra: list[tuple[str, str]] | None = None,
        body: str = "",
        limit_s: float = REQUEST_LIMIT_S,
    ) -> Message:
        """The final reply. Raises TimeoutError."""
        headers = self._headers(method, local, remote, call_id, cseq, routes)
        message = Message(f"{method} {uri} SIP/2.0", headers + (extra or []), body)
        branch = branch_of(message.get("Via"))
        replies = self._waiting[branch] = asyncio.Queue(100)
        try:
            async with asyncio.timeout(limit_s):
                heard = False
                while True:
                    if not heard:
                        self.send(message, self.proxy)
                    try:
                        async with asyncio.timeout(RETRANSMIT_S):
                            reply = await replies.get()
                    except TimeoutError:
                        continue
                    heard = True
                    if reply.status >= 200:
                        break
        finally:
            del self._waiting[branch]
        if method == "INVITE" and reply.status >= 300:
            ack = [
                (name, reply.get("to") if name == "To" else text)
                for name, text in headers
                if name != "CSeq"
            ]
            self.send(Message(f"ACK {uri} SIP/2.0", [*ack, ("CSeq", f"{cseq} ACK")]), self.proxy)
        return reply

    def send_new(self, method: str, uri: str, agent: str | None = None) -> None:
        """One request, whatever becomes of it."""
        local = f"<sip:{self.user}@offhook>;tag={secrets.token_hex(4)}"
        headers = self._headers(method, local, f"<{uri}>", secrets.token_hex(8), 1, [])
        headers = [(n, t if n != "User-Agent" or agent is None else agent) for n, t in headers]
        headers.append(("Contact", f"<{self.contact()}>"))
        self.send(Message(f"{method} {uri} SIP/2.0", headers), self.proxy)

    # -- as whoever is called

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, source: tuple[str, int]) -> None:
        if self.silent or not data.strip():
            return
        message = Message.parse(data)
        if message.status:
            waiting = self._waiting.get(branch_of(message.get("via")))
            if waiting is not None and not waiting.full():
                waiting.put_nowait(message)
            return
        match message.method:
            case "INVITE":
                if message.get("call-id") not in self.calls:
                    task = asyncio.get_running_loop().create_task(self._answer(message, source))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
            case "ACK":
                call = self.calls.get(message.get("call-id"))
                for task in call.tasks if call else ():
                    task.cancel()
            case "BYE":
                call = self.calls.get(message.get("call-id"))
                self.reply(message, source, 200 if call else 481)
                if call:
                    self.ended += 1
                    call.over()
            case "OPTIONS":
                self.probes += 1
                self.reply(message, source, self.refuse or 200)
            case _:
                self.reply(message, source, 200)

    async def _answer(self, invite: Message, source: tuple[str, int]) -> None:
        if self.refuse:
            self.reply(invite, source, self.refuse)
            return
        self.reply(invite, source, 100)
        self.last_sdp = invite.body
        tag = secrets.token_hex(4)
        call_id = invite.get("call-id")
        media = await self._media(self.echo)
        media.far = audio_of(invite.body) if invite.body else None
        call = PeerCall(
            self,
            call_id,
            f"{invite.get('to')};tag={tag}",
            invite.get("from"),
            uri_of(invite.get("contact")),
            invite.all("record-route"),
            media,
            sdp=invite.body,
            invite=invite,
        )
        self.calls[call_id] = call
        self.answered += 1
        call.tasks.append(asyncio.create_task(self._answer_until_ack(call, invite, source, tag)))

    async def _answer_until_ack(
        self, call: PeerCall, invite: Message, source: tuple[str, int], tag: str
    ) -> None:
        for _ in range(20):
            self.reply(invite, source, 200, tag, self.sdp(call.media.port))
            await asyncio.sleep(RETRANSMIT_S)

    def reply(
        self, request: Message, source: tuple[str, int], status: int, tag: str = "", body: str = ""
    ) -> None:
        to = request.get("to") + (f";tag={tag}" if tag else "")
        headers = [
            *(("Via", text) for text in request.all("via")),
            *(("Record-Route", text) for text in request.all("record-route")),
            ("From", request.get("from")),
            ("To", to),
            ("Call-ID", request.get("call-id")),
            ("CSeq", request.get("cseq")),
            ("Contact", f"<{self.contact()}>"),
            ("User-Agent", f"{self.agent}-{self.port}"),
        ]
        if body:
            headers.append(("Content-Type", "application/sdp"))
        self.send(Message(f"SIP/2.0 {status} Tested", headers, body), source)

    def contact(self) -> str:
        return f"sip:{self.user}@{self.host}:{self.port}"

    def sdp(self, port: int) -> str:
        return (
            f"v=0\r\no=- {next(_numbers)} 1 IN IP4 {self.host}\r\ns=-\r\nc=IN IP4 {self.host}\r\n"
            f"t=0 0\r\nm=audio {port} RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\na=sendrecv\r\n"
        )

    def send(self, message: Message, to: tuple[str, int]) -> None:
        assert self._transport is not None
        self._transport.sendto(message.to_bytes(), to)

    def _headers(
        self, method: str, local: str, remote: str, call_id: str, cseq: int, routes: list[str]
    ) -> list[tuple[str, str]]:
        return [
            ("Via", f"SIP/2.0/UDP {self.host}:{self.port};branch=z9hG4bK{secrets.token_hex(8)}"),
            ("Max-Forwards", "70"),
            *(("Route", route) for route in routes),
            ("From", local),
            ("To", remote),
            ("Call-ID", call_id),
            ("CSeq", f"{cseq} {method}"),
            ("User-Agent", self.agent),
        ]

    async def _media(self, echo: bool) -> Media:
        loop = asyncio.get_running_loop()
        _, media = await loop.create_datagram_endpoint(
            lambda: Media(echo), local_addr=(self.host, 0)
        )
        return media


def digest(reply: Message, method: str, uri: str, user: str, password: str) -> str:
    """RFC 7616 with MD5 and ``qop=auth``."""
    challenge = reply.get("www-authenticate") or reply.get("proxy-authenticate")
    given = dict(re.findall(r'(\w+)="?([^",]+)"?', challenge))
    ha1 = md5(f"{user}:{given['realm']}:{password}")
    cnonce, count = os.urandom(4).hex(), "00000001"
    response = md5(f"{ha1}:{given['nonce']}:{count}:{cnonce}:auth:{md5(f'{method}:{uri}')}")
    return (
        f'Digest username="{user}", realm="{given["realm"]}", nonce="{given["nonce"]}", '
        f'uri="{uri}", response="{response}", algorithm=MD5, qop=auth, nc={count}, '
        f'cnonce="{cnonce}"'
    )


def md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def uri_of(header: str) -> str:
    found = re.search(r"<([^>]+)>", header)
    return found[1] if found else header.partition(";")[0].strip()


def branch_of(via: str) -> str:
    found = re.search(r"branch=([^;,\s]+)", via)
    return found[1] if found else ""


def audio_of(sdp: str) -> tuple[str, int]:
    address = re.search(r"^c=IN IP4 (\S+)", sdp, re.M)
    port = re.search(r"^m=audio (\d+)", sdp, re.M)
    assert address and port, sdp
    return address[1], int(port[1])
