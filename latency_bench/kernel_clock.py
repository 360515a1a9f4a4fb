"""The kernel's own times of a UDP socket's datagrams, on the monotonic clock. Linux.

A process that was kept waiting takes a datagram late and believes that it left early; the kernel
knows better (Documentation/networking/timestamping.rst). On other systems the time of the call
itself stands in.
"""

import socket
import struct
import sys
import time

_SO_TIMESTAMPNS = 35
_SO_TIMESTAMPING = 37
"""Python's socket module has no names for them."""
_TX_SOFTWARE, _SOFTWARE, _OPT_ID, _OPT_TSONLY = 1 << 1, 1 << 4, 1 << 7, 1 << 11
_STAMP = struct.Struct("qq")
_MSG_ERRQUEUE = getattr(socket, "MSG_ERRQUEUE", 0)
_ANCILLARY_BYTES = 256
_LINUX = sys.platform == "linux"
_QUIET_S = 0.0001
_TRIES = 5


def stamp_arrivals(opened: socket.socket) -> None:
    """The kernel keeps the arrival of each datagram, for `receive`."""
    if _LINUX:
        opened.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)


def stamp_departures(opened: socket.socket) -> None:
    """The kernel keeps the departure of each datagram, for `send`."""
    if _LINUX:
        flags = _TX_SOFTWARE | _SOFTWARE | _OPT_ID | _OPT_TSONLY
        opened.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPING, flags)


def receive(opened: socket.socket, size: int) -> tuple[bytes, float]:
    """A datagram and its arrival, in monotonic seconds. Raises what ``recvmsg`` raises."""
    data, ancillary, _, _ = opened.recvmsg(size, _ANCILLARY_BYTES)
    at_s = _stamped(ancillary, _SO_TIMESTAMPNS)
    return data, time.monotonic() if at_s is None else at_s


def send(opened: socket.socket, data: bytes, peer: tuple[str, int]) -> float:
    """Sends a datagram; its departure, in monotonic seconds. Raises what ``sendto`` raises."""
    opened.sendto(data, peer)
    after_s = time.monotonic()
    if not _LINUX:
        return after_s
    found_s = None
    while True:
        try:
            _, ancillary, _, _ = opened.recvmsg(
                0, _ANCILLARY_BYTES, _MSG_ERRQUEUE | socket.MSG_DONTWAIT
            )
        except BlockingIOError:
            return after_s if found_s is None else found_s
        # The last one is this one's: those before it came late, if any did.
        found_s = _stamped(ancillary, _SO_TIMESTAMPING)


def _stamped(ancillary: list[tuple[int, int, bytes]], kind: int) -> float | None:
    for level, what, value in ancillary:
        if level == socket.SOL_SOCKET and what == kind:
            seconds, nanoseconds = _STAMP.unpack(value[: _STAMP.size])
            return float(seconds + nanoseconds / 1e9 - _realtime_offset_s())
    return None


def _realtime_offset_s() -> float:
    """From the monotonic clock to the kernel's stamps; read undisturbed."""
    best_s, best_offset_s = float("inf"), 0.0
    for _ in range(_TRIES):
        before_s = time.monotonic()
        now_s = time.time()
        after_s = time.monotonic()
        if after_s - before_s < best_s:
            best_s, best_offset_s = after_s - before_s, now_s - (before_s + after_s) / 2
        if best_s < _QUIET_S:
            break
    return best_offset_s
