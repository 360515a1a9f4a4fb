"""A reference agent's sound over RTP: one packet every 20 ms, stamped by the kernel.

RFC 3550; G.711 mu-law. Nothing lies between the wire and what is logged.
"""

import heapq
import random
import secrets
import select
import socket
import struct
import threading
import time

from latency_bench import kernel_clock
from latency_bench.reference.behaviour import Behaviour
from latency_bench.reference.talk import FRAME_S, ReferenceTalk
from latency_bench.sip.g711 import PCMU, decode, encode

RATE_HZ = 8000
LATEST_S = 0.2
"""Stalled for longer, it goes on from now instead of sending a burst."""
JOIN_LIMIT_S = 5.0
WRONG_PAYLOAD_TYPE = 125
"""Nobody offers it (RFC 3551, 6)."""
_HEADER = struct.Struct("!BBHII")
_READ_BYTES = 2048


class RtpLeg:
    """One call's audio, in a thread of its own; truth is to the sample."""

    def __init__(self, host: str, behaviour: Behaviour, seed: int) -> None:
        self.talk = ReferenceTalk(behaviour, RATE_HZ)
        self._behaviour = behaviour
        self._random = random.Random(seed)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((host, 0))
        self._socket.setblocking(False)
        kernel_clock.stamp_arrivals(self._socket)
        kernel_clock.stamp_departures(self._socket)
        self.port: int = self._socket.getsockname()[1]
        self._peer: tuple[str, int] | None = None
        self._held: list[tuple[float, int, bytes]] = []
        self._frames = 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reference-rtp", daemon=True)

    def start(self, peer: tuple[str, int], answered_s: float) -> None:
        """Begins to send to ``peer`` and to listen."""
        self._peer = peer
        self.talk.answered(answered_s)
        self._thread.start()

    def stop(self) -> None:
        """Ends it; `talk` holds what was."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(JOIN_LIMIT_S)
        self._socket.close()

    def _run(self) -> None:
        due_s = time.monotonic()
        while not self._stopped.is_set():
            until_s = min(due_s, self._held[0][0]) if self._held else due_s
            wait_s = until_s - time.monotonic()
            if wait_s > 0:
                readable, _, _ = select.select([self._socket], [], [], wait_s)
                if readable:
                    self._read()
                continue
            # What came while this thread was kept waiting is heard before it speaks.
            self._read()
            while self._held and self._held[0][0] <= time.monotonic():
                _, index, packet = heapq.heappop(self._held)
                self._send(index, packet)
            if due_s <= time.monotonic():
                self._frame()
                due_s += FRAME_S
                if due_s < time.monotonic() - LATEST_S:
                    due_s = time.monotonic()

    def _frame(self) -> None:
        index = self._frames
        self._frames += 1
        payload = encode(self.talk.next_frame(time.monotonic()))
        if self._behaviour.media == "none":
            return
        kind = PCMU
        if self._behaviour.media == "wrong_codec":
            kind, payload = WRONG_PAYLOAD_TYPE, secrets.token_bytes(len(payload))
        header = _HEADER.pack(0x80, kind, index & 0xFFFF, (index * 160) & 0xFFFFFFFF, self.port)
        if self._behaviour.jitter_s:
            held_s = self._random.uniform(0, self._behaviour.jitter_s)
            heapq.heappush(self._held, (time.monotonic() + held_s, index, header + payload))
        else:
            self._send(index, header + payload)

    def _send(self, index: int, packet: bytes) -> None:
        assert self._peer is not None
        try:
            self.talk.left(index, kernel_clock.send(self._socket, packet, self._peer))
        except OSError:
            # The far end has closed its port: this packet left nobody, and is not in the truth.
            return

    def _read(self) -> None:
        while True:
            try:
                data, at_s = kernel_clock.receive(self._socket, _READ_BYTES)
            except OSError:
                return
            if len(data) > _HEADER.size and data[0] >> 6 == 2 and data[1] & 127 == PCMU:
                self.talk.hear(decode(data[_HEADER.size + 4 * (data[0] & 15) :]), at_s)
