"""One RTP packet, and the order of many (RFC 3550). Pure."""

import struct
from dataclasses import dataclass

_HEADER = struct.Struct("!BBHII")
_VERSION = 2
RTCP_TYPES = range(64, 96)
"""Payload types that RTCP's packet types look like (RFC 5761, section 4)."""
JUMP_S = 5.0
"""A timestamp that differs from the clock by more than this begins a new stream."""
JUMP_PACKETS = 3000
SEEN_LIMIT = 1024
"""Numbers that are kept, to know a packet that came twice."""


@dataclass(frozen=True, slots=True)
class RtpPacket:
    """One packet, without header extensions and padding."""

    payload_type: int
    sequence: int
    timestamp: int
    source: int
    """SSRC."""
    payload: bytes
    marker: bool = False

    def pack(self) -> bytes:
        """As sent."""
        second = self.payload_type | (0x80 if self.marker else 0)
        return (
            _HEADER.pack(
                _VERSION << 6,
                second,
                self.sequence & 0xFFFF,
                self.timestamp & 0xFFFFFFFF,
                self.source,
            )
            + self.payload
        )


def parse_rtp(data: bytes) -> RtpPacket | None:
    """Reads one datagram; None for what is no RTP, RTCP included."""
    if len(data) < _HEADER.size or data[0] >> 6 != _VERSION:
        return None
    first, second, sequence, timestamp, source = _HEADER.unpack_from(data)
    if second & 0x7F in RTCP_TYPES:
        return None
    start, end = _HEADER.size + 4 * (first & 0x0F), len(data)
    if first & 0x10:
        if end < start + 4:
            return None
        start += 4 + 4 * int.from_bytes(data[start + 2 : start + 4], "big")
    if first & 0x20:
        end -= data[-1]
    if end < start:
        return None
    return RtpPacket(
        second & 0x7F, sequence, timestamp, source, data[start:end], bool(second & 0x80)
    )


@dataclass(frozen=True, slots=True)
class Place:
    """Where a packet belongs; both count from the first one of the call."""

    sequence: int
    timestamp: int
    repeated: bool = False
    """It was here before."""
    restarted: bool = False
    """The sender began anew, with numbers of its own choice."""


class RtpOrder:
    """Unwraps the numbers of one direction.

    Where the sender restarts its numbers (another SSRC, or a jump that no clock explains), they
    go on from the last one by the time of arrival: a recording has no hole of hours. However
    often it does, the line is never ahead of the call's first packet by more than the time that
    went by since and 5 s.
    """

    def __init__(self, clock_hz: int) -> None:
        self._clock_hz = clock_hz
        self._source: int | None = None
        self._offsets = (0, 0)
        self._began = (0, 0.0)
        """Timestamp and arrival from which the sender's clock is reckoned."""
        self._first_at_s = 0.0
        self._last = Place(0, 0)
        self._last_at_s = 0.0
        """The latest by its number, and when it came."""
        self._seen: dict[int, None] = {}

    def place(self, packet: RtpPacket, at_s: float) -> Place:
        """Takes the packets in the order of arrival."""
        if self._source is None:
            self._first_at_s = at_s
            return self._begin(packet, at_s, Place(0, 0))
        sequence = _nearest(packet.sequence - self._offsets[0], self._last.sequence, 1 << 16)
        timestamp = _nearest(packet.timestamp - self._offsets[1], self._last.timestamp, 1 << 32)
        clock = timestamp - self._began[0] - (at_s - self._began[1]) * self._clock_hz
        ahead = timestamp - (at_s - self._first_at_s) * self._clock_hz
        if (
            packet.source != self._source
            or max(abs(clock), ahead) > JUMP_S * self._clock_hz
            or abs(sequence - self._last.sequence) > JUMP_PACKETS
        ):
            elapsed = max(0, round((at_s - self._last_at_s) * self._clock_hz))
            last = self._last
            restart = Place(last.sequence + 1, last.timestamp + elapsed, restarted=True)
            return self._begin(packet, at_s, restart)
        place = Place(sequence, timestamp, repeated=sequence in self._seen)
        self._keep(place, at_s)
        return place

    def _begin(self, packet: RtpPacket, at_s: float, place: Place) -> Place:
        self._source = packet.source
        self._offsets = (packet.sequence - place.sequence, packet.timestamp - place.timestamp)
        self._began = (place.timestamp, at_s)
        self._last = place
        self._keep(place, at_s)
        return place

    def _keep(self, place: Place, at_s: float) -> None:
        self._seen[place.sequence] = None
        if len(self._seen) > SEEN_LIMIT:
            del self._seen[next(iter(self._seen))]
        if place.sequence >= self._last.sequence:
            self._last, self._last_at_s = place, at_s


def _nearest(number: int, to: int, period: int) -> int:
    """``number`` plus the multiple of ``period`` that brings it next to ``to``."""
    half = period // 2
    return to + (number - to + half) % period - half
