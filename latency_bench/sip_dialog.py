"""The little of SIP that a caller needs: one INVITE dialog, as text in and out. Pure.

RFC 3261 for the messages, RFC 4566 for the session description. Not a stack: it calls, it is
answered, it hangs up, over UDP.
"""

import re
from dataclasses import dataclass, field

MAX_MESSAGE = 65535
_STATUS = re.compile(r"SIP/2\.0 (\d{3}) ?([^\r\n]*)")
_REQUEST = re.compile(r"([A-Z]+) (\S+) SIP/2\.0")


class SipFault(Exception):
    """What came back is not what a SIP peer sends; the message says what it was."""


@dataclass(frozen=True, slots=True)
class Response:
    """A status line, with what a caller reads of the rest."""

    status: int
    reason: str
    call_id: str
    method: str
    """Of the request it answers."""
    to: str
    contact: str
    """URI; empty where there is none."""
    routes: tuple[str, ...]
    """Record-Route, in the order of sending."""
    media: tuple[str, int] | None
    """Where audio goes; None without a session description."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request of the far end, with what its answer repeats."""

    method: str
    call_id: str
    echoed: str
    """Via, From, To, Call-ID and CSeq, as they came."""


@dataclass(slots=True)
class Dialog:
    """One call of this side; its methods give the messages to send."""

    target: str
    """The SIP URI that is called."""
    local: tuple[str, int]
    rtp_port: int
    call_id: str
    tag: str
    user: str = "bench"
    to: str = ""
    contact: str = ""
    routes: tuple[str, ...] = ()
    _sequence: int = field(default=1)

    def invite(self) -> bytes:
        """Offers G.711 mu-law and telephone events."""
        host, _ = self.local
        body = "\r\n".join(
            (
                "v=0",
                f"o=- 1 1 IN IP4 {host}",
                "s=-",
                f"c=IN IP4 {host}",
                "t=0 0",
                f"m=audio {self.rtp_port} RTP/AVP 0 101",
                "a=rtpmap:0 PCMU/8000",
                "a=rtpmap:101 telephone-event/8000",
                "a=fmtp:101 0-15",
                "a=ptime:20",
                "a=sendrecv",
                "",
            )
        )
        return self._request("INVITE", "z9hG4bK-invite", 1, self.target, body)

    def ack(self) -> bytes:
        """Confirms the answer."""
        return self._request("ACK", "z9hG4bK-ack", 1, self.contact or self.target)

    def bye(self) -> bytes:
        """Hangs up."""
        self._sequence = 2
        return self._request("BYE", "z9hG4bK-bye", 2, self.contact or self.target)

    def answered(self, response: Response) -> None:
        """Takes over what the answer says of the dialog (RFC 3261, 12.1.2)."""
        self.to, self.contact = response.to, response.contact
        self.routes = tuple(reversed(response.routes))

    def _request(self, method: str, branch: str, number: int, uri: str, body: str = "") -> bytes:
        host, port = self.local
        to = self.to or f"<{self.target}>"
        lines = [
            f"{method} {uri} SIP/2.0",
            f"Via: SIP/2.0/UDP {host}:{port};branch={branch}-{self.tag};rport",
            "Max-Forwards: 70",
            *(f"Route: {route}" for route in self.routes if method != "INVITE"),
            f"From: <sip:{self.user}@{host}:{port}>;tag={self.tag}",
            f"To: {to}",
            f"Call-ID: {self.call_id}",
            f"CSeq: {number} {method}",
            f"Contact: <sip:{self.user}@{host}:{port}>",
            "User-Agent: offhook-bench",
        ]
        if body:
            lines.append("Content-Type: application/sdp")
        lines += [f"Content-Length: {len(body)}", "", body]
        return "\r\n".join(lines).encode()


def parse(message: bytes) -> Response | Request:
    """Reads one datagram. Raises SipFault."""
    text = message[:MAX_MESSAGE].decode("utf-8", "replace")
    head, _, body = text.partition("\r\n\r\n")
    first, _, rest = head.partition("\r\n")
    headers = _headers(rest)
    call_id = _one(headers, "call-id", "i")
    if found := _REQUEST.match(first):
        wanted = ("via", "v", "from", "f", "to", "t", "call-id", "i", "cseq")
        echoed = "\r\n".join(f"{name}: {value}" for name, value in headers if name in wanted)
        return Request(found[1], call_id, echoed)
    if not (found := _STATUS.match(first)):
        raise SipFault(f"neither a SIP request nor a response: {first[:80]!r}")
    return Response(
        status=int(found[1]),
        reason=found[2],
        call_id=call_id,
        method=_one(headers, "cseq").rpartition(" ")[2],
        to=_one(headers, "to", "t"),
        contact=_uri(_one(headers, "contact", "m")),
        routes=tuple(value for name, value in headers if name == "record-route"),
        media=_media(body),
    )


def ok_to(request: Request) -> bytes:
    """200 to a request of the far end, such as its BYE."""
    return f"SIP/2.0 200 OK\r\n{request.echoed}\r\nContent-Length: 0\r\n\r\n".encode()


def _headers(text: str) -> list[tuple[str, str]]:
    found = []
    for line in text.split("\r\n"):
        name, colon, value = line.partition(":")
        if colon:
            found.append((name.strip().lower(), value.strip()))
    return found


def _one(headers: list[tuple[str, str]], *names: str) -> str:
    return next((value for name, value in headers if name in names), "")


def _uri(contact: str) -> str:
    found = re.search(r"<([^>]*)>", contact)
    return found[1] if found else contact.partition(";")[0].strip()


def _media(body: str) -> tuple[str, int] | None:
    port = re.search(r"^m=audio (\d+) ", body, re.MULTILINE)
    host = re.search(r"^c=IN IP[46] (\S+)", body, re.MULTILINE)
    return (host[1], int(port[1])) if port and host else None
