"""Many calls' RTP on one thread, with the kernel's clock on what arrives.

The kernel stamps each packet when it comes in (SO_TIMESTAMPNS), so that a busy reader does not
count as a late sender. What leaves is stamped right before `sendto`.
"""

import heapq
import itertools
import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Protocol

from loguru import logger

FRAME_S = 0.02
CATCH_UP_S = 0.2
"""A caller stalled for longer goes on from now instead of sending a burst."""
READ_BYTES = 2048
READS_AT_ONCE = 32
"""Of one socket, before frames that have become due are sent."""
PORT_TRIES = 200
SO_TIMESTAMPNS = 35
"""Linux; Python's socket module has no name for it."""
STAMP_BYTES = 64
CLOCK_TRIES = 5
CLOCK_QUIET_S = 2e-5
_STAMP = struct.Struct("qq")
_SEQUENCE = itertools.count()

Address = tuple[str, int]


class RtpEnd(Protocol):
    """One call's audio. All but ``socket`` is used from the wire's thread, one at a time."""

    socket: socket.socket

    @property
    def peer(self) -> Address | None:
        """Where audio goes; None: the end is not asked for any."""

    def due(self, now_s: float) -> Sequence[bytes]:
        """What to send now, asked every 20 ms; empty: nothing this time."""

    def departed(self, at_s: float) -> None:
        """The first of what `due` gave goes out now."""

    def arrived(self, data: bytes, at_s: float, source: Address) -> None:
        """A datagram came from ``source``, at the kernel's time on the monotonic clock."""

    def broke(self, error: Exception) -> None:
        """One of the others raised, or the wire itself broke; it is done with this end."""


def open_rtp_socket(host: str) -> socket.socket:
    """A UDP socket on a free even port, whose packets are stamped by the kernel.

    Raises OSError.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for _ in range(PORT_TRIES):
        opened = socket.socket(family, socket.SOCK_DGRAM)
        try:
            opened.bind((host, 0))
            if opened.getsockname()[1] % 2 == 0:
                opened.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
                opened.setblocking(False)
                return opened
        except OSError:
            opened.close()
            raise
        opened.close()
    raise OSError(f"no even UDP port is free on {host}")


def stamp_of(ancillary: Sequence[tuple[int, int, bytes]]) -> float:
    """The kernel's time of arrival on the monotonic clock; now, where it gave none."""
    for level, kind, value in ancillary:
        if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
            seconds, nanoseconds = _STAMP.unpack(value[: _STAMP.size])
            return float(seconds + nanoseconds / 1e9 - _wall_ahead_s())
    return time.monotonic()


def _wall_ahead_s() -> float:
    """From the monotonic clock to that of the stamps, read without an interruption between."""
    readings: list[tuple[float, float]] = []
    while len(readings) < CLOCK_TRIES:
        before_s, wall_s, after_s = time.monotonic(), time.time(), time.monotonic()
        readings.append((after_s - before_s, wall_s - (before_s + after_s) / 2))
        if readings[-1][0] < CLOCK_QUIET_S:
            break
    return min(readings)[1]


