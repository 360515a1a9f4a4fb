"""SIP addresses (RFC 3261, section 19.1). Pure."""

import re
from dataclasses import dataclass
from typing import Literal

Transport = Literal["udp", "tcp", "tls"]
_URI = re.compile(
    r"(?P<scheme>sips?):(?:(?P<user>[^@;?\s<>]+)@)?"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>\d{1,5}))?"
    r"(?P<parameters>(?:;[^;?\s<>]+)*)(?:\?[^\s<>]*)?$",
    re.IGNORECASE,
)
DEFAULT_PORTS: dict[Transport, int] = {"udp": 5060, "tcp": 5060, "tls": 5061}


class UriError(Exception):
    """Not an address to call; the message says what to write."""


@dataclass(frozen=True, slots=True)
class SipUri:
    """One address, taken apart."""

    text: str
    """As it was written, without headers."""
    scheme: str
    user: str
    host: str
    """A name or an address; an IPv6 one without its brackets."""
    port: int | None
    transport: Transport
    named_transport: bool
    """Whether the address says it, instead of leaving it to custom."""

    @property
    def port_or_default(self) -> int:
        """Where to connect without a port in the address or DNS."""
        return self.port or DEFAULT_PORTS[self.transport]


def parse_uri(text: str) -> SipUri:
    """Reads ``sip:user@host:port;transport=tcp``. Raises UriError."""
    found = _URI.match(text.strip())
    if not found:
        raise UriError(f"{text!r} is no address to call: write sip:agent@127.0.0.1:5060")
    port = int(found["port"]) if found["port"] else None
    if port is not None and not 0 < port < 65536:
        raise UriError(f"{text!r}: the port must be 1 to 65535")
    secure = found["scheme"].lower() == "sips"
    named = re.search(r";transport=([^;]+)", found["parameters"], re.IGNORECASE)
    transport = named[1].lower() if named else "tls" if secure else "udp"
    if secure and transport == "tcp":
        # RFC 3261, 26.2.2: over a "sips" address, TCP means TLS.
        transport = "tls"
    if transport not in ("udp", "tcp", "tls") or (secure and transport != "tls"):
        raise UriError(f"{text!r}: transport={transport} is unknown here: use udp, tcp or tls")
    return SipUri(
        text=text.strip().partition("?")[0],
        scheme=found["scheme"].lower(),
        user=found["user"] or "",
        host=found["host"].strip("[]"),
        port=port,
        transport=transport,  # type: ignore[arg-type]
        named_transport=named is not None or secure,
    )


def uri_in(header: str) -> str:
    """The address in a header such as Contact or Refer-To."""
    found = re.search(r"<([^>]*)>", header)
    return found[1] if found else header.partition(";")[0].strip()


def bracketed(host: str) -> str:
    """The host as it stands in an address."""
    return f"[{host}]" if ":" in host else host
