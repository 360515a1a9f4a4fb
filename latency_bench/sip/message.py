"""SIP messages as text, and where one ends in a stream (RFC 3261, sections 7 and 18.3). Pure."""

import re
from dataclasses import dataclass

MAX_BYTES = 65_535
_STATUS = re.compile(r"SIP/2\.0 (\d{3}) ?([^\r\n]*)$")
_REQUEST = re.compile(r"([A-Z]+) (\S+) SIP/2\.0$")
_COMPACT = {
    "v": "via", "f": "from", "t": "to", "i": "call-id", "m": "contact", "l": "content-length",
    "c": "content-type", "r": "refer-to", "b": "referred-by", "k": "supported", "o": "event",
}  # fmt: skip
_REPEATED = ("via", "from", "to", "call-id", "cseq")
"""What a response repeats of its request."""


class SipFault(Exception):
    """What came back is not what a SIP peer sends; the message says what it was."""


@dataclass(frozen=True, slots=True)
class Headers:
    """Names in lower case and in full, in the order of the message."""

    fields: tuple[tuple[str, str], ...]

    def one(self, name: str) -> str:
        """The first of that name, or nothing."""
        return next((value for key, value in self.fields if key == name), "")

    def lines(self, name: str) -> tuple[str, ...]:
        """Every one of that name, as it stands."""
        return tuple(value for key, value in self.fields if key == name)

    def all(self, name: str) -> tuple[str, ...]:
        """The same, where several may stand on a line with commas between."""
        return tuple(part.strip() for value in self.lines(name) for part in _split(value))

    @property
    def sequence(self) -> int:
        """CSeq's number; 0 where there is none."""
        number = self.one("cseq").split(" ")[0]
        return int(number) if number.isdigit() else 0

    @property
    def method(self) -> str:
        """CSeq's method."""
        return self.one("cseq").rpartition(" ")[2].strip()

    @property
    def branch(self) -> str:
        """Of the topmost Via."""
        found = re.search(r";\s*branch=([^;,\s]+)", self.one("via"), re.IGNORECASE)
        return found[1] if found else ""


@dataclass(frozen=True, slots=True)
class Response:
    """A status line and the rest."""

    status: int
    reason: str
    headers: Headers
    body: str

    def __str__(self) -> str:
        return f"{self.status} {self.reason}".strip()


@dataclass(frozen=True, slots=True)
class Request:
    """A request line and the rest."""

    method: str
    uri: str
    headers: Headers
    body: str

    def answer(
        self,
        status: int,
        reason: str,
        *,
        tag: str = "",
        extra: tuple[str, ...] = (),
        body: str = "",
        content_type: str = "application/sdp",
    ) -> bytes:
        """A response to it; ``tag`` is put to To where there is none."""
        lines = [f"SIP/2.0 {status} {reason}"]
        for name, value in self.headers.fields:
            if name in _REPEATED:
                if name == "to" and tag and not tag_of(value):
                    value += f";tag={tag}"
                lines.append(f"{name.title()}: {value}")
        return compose(lines + list(extra), body, content_type)


def compose(lines: list[str], body: str = "", content_type: str = "application/sdp") -> bytes:
    """A message of a start line, headers and a body, with its length said."""
    raw = body.encode()
    if raw:
        lines = [*lines, f"Content-Type: {content_type}"]
    return "\r\n".join((*lines, f"Content-Length: {len(raw)}", "", "")).encode() + raw


def parse(message: bytes) -> Response | Request:
    """Reads one message. Raises SipFault."""
    text = message[:MAX_BYTES].decode("utf-8", "replace")
    head, _, body = text.partition("\r\n\r\n")
    first, _, rest = head.partition("\r\n")
    if found := _REQUEST.match(first):
        return Request(found[1], found[2], _headers(rest), body)
    if found := _STATUS.match(first):
        return Response(int(found[1]), found[2].strip(), _headers(rest), body)
    raise SipFault(f"neither a SIP request nor a response: {first[:80]!r}")


def tag_of(header: str) -> str:
    """The tag of a From or To."""
    found = re.search(r";\s*tag=([^;\s]+)", header.rpartition(">")[2] or header, re.IGNORECASE)
    return found[1] if found else ""


def reason_text(headers: Headers) -> str:
    """Why the far end hangs up (RFC 3326), for people; nothing where it does not say."""
    value = headers.one("reason")
    found = re.search(r'text="([^"]*)"|text=([^;,]+)', value, re.IGNORECASE)
    return ((found[1] or found[2] or "") if found else value).strip()[:200]


class MessageReader:
    """Cuts a stream of bytes into messages by their Content-Length."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Takes what arrived; the whole messages in it. Raises SipFault.

        Empty lines between messages are keep-alives (RFC 5626, 3.5.1) and are left out.
        """
        self._buffer += data
        found: list[bytes] = []
        while True:
            self._buffer = self._buffer.lstrip(b"\r\n")
            head, end, _ = self._buffer.partition(b"\r\n\r\n")
            if not end:
                if len(self._buffer) > MAX_BYTES:
                    raise SipFault("a message without an end came over the connection")
                return found
            length = _headers(head.decode("utf-8", "replace")).one("content-length")
            body = int(length) if length.isdigit() and len(length) < 8 else 0
            if len(head) + body > MAX_BYTES:
                raise SipFault(f"a message of {len(head) + body} bytes came over the connection")
            whole = len(head) + len(end) + body
            if len(self._buffer) < whole:
                return found
            found.append(self._buffer[:whole])
            self._buffer = self._buffer[whole:]


def _headers(text: str) -> Headers:
    found: list[tuple[str, str]] = []
    for line in text.split("\r\n"):
        if line[:1] in (" ", "\t") and found:
            name, value = found[-1]
            found[-1] = (name, f"{value} {line.strip()}")
            continue
        name, colon, value = line.partition(":")
        if colon:
            name = name.strip().lower()
            found.append((_COMPACT.get(name, name), value.strip()))
    return Headers(tuple(found))


def _split(value: str) -> list[str]:
    """At commas, but not inside quotes or angle brackets."""
    return re.findall(r'(?:"(?:\\.|[^"\\])*"|<[^>]*>|[^,"<])+', value)