class RtpWire:
    """Sends and receives for every end added to it, until it is closed.

    Each end has its own beat, so that many calls do not wait for one another.
    """

    def __init__(self) -> None:
        self._ends: dict[int, RtpEnd] = {}
        self._due: list[tuple[float, int, RtpEnd]] = []
        self._selector = selectors.DefaultSelector()
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._closed = False
        """The thread has ended and freed what it used; read and set under the lock."""
        self._wake, self._woken = socket.socketpair()
        for wake in (self._wake, self._woken):
            wake.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ, None)
        self._thread = threading.Thread(target=self._run, name="rtp-wire", daemon=True)
        self._thread.start()

    @property
    def closed(self) -> bool:
        """Whether its thread has ended, as it was told to or because it broke."""
        with self._lock:
            return self._closed

    def __enter__(self) -> "RtpWire":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self._thread.join(5)

    def close(self) -> None:
        """Ends the thread, without waiting for it."""
        with self._lock:
            self._stopped.set()
            self._nudge()

    def add(self, end: RtpEnd) -> None:
        """Begins with ``end``: what arrives is handed over, and frames are asked for at once.

        A wire that is closed or broke says so to the end, as it does to those that it had.
        """
        with self._lock:
            if self._closed:
                end.broke(OSError("the thread that carries audio has ended"))
                return
            self._ends[end.socket.fileno()] = end
            heapq.heappush(self._due, (time.monotonic(), next(_SEQUENCE), end))
            self._selector.register(end.socket, selectors.EVENT_READ, end)
            self._nudge()

    def _nudge(self) -> None:
        """Has the thread look around; under the lock, so that it cannot end in between."""
        if self._closed:
            return
        # Full of nudges already: it wakes all the same.
        with suppress(BlockingIOError):
            self._wake.send(b"x")

    def remove(self, end: RtpEnd) -> None:
        """Ends with ``end``: nothing of it is called any more; its socket is its owner's to close.

        Not to be called from the wire's own thread.
        """
        with self._lock:
            self._forget(end)

    def _forget(self, end: RtpEnd) -> None:
        if self._ends.get(end.socket.fileno()) is end:
            del self._ends[end.socket.fileno()]
            self._selector.unregister(end.socket)

    def _run(self) -> None:
        try:
            while not self._stopped.is_set():
                for key, _ in self._selector.select(self._send_due()):
                    if key.data is None:
                        self._woken.recv(READ_BYTES)
                    else:
                        self._read(key.data)
        except Exception as error:
            logger.opt(exception=error).error("the thread that carries audio broke")
            with self._lock:
                for end in self._ends.values():
                    end.broke(error)
        finally:
            with self._lock:
                self._closed = True
                self._ends.clear()
                self._due.clear()
                self._selector.close()
                self._wake.close()
                self._woken.close()

    def _send_due(self) -> float | None:
        """Sends what is due; returns how long nothing else is."""
        while self._due:
            with self._lock:
                wait_s = self._due[0][0] - time.monotonic()
                if wait_s > 0:
                    return wait_s
                due_s, _, end = heapq.heappop(self._due)
                if self._ends.get(end.socket.fileno()) is not end:
                    continue
                self._guarded(end, self._send, end)
                late_s = time.monotonic() - due_s
                next_s = due_s + FRAME_S if late_s < CATCH_UP_S else time.monotonic()
                heapq.heappush(self._due, (next_s, next(_SEQUENCE), end))
        return None

    def _send(self, end: RtpEnd) -> None:
        peer = end.peer
        if peer is None:
            return
        datagrams = end.due(time.monotonic())
        for place, datagram in enumerate(datagrams):
            if not place:
                end.departed(time.monotonic())
            try:
                end.socket.sendto(datagram, peer)
            except OSError:
                # The far end closed its port, or the network is full: a gap in what it hears.
                continue

    def _read(self, end: RtpEnd) -> None:
        for _ in range(READS_AT_ONCE):
            with self._lock:
                if self._ends.get(end.socket.fileno()) is not end:
                    return
                try:
                    data, ancillary, _, source = end.socket.recvmsg(READ_BYTES, STAMP_BYTES)
                except OSError:
                    return
                at_s = stamp_of(ancillary)
                self._guarded(end, end.arrived, data, at_s, source[:2])

    def _guarded(self, end: RtpEnd, act: Callable[..., None], *arguments: object) -> None:
        """One call's fault must not silence the others."""
        try:
            act(*arguments)
        except Exception as error:
            logger.opt(exception=error).error("a call's audio broke")
            self._forget(end)
            end.broke(error)


class _Shared:
    """The process's own wire, as long as anyone uses it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.wire: RtpWire | None = None
        self.users = 0


_SHARED = _Shared()


@contextmanager
def shared_wire() -> Iterator[RtpWire]:
    """The one wire of this process: the first user starts its thread, the last one ends it."""
    with _SHARED.lock:
        # One that broke is no use to those who come later.
        if _SHARED.wire is None or _SHARED.wire.closed:
            _SHARED.wire = RtpWire()
        _SHARED.users += 1
        wire = _SHARED.wire
    try:
        yield wire
    finally:
        with _SHARED.lock:
            _SHARED.users -= 1
            if not _SHARED.users:
                # Not `wire`: where that one broke, another took its place.
                _SHARED.wire.close()
                _SHARED.wire = None
