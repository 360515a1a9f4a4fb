"""Many calls' RTP on one thread, with the kernel's clock on what arrives.

The kernel stamps each packet when it comes in (SO_TIMESTAMPNS), so that a busy reader does not
count as a late sender.
"""

import selectors
import socket
import struct
import threading
import time
from dataclasses import dataclass, field

import numpy as np

from latency_bench.g711 import PCMU

FRAME_S = 0.02
FRAME_SAMPLES = 160
_HEADER = struct.Struct("!BBHII")
_STAMP = struct.Struct("qq")
_SO_TIMESTAMPNS = 35
"""Linux; Python's socket module has no name for it."""
_READ_BYTES = 2048


@dataclass(frozen=True, slots=True)
class Packet:
    """One RTP packet that arrived."""

    at_s: float
    """`time.time()` of the kernel."""
    sequence: int
    timestamp: int
    payload_type: int
    payload: bytes


@dataclass(slots=True, eq=False)
class RtpCall:
    """One call's audio: what it says, in frames of 160 mu-law bytes, and what it heard."""

    socket: socket.socket
    frames: list[bytes]
    """Said in turn, once; silence after the last."""
    peer: tuple[str, int] | None = None
    """None: not answered yet, nothing is sent."""
    sent: list[tuple[float, int]] = field(default_factory=list)
    """(`time.time()`, index of the frame) of everything said."""
    heard: list[Packet] = field(default_factory=list)


SILENCE = b"\xff" * FRAME_SAMPLES


def open_socket(host: str) -> socket.socket:
    """A UDP socket on a free even port, whose packets are stamped by the kernel."""
    while True:
        opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        opened.bind((host, 0))
        if opened.getsockname()[1] % 2 == 0:
            opened.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            opened.setblocking(False)
            return opened
        opened.close()


class RtpWire:
    """Sends and receives for every call added to it, until it is closed."""

    def __init__(self) -> None:
        self._calls: dict[int, tuple[RtpCall, int]] = {}
        self._selector = selectors.DefaultSelector()
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rtp-wire", daemon=True)

    def __enter__(self) -> "RtpWire":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join(5)
        self._selector.close()

    def add(self, call: RtpCall) -> None:
        """Begins with ``call``."""
        with self._lock:
            self._calls[call.socket.fileno()] = (call, 0)
            self._selector.register(call.socket, selectors.EVENT_READ, call)

    def remove(self, call: RtpCall) -> None:
        """Ends with ``call``; its socket is the caller's to close."""
        with self._lock:
            if self._calls.pop(call.socket.fileno(), None) is not None:
                self._selector.unregister(call.socket)

    def _run(self) -> None:
        due_s = time.monotonic()
        while not self._stopped.is_set():
            wait_s = due_s - time.monotonic()
            if wait_s <= 0:
                self._send_all()
                due_s += FRAME_S
                if due_s < time.monotonic() - 1:
                    due_s = time.monotonic()
                continue
            for key, _ in self._selector.select(wait_s):
                self._read(key.data)

    def _send_all(self) -> None:
        with self._lock:
            for number, (call, index) in list(self._calls.items()):
                if call.peer is None:
                    continue
                frame = call.frames[index] if index < len(call.frames) else SILENCE
                header = _HEADER.pack(
                    0x80, PCMU, index & 0xFFFF, (index * FRAME_SAMPLES) & 0xFFFFFFFF, number
                )
                try:
                    call.socket.sendto(header + frame, call.peer)
                except OSError:
                    # The far end closed its port: what it did not take is a gap in its echo.
                    continue
                call.sent.append((time.time(), index))
                self._calls[number] = (call, index + 1)

    def _read(self, call: RtpCall) -> None:
        while True:
            try:
                data, ancillary, _, _ = call.socket.recvmsg(_READ_BYTES, 64)
            except OSError:
                return
            packet = _packet(data, ancillary)
            if packet is not None:
                call.heard.append(packet)


def _packet(data: bytes, ancillary: list[tuple[int, int, bytes]]) -> Packet | None:
    if len(data) < _HEADER.size or data[0] >> 6 != 2:
        return None
    at_s = time.time()
    for level, kind, value in ancillary:
        if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS:
            seconds, nanoseconds = _STAMP.unpack(value[: _STAMP.size])
            at_s = seconds + nanoseconds / 1e9
    _, kind, sequence, timestamp, _ = _HEADER.unpack_from(data)
    start = _HEADER.size + 4 * (data[0] & 15)
    return Packet(at_s, sequence, timestamp, kind & 127, data[start:])


def gaps_ms(packets: list[Packet]) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """Milliseconds between packets, in the order of arrival."""
    return np.diff(np.array([packet.at_s for packet in packets])) * 1000
