"""What the SIP stack is told before it starts: how it listens, and what must be there for it."""

import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from telephony.sip_address import Transport
from telephony.sip_error import SipError

Srtp = Literal["off", "optional", "required"]
RtpFrom = Literal["negotiated", "any"]

MAX_CALLS = 256
"""The stack's own table of audio streams; the 257th call is answered 486."""
CODECS = {
    "opus": "opus/48000/1",
    "g722": "g722/16000/1",
    "pcmu": "pcmu/8000/1",
    "pcma": "pcma/8000/1",
}
"""As the stack names them."""


@dataclass(frozen=True, slots=True)
class SipAccount:
    """One trunk or registrar, as the stack must know it."""

    name: str
    host: str
    """``host`` or ``host:port``."""
    user: str
    password: str = field(default="", repr=False)
    auth_user: str = ""
    transport: Transport = "udp"
    register: bool = False
    srtp: Srtp = "off"


@dataclass(frozen=True, slots=True)
class SipSettings:
    """How the door listens."""

    host: str = "127.0.0.1"
    port: int = 5060
    """UDP and TCP; TLS listens on the next one."""
    tls_certificate: Path | None = None
    """PEM with certificate and key; without it no TLS is listened for."""
    tls_ca: Path | None = None
    """PEM with the authorities that peers are verified against; None: the system's."""
    rtp_ports: str = "20000-29999"
    codecs: tuple[str, ...] = ("opus", "g722", "pcmu", "pcma")
    srtp: Srtp = "optional"
    rtp_from: RtpFrom = "negotiated"
    """Whose audio a call takes: that of the address in the SDP, whatever its port, or anybody's."""
    jitter_ms: int = 40
    """What received audio waits at least, so that late packets find their place."""
    rtp_timeout_s: int = 10
    """A far end that sends no audio for this long, and should, has vanished."""
    max_calls: int = MAX_CALLS
    accounts: tuple[SipAccount, ...] = ()
    trace: bool = False


def take_port(host: str, port: int, *, tls: bool) -> int:
    """``port`` if UDP and TCP (and TLS beside it) are free there; a free one for 0.

    Raises SipError. The stack itself does not say when it cannot listen.
    """
    for _ in range(20):
        candidate = port or _free_udp_port(host)
        problem = _port_problem(host, candidate, tls)
        if problem is None:
            return candidate
        if port:
            raise SipError(problem)
    raise SipError(f"no free port for SIP on {host}")


def _free_udp_port(host: str) -> int:
    with _socket(host, socket.SOCK_DGRAM) as probe:
        probe.bind((host, 0))
        number: int = probe.getsockname()[1]
        return number


def _port_problem(host: str, port: int, tls: bool) -> str | None:
    wanted = [(port, socket.SOCK_DGRAM, "UDP"), (port, socket.SOCK_STREAM, "TCP")]
    if tls:
        wanted.append((port + 1, socket.SOCK_STREAM, "TLS"))
    for number, kind, name in wanted:
        try:
            with _socket(host, kind) as probe:
                if kind == socket.SOCK_STREAM:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, number))
        except OSError as error:
            return (
                f"SIP cannot listen on {host}:{number} ({name}): {error.strerror or error}; free "
                "the port, or set `port` in [sip]"
            )
    return None


def _socket(host: str, kind: int) -> socket.socket:
    return socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)


def check_files(settings: SipSettings) -> None:
    for key, path in (
        ("tls_certificate", settings.tls_certificate),
        ("tls_ca", settings.tls_ca),
    ):
        if path is not None and not path.is_file():
            raise SipError(f"`{key}` in [sip] names {path}, which is no file")
