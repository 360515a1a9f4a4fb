"""One call of this side as a SIP dialog, as text in and out (RFC 3261, section 12). Pure."""

from dataclasses import dataclass, field

from latency_bench.sip.message import Headers, Request, Response, compose, tag_of
from latency_bench.sip.uri import SipUri, bracketed, uri_in

AGENT = "offhook-bench"
ALLOW = "INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, NOTIFY, REFER, UPDATE, MESSAGE"


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request as it is sent, and what its responses are known by."""

    method: str
    branch: str
    uri: str
    raw: bytes

    @property
    def key(self) -> tuple[str, str]:
        """Branch and method: a CANCEL has the branch of its INVITE."""
        return self.branch, self.method


@dataclass(slots=True)
class Dialog:
    """The call; its methods give the messages to send."""

    target: SipUri
    local: tuple[str, int]
    """Where this side's signalling listens."""
    call_id: str
    tag: str
    user: str = "bench"
    domain: str = ""
    """Of From; this side's own address where it is empty."""
    to: str = ""
    contact: str = ""
    """The far end's, once it answered."""
    routes: tuple[str, ...] = ()
    _sequence: int = field(default=0)

    def invite(self, body: str, *credentials: str) -> Outgoing:
        """A fresh attempt; ``credentials`` are header lines."""
        self._sequence += 1
        return self._request("INVITE", self._sequence, body=body, extra=credentials)

    def ack(self, invite: Outgoing, response: Response, *credentials: str) -> Outgoing:
        """Confirms a final answer: of a refusal, as a part of the INVITE's own transaction."""
        number = response.headers.sequence
        if response.status < 300:
            return self._request("ACK", number, extra=credentials)
        return self._request(
            "ACK", number, branch=invite.branch, uri=invite.uri, to=response.headers.one("to")
        )

    def cancel(self, invite: Outgoing) -> Outgoing:
        """Takes back an INVITE that was not answered yet."""
        return self._request("CANCEL", self._sequence, branch=invite.branch, uri=invite.uri)

    def request(
        self,
        method: str,
        *extra: str,
        body: str = "",
        content_type: str = "application/sdp",
    ) -> Outgoing:
        """Any other request inside the call; ``extra`` are header lines."""
        self._sequence += 1
        return self._request(
            method, self._sequence, extra=extra, body=body, content_type=content_type
        )

    def answered(self, response: Response) -> None:
        """Takes over what the 200 says of the dialog (RFC 3261, 12.1.2)."""
        self.to = response.headers.one("to")
        self.routes = tuple(reversed(response.headers.all("record-route")))
        self.refresh(response.headers)

    def refresh(self, headers: Headers) -> None:
        """A later INVITE or UPDATE may name another contact."""
        contact = headers.one("contact")
        if contact:
            self.contact = uri_in(contact)

    def owns(self, request: Request) -> bool:
        """Whether a request of the far end is of this call."""
        headers = request.headers
        return headers.one("call-id") == self.call_id and tag_of(headers.one("to")) in (
            self.tag,
            # A far end that forgets the tag is still the only one with this Call-ID.
            "",
        )

    @property
    def next_hop(self) -> str:
        """The address that in-dialog requests go to: the first route, or the contact."""
        return uri_in(self.routes[0]) if self.routes else self.contact or self.target.text

    @property
    def own_contact(self) -> str:
        """A header line: where this side wants requests."""
        host, port = self.local
        scheme = self.target.scheme
        named = scheme == "sip" and self.target.transport != "udp"
        parameter = f";transport={self.target.transport}" if named else ""
        return f"Contact: <{scheme}:{self.user}@{bracketed(host)}:{port}{parameter}>"

    def _request(
        self,
        method: str,
        number: int,
        *,
        branch: str = "",
        uri: str = "",
        to: str = "",
        extra: tuple[str, ...] = (),
        body: str = "",
        content_type: str = "application/sdp",
    ) -> Outgoing:
        host, port = self.local
        uri = uri or self.contact or self.target.text
        branch = branch or f"z9hG4bK-{self.tag}-{method.lower()}-{number}"
        domain = self.domain or f"{bracketed(host)}:{port}"
        via = f"SIP/2.0/{self.target.transport.upper()} {bracketed(host)}:{port}"
        lines = [
            f"{method} {uri} SIP/2.0",
            f"Via: {via};branch={branch};rport",
            "Max-Forwards: 70",
            *(f"Route: {route}" for route in self.routes),
            f"From: <{self.target.scheme}:{self.user}@{domain}>;tag={self.tag}",
            f"To: {to or self.to or f'<{self.target.text}>'}",
            f"Call-ID: {self.call_id}",
            f"CSeq: {number} {method}",
        ]
        if method in ("INVITE", "OPTIONS"):
            lines += [self.own_contact, f"Allow: {ALLOW}"]
        lines += [f"User-Agent: {AGENT}", *extra]
        return Outgoing(method, branch, uri, compose(lines, body, content_type))
