"""SIP addresses: what they name, and which of them may be handed to the stack. Pure."""

import re
from ipaddress import IPv6Address, ip_address
from typing import Literal

Transport = Literal["udp", "tcp", "tls"]

MAX_TARGET = 255
_DISPLAY_NAME = re.compile(r'\s*"(?:[^"\\]|\\.)*"')
"""A quoted one may hold anything, such as another address (RFC 3261, 25.1)."""
_ADDRESS = re.compile(r"\s*(sips?|tel):(?:([^@>]*)@)?([^;>?\s]*)", re.IGNORECASE)
_TARGET = re.compile(
    r"(?P<scheme>sips?):"
    r"(?:[A-Za-z0-9_.!~*'()&=+$,;?/%#-]{1,128}@)?"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]{1,253})"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<parameters>(?:;[A-Za-z0-9_.!~*'%+=-]+)*)"
)
_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_TRANSPORT = re.compile(r";transport=([^;]*)", re.IGNORECASE)


def address_of(text: str) -> str:
    """``user@host`` of a SIP address in whatever dress, or the number of a ``tel:``.

    Neither a password nor the user's own parameters (RFC 3261, 19.1.6) are part of it.
    """
    user, host = _parts(text)
    return f"{user}@{host}" if user and host else user or host


def user_of(text: str) -> str:
    """The user part of a SIP address: the number that was dialled."""
    return _parts(text)[0]


def _parts(text: str) -> tuple[str, str]:
    """User and ``host[:port]``; either may be empty."""
    text = _DISPLAY_NAME.sub("", text, count=1) if text.lstrip().startswith('"') else text
    if "<" in text:
        text = text.partition("<")[2].partition(">")[0]
    found = _ADDRESS.match(text)
    if not found:
        return "", ""
    scheme, user, host = found.groups()
    if scheme.lower() == "tel":
        return str(host), ""
    return re.split("[;:]", user or "", maxsplit=1)[0], str(host)


def transport_of(uri: str) -> Transport:
    """Which transport a SIP URI asks for; UDP unless it says (RFC 3261, 19.1.1)."""
    if uri.lower().startswith("sips:"):
        return "tls"
    found = _TRANSPORT.search(uri)
    transport: Transport = "udp"
    if found and found[1].lower() in ("tcp", "tls"):
        transport = found[1].lower()  # type: ignore[assignment]
    return transport


def is_literal(uri: str) -> bool:
    """Whether a SIP URI names its host by an IP address."""
    _, _, rest = uri.partition(":")
    host = rest.partition(";")[0].rpartition("@")[2]
    if host.startswith("["):
        return True
    try:
        ip_address(host.partition(":")[0])
    except ValueError:
        return False
    return True


def target_fault(uri: str) -> str:
    """What is wrong with a SIP URI that is to be called; empty where it may be.

    Stricter than RFC 3261: no password, no headers. The stack must never see what it cannot
    send to, since it frees such a call twice.
    """
    if len(uri) > MAX_TARGET:
        return f"over {MAX_TARGET} characters"
    found = _TARGET.fullmatch(uri)
    if found is None:
        return "not of the form sip:NAME@HOST, perhaps with :PORT and ;transport=tcp"
    host = found["host"]
    if host.startswith("["):
        try:
            IPv6Address(host[1:-1])
        except ValueError:
            return f"{host} is no IPv6 address"
    elif not all(_LABEL.fullmatch(label) for label in host.removesuffix(".").split(".")):
        return f"{host} is no host name"
    if found["port"] and not 1 <= int(found["port"]) <= 65535:
        return f"{found['port']} is no port"
    transports = [name.lower() for name in _TRANSPORT.findall(found["parameters"])]
    if len(transports) > 1 or not set(transports) <= {"udp", "tcp", "tls"}:
        return "its transport is not udp, tcp or tls"
    return ""
