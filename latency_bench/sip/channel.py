"""The way SIP messages go: UDP, TCP or TLS, to wherever a SIP address points."""

import asyncio
import ipaddress
import os
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import dns.asyncresolver
import dns.exception
import dns.rdatatype
from dns.rdtypes.IN.SRV import SRV
from loguru import logger

from latency_bench.sip.message import MAX_BYTES, MessageReader, SipFault
from latency_bench.sip.rtp_wire import SO_TIMESTAMPNS, STAMP_BYTES, Address, stamp_of
from latency_bench.sip.uri import SipUri, Transport

SRV_LIMIT_S = 2.0
CONNECT_LIMIT_S = 8.0
IP_RECVERR = 11
IPV6_RECVERR = 25
"""Linux; an unconnected socket hears of ICMP errors with it. Python has no name for either."""
_SERVICES: dict[Transport, str] = {"udp": "_sip._udp", "tcp": "_sip._tcp", "tls": "_sips._tcp"}

Receive = Callable[[bytes, float, Address], None]
"""A whole message, its arrival on the monotonic clock, and where it came from."""
Fault = Callable[[str], None]
"""The way broke; what happened."""


class ChannelError(Exception):
    """Nobody can be reached; the message says where and why."""


class Channel(Protocol):
    """One call's way to its far end."""

    local: Address
    reliable: bool
    """Whether what is sent arrives, so that nothing is repeated."""

    def send(self, message: bytes, to: Address | None = None) -> None:
        """Sends; ``to``: elsewhere than to the far end, where the way allows it."""
        ...

    def reroute(self, to: Address) -> None:
        """What follows goes there, where the way allows it."""
        ...

    async def reopen(self) -> None:
        """Brings back a connection that broke. Raises ChannelError."""
        ...

    def close(self) -> None:
        """Frees everything."""
        ...


async def resolve(uri: SipUri) -> Address:
    """Address and port (RFC 3263: SRV where the address has no port). Raises ChannelError."""
    host, port = uri.host, uri.port_or_default
    if uri.port is None and "." in host and not _is_address(host):
        host, port = await _service(host, uri.transport) or (host, port)
    kind = socket.SOCK_DGRAM if uri.transport == "udp" else socket.SOCK_STREAM
    try:
        async with asyncio.timeout(CONNECT_LIMIT_S):
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=kind)
    except TimeoutError:
        raise ChannelError(f"{host}: no name server answered") from None
    except (OSError, UnicodeError) as error:
        raise ChannelError(f"{host}: {getattr(error, 'strerror', None) or error}") from None
    # An IPv4 address first: most who listen at both names listen there.
    found.sort(key=lambda entry: entry[0] != socket.AF_INET)
    address = found[0][4]
    return str(address[0]), int(address[1])


async def _service(name: str, transport: Transport) -> Address | None:
    try:
        answer = await dns.asyncresolver.resolve(
            f"{_SERVICES[transport]}.{name}", dns.rdatatype.SRV, lifetime=SRV_LIMIT_S
        )
    except dns.exception.DNSException:
        return None  # no such record, or no name server: the name itself is tried
    if answer.rrset is None:
        return None
    best = answer.rrset.processing_order()[0]
    assert isinstance(best, SRV)
    target = str(best.target).rstrip(".")
    return (target, int(best.port)) if target else None


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


async def open_channel(
    uri: SipUri, receive: Receive, fault: Fault, ca_file: Path | None = None
) -> Channel:
    """A way to ``uri``. ``ca_file``: PEM of the authorities to trust instead of the system's.

    Raises ChannelError.
    """
    try:
        if uri.transport == "udp":
            return _Datagrams(await resolve(uri), receive, fault)
        stream = _Stream(uri, receive, fault, ca_file)
        await stream.reopen()
    except OSError as error:
        raise ChannelError(f"{uri.host}: {error.strerror or error}") from error
    return stream


