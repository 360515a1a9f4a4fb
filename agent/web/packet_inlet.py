"""The caller's Opus packets, decoded as they come: in order, and none waits for the next.

aiortc's buffer gives a packet out when a later one has come, and one for each that comes: once a
packet was lost, all that follow wait behind fifteen others for the rest of the call. Its decoder
is a thread of its own, to which and back from which each packet waits for the interpreter. Here
a packet that is next in line is decoded at once (60 us), and one that is not waits for those
before it no longer than it takes ``PATIENCE`` packets to come.
"""

import asyncio
import logging
from fractions import Fraction

import av
from aiortc.jitterbuffer import JitterBuffer, JitterFrame
from aiortc.rtp import RtpPacket
from aiortc.utils import uint16_add
from av.frame import Frame

log = logging.getLogger(__name__)

CLOCK_HZ = 48000
"""Of Opus' RTP timestamps (RFC 7587, 4.1)."""
PATIENCE = 3
"""Packets after a missing one that wait for it: 60 ms, as late as most that come late at all."""
FOREIGN = 1000
"""A number so far from the one expected begins the count anew."""


class InOrder:
    """Packets by sequence number (RFC 3550, 5.1), each as soon as it is next in line. Pure."""

    def __init__(self) -> None:
        self._next: int | None = None
        self._waiting: dict[int, RtpPacket] = {}

    def take(self, packet: RtpPacket) -> list[RtpPacket]:
        """Those that ``packet`` lets out; none where one before it is missing or it came twice."""
        number = packet.sequence_number
        if self._next is None or FOREIGN < self._ahead(number) <= 2**16 - FOREIGN:
            self._next = number
            self._waiting.clear()
        if self._ahead(number) > FOREIGN:
            # It was given up, or is here already.
            return []
        self._waiting[number] = packet
        if self._next not in self._waiting and len(self._waiting) >= PATIENCE:
            self._next = min(self._waiting, key=self._ahead)
        out = []
        while (following := self._waiting.pop(self._next, None)) is not None:
            out.append(following)
            self._next = uint16_add(self._next, 1)
        return out

    def _ahead(self, number: int) -> int:
        """How far ``number`` is after the one expected, modulo 2**16."""
        assert self._next is not None
        return uint16_add(number, -self._next)


class CountingBuffer(JitterBuffer):
    """aiortc's own, for codecs that aiortc decodes."""

    def __init__(self) -> None:
        # One packet waits, which puts them back in order.
        super().__init__(capacity=16, prefetch=1)
        self.bytes_in = 0
        """Of the payloads that came."""

    def add(self, packet: RtpPacket) -> tuple[bool, JitterFrame | None]:
        """Takes a packet, and gives the frame that it completes."""
        self.bytes_in += payload_bytes(packet)
        return super().add(packet)


class OpusInlet(JitterBuffer):
    """Stands where aiortc has its jitter buffer, and gives it nothing to decode.

    ``frames`` gets what was decoded: mono at 48 kHz, or None from aiortc at the track's end.
    """

    def __init__(self, frames: "asyncio.Queue[Frame | None]") -> None:
        super().__init__(capacity=1)
        self.bytes_in = 0
        """Of the payloads that came, those too late to be heard included."""
        self._frames = frames
        self._order = InOrder()
        self._decoder = av.CodecContext.create("libopus", "r")
        self._decoder.format = "s16"
        self._decoder.layout = "mono"
        self._decoder.sample_rate = CLOCK_HZ

    def add(self, packet: RtpPacket) -> tuple[bool, JitterFrame | None]:
        """Takes a packet; there is never a frame for aiortc's own decoder."""
        self.bytes_in += payload_bytes(packet)
        for following in self._order.take(packet):
            self._decode(following)
        return False, None

    def _decode(self, packet: RtpPacket) -> None:
        data = _payload(packet)
        if not data:
            return
        encoded = av.Packet(data)
        encoded.pts = packet.timestamp
        encoded.time_base = Fraction(1, CLOCK_HZ)
        try:
            decoded = self._decoder.decode(encoded)
        except av.FFmpegError as error:
            log.debug("a packet of the caller's was not decoded: %s", error)
            return
        for frame in decoded:
            self._frames.put_nowait(frame)


def payload_bytes(packet: RtpPacket) -> int:
    """What a packet carries, without its header."""
    return len(_payload(packet))


def _payload(packet: RtpPacket) -> bytes:
    # Where aiortc's depayloader leaves it, undeclared.
    data: bytes = packet._data  # type: ignore[attr-defined]
    return data
