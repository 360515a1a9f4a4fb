"""SIP addresses that are called straight, without a trunk: which ones, and how they read. Pure.

The address comes from outside (a command line, an HTTP request), so it is taken apart and put
together again: what is not understood, such as headers or ``maddr``, never reaches the stack.
"""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from telephony.trunk import DialRefused, Fault

MAX_TEXT = 255
_TARGET = re.compile(
    r"(?P<scheme>sips?):"
    r"(?:(?P<user>[A-Za-z0-9\-_.!~*'()&=+$,%#]{1,64})@)?"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9.\-]*[A-Za-z0-9])?)"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?:;transport=(?P<transport>udp|tcp|tls))?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class SipTarget:
    """A SIP address (RFC 3261, section 19.1.1)."""

    user: str
    """Empty: none."""
    host: str
    """A name, or an address without brackets."""
    port: int | None
    transport: Literal["udp", "tcp", "tls"]

    @classmethod
    def parse(cls, text: str) -> "SipTarget":
        """Reads ``sip:USER@HOST[:PORT][;transport=...]``. Raises DialRefused."""
        found = _TARGET.fullmatch(text) if len(text) <= MAX_TEXT else None
        port = int(found["port"]) if found and found["port"] else None
        if found is None or port == 0 or (port or 0) > 65535:
            raise DialRefused(
                f"{text[:80]!r} is no SIP address: write sip:USER@HOST, sip:USER@HOST:PORT, and "
                ";transport=tcp or ;transport=tls where it is not UDP",
                Fault.BAD_REQUEST,
            )
        transport = (found["transport"] or "udp").lower()
        if found["scheme"].lower() == "sips":
            transport = "tls"
        return cls(
            found["user"] or "",
            found["host"].strip("[]").lower(),
            port,
            transport,  # type: ignore[arg-type]
        )

    def __str__(self) -> str:
        user = f"{self.user.replace('#', '%23')}@" if self.user else ""
        suffix = "" if self.transport == "udp" else f";transport={self.transport}"
        return f"sip:{user}{_joined(self.host, self.port)}{suffix}"


def check_target(target: SipTarget, destinations: Sequence[str]) -> None:
    """Raises DialRefused unless ``target`` is on this machine or its host is listed.

    A destination is a host (any port) or ``host:port``.
    """
    if _is_this_machine(target.host):
        return
    listed = {destination.lower() for destination in destinations}
    names = {_joined(target.host, None), target.host, _joined(target.host, target.port)}
    if not listed & names:
        raise DialRefused(
            f"{target} may not be called: add {_joined(target.host, None)!r} to `destinations` "
            "in [sip], or dial a number through a trunk"
        )


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _joined(host: str, port: int | None) -> str:
    name = f"[{host}]" if ":" in host else host
    return name if port is None else f"{name}:{port}"