class _Datagrams:
    reliable = False

    def __init__(self, peer: Address, receive: Receive, fault: Fault) -> None:
        self._peer = peer
        self._receive = receive
        self._fault = fault
        family = socket.AF_INET6 if ":" in peer[0] else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            # Nothing is sent: it only tells which of this machine's addresses leads there.
            probe.connect(peer)
            host: str = probe.getsockname()[0]
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            self._socket.bind((host, 0))
            self._socket.setblocking(False)
            self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            if family == socket.AF_INET:
                self._socket.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
            else:
                self._socket.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
        except OSError:
            self._socket.close()
            raise
        self.local: Address = self._socket.getsockname()[:2]
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._readable)

    def send(self, message: bytes, to: Address | None = None) -> None:
        try:
            self._socket.sendto(message, to or self._peer)
        except BlockingIOError:
            return  # as good as lost on the way: it is repeated
        except OSError as error:
            # Refused earlier, and told only now: the reader is not told again.
            self._refused(error)

    def reroute(self, to: Address) -> None:
        self._peer = to

    async def reopen(self) -> None:
        """There is nothing to bring back."""

    def close(self) -> None:
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            self._socket.close()

    def _readable(self) -> None:
        while self._socket.fileno() >= 0:
            try:
                data, ancillary, _, source = self._socket.recvmsg(MAX_BYTES, STAMP_BYTES)
            except BlockingIOError:
                self._empty_errors()
                return
            except OSError as error:
                self._refused(error)
                continue
            self._receive(data, stamp_of(ancillary), source[:2])

    def _empty_errors(self) -> None:
        """A queue with something in it would wake the loop for ever."""
        try:
            while True:
                self._socket.recvmsg(1, 512, socket.MSG_ERRQUEUE)
        except OSError:
            return

    def _refused(self, error: OSError) -> None:
        self._empty_errors()
        host, port = self._peer
        self._fault(f"{host}:{port} (UDP): {error.strerror or error}")


class _Stream:
    reliable = True

    def __init__(self, uri: SipUri, receive: Receive, fault: Fault, ca_file: Path | None) -> None:
        self._uri = uri
        self._receive = receive
        self._fault = fault
        self._context: ssl.SSLContext | None = None
        if uri.transport == "tls":
            try:
                self._context = ssl.create_default_context(cafile=ca_file)
            except (OSError, ssl.SSLError) as error:
                why = getattr(error, "strerror", None) or error
                where = "the system's authorities" if ca_file is None else f"{ca_file}"
                raise ChannelError(
                    f"{where}: {why}: name a PEM file of certificates with --ca-file"
                ) from error
        self.local: Address = ("", 0)
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None

    async def reopen(self) -> None:
        if self._writer is not None and not self._writer.is_closing():
            return
        self.close()
        host, port = await resolve(self._uri)
        where = f"{host}:{port} ({self._uri.transport.upper()})"
        try:
            async with asyncio.timeout(CONNECT_LIMIT_S):
                reader, writer = await asyncio.open_connection(
                    host,
                    port,
                    ssl=self._context,
                    server_hostname=self._uri.host if self._context else None,
                )
        except TimeoutError:
            raise ChannelError(f"{where}: no connection within {CONNECT_LIMIT_S:g} s") from None
        except ssl.SSLCertVerificationError as error:
            raise ChannelError(
                f"{where}: its certificate is not trusted ({error.verify_message}): name the "
                "authority's file where it is one of your own"
            ) from error
        except OSError as error:
            # asyncio's own words hide which error it was.
            why = os.strerror(error.errno) if error.errno else str(error)
            raise ChannelError(f"{where}: {why}") from error
        self._writer = writer
        if not self.local[1]:
            self.local = writer.get_extra_info("sockname")[:2]
        self._reading = asyncio.create_task(self._read(reader, (host, port)), name="sip-stream")

    def send(self, message: bytes, to: Address | None = None) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(message)

    def reroute(self, to: Address) -> None:
        """The connection stays: RFC 5923 lets both sides use it for everything."""

    def close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None
        if self._writer is not None:
            transport = self._writer.transport
            # A goodbye to a peer that reads nothing, or an endless TLS farewell, must not hold
            # the socket.
            if transport.get_write_buffer_size():
                transport.close()
            else:
                transport.abort()
            self._writer = None

    async def _read(self, reader: asyncio.StreamReader, source: Address) -> None:
        messages = MessageReader()
        broken = "the connection was closed"
        try:
            while data := await reader.read(MAX_BYTES):
                at_s = time.monotonic()
                for message in messages.feed(data):
                    self._receive(message, at_s, source)
        except (OSError, SipFault) as error:
            broken = str(error)
        except Exception as error:
            logger.opt(exception=error).error("a call's SIP connection broke")
            broken = repr(error)
        if self._writer is not None:
            self._writer.close()
        self._fault(f"{source[0]}:{source[1]} ({self._uri.transport.upper()}): {broken}")
