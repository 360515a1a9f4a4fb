"""The kernel's clock on what an asyncio transport receives, and a stamp on what it sends.

asyncio reads a socket when its loop gets to it, which on a busy machine is milliseconds after
the packet came. The kernel notes the arrival itself (SO_TIMESTAMPNS, socket(7)); to read that
note, the transport's socket is replaced by one that reads with `recvmsg`.
"""

import asyncio
import socket
import struct
import sys
import time
from collections.abc import Callable
from typing import Any

_SO_TIMESTAMPNS = 35
"""Linux; Python's socket module has no name for it. So is the next, of the note's type."""
_STAMP = struct.Struct("qq")
_OLDEST_NS = 10 * 10**9
"""A note that is older, or of the future, tells of a clock that was set meanwhile."""

Arrived = Callable[[bytes, float], None]
"""Takes a datagram and its arrival in monotonic seconds, before anyone else sees it."""
Departed = Callable[[bytes, float], None]
"""Takes a datagram and when it was handed to the kernel, in monotonic seconds."""


def monotonic_of(stamp_ns: int, real_ns: int, monotonic_ns: int) -> float:
    """A stamp of the system's clock on the monotonic one, in seconds.

    ``real_ns`` and ``monotonic_ns``: both clocks now. A stamp that cannot be true reads as now.
    """
    age_ns = real_ns - stamp_ns
    return (monotonic_ns - (age_ns if 0 <= age_ns <= _OLDEST_NS else 0)) / 1e9


class StampedSocket:
    """A non-blocking socket, as a selector transport uses it; all else is the socket's own."""

    def __init__(
        self,
        inner: socket.socket,
        arrived: Arrived | None = None,
        departed: Departed | None = None,
    ) -> None:
        self._inner = inner
        self._arrived = arrived
        self._departed = departed
        self.last_arrival_s = time.monotonic()
        """When what was read last had come."""
        self.kernel = _ask_for_stamps(inner)
        """Whether arrivals are the kernel's; if not, they are those of reading."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def recvfrom(self, size: int) -> tuple[bytes, Any]:
        """One datagram and its sender."""
        data, notes, _, address = self._inner.recvmsg(size, socket.CMSG_SPACE(_STAMP.size))
        self._note(notes)
        if self._arrived is not None:
            self._arrived(data, self.last_arrival_s)
        return data, address

    def recv(self, size: int) -> bytes:
        """What came over a connection; stamped with its last byte's arrival."""
        data, notes, _, _ = self._inner.recvmsg(size, socket.CMSG_SPACE(_STAMP.size))
        self._note(notes)
        return data

    def recv_into(self, buffer: Any) -> int:
        """The same, into ``buffer``; the number of bytes."""
        count, notes, _, _ = self._inner.recvmsg_into([buffer], socket.CMSG_SPACE(_STAMP.size))
        self._note(notes)
        return count

    def sendto(self, data: bytes, address: Any) -> int:
        """Sends one datagram."""
        at_s = time.monotonic()
        sent = self._inner.sendto(data, address)
        if self._departed is not None:
            self._departed(data, at_s)
        return sent

    def _note(self, notes: list[tuple[int, int, bytes]]) -> None:
        real_ns, monotonic_ns = time.time_ns(), time.monotonic_ns()
        stamp_ns = real_ns
        for level, kind, data in notes:
            if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS) and len(data) == _STAMP.size:
                seconds, nanoseconds = _STAMP.unpack(data)
                stamp_ns = seconds * 10**9 + nanoseconds
        self.last_arrival_s = monotonic_of(stamp_ns, real_ns, monotonic_ns)


def stamp_transport(
    transport: asyncio.BaseTransport | None,
    arrived: Arrived | None = None,
    departed: Departed | None = None,
) -> StampedSocket | None:
    """Has the transport's socket stamped; None where it is not one of asyncio's own."""
    # The one attribute of asyncio that this needs; other loops' transports have none such.
    inner = getattr(transport, "_sock", None)
    if not isinstance(inner, socket.socket) or not hasattr(inner, "recvmsg"):
        return None
    stamped = StampedSocket(inner, arrived, departed)
    transport._sock = stamped  # type: ignore[union-attr]
    return stamped


def _ask_for_stamps(inner: socket.socket) -> bool:
    if sys.platform != "linux" or struct.calcsize("P") != 8:
        return False
    try:
        inner.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    except OSError:
        return False
    return True
