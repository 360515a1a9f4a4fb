"""When the packets of a WebRTC call came and went, matched to the frames they hold.

aiortc tells a track's reader nothing of arrival and its writer nothing of departure, and both
lie behind a jitter buffer, an encoder's thread and a busy loop. So the datagrams are stamped at
the socket and known again by their RTP timestamps, which SRTP leaves readable. Where aiortc,
aioice or the loop have other insides than expected, the next best time is taken, with a note.

Opus looks 6.5 ms ahead (312 samples of 48 kHz, RFC 6716, 2.1.1 and 3.4; libopus' "voip"): what
goes into the encoder as sample n comes out of the decoder as n + 312. A frame's packet is known
by the samples that went in, so the caller's own last word has the time at which it left, and the
agent's decoder gives it out 6.5 ms later. The agent's first word likewise stands 6.5 ms later in
the decoded sound than the agent handed it over. Both are the codec's, as every caller has them.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiortc import RTCPeerConnection, RTCRtpReceiver, RTCRtpTransceiver

from latency_bench.interrupt import guarded
from latency_bench.sip.rtp_packet import RtpOrder, RtpPacket, parse_rtp
from latency_bench.stamped_socket import stamp_transport

CLOCK_HZ = 48_000
"""Of Opus' RTP timestamps (RFC 7587, 4.1)."""
OPUS_LOOKAHEAD_S = 312 / CLOCK_HZ
KEPT_STAMPS = 1024
"""Packets on their way through the jitter buffer; it holds 16."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A packet of the agent that came."""

    at_s: float
    """Monotonic."""
    timestamp: int
    """Unwrapped, counted from the first packet's, and going on where the agent began anew."""


class WebRtcStamps:
    """Stamps of one call. ``packet`` takes each RTP packet of the agent: arrival, and sequence
    number and timestamp unwrapped; ``departed`` takes the caller's, by samples since the first.
    ``broke`` is told of what either raises, which would end the socket's transport.
    """

    def __init__(
        self,
        packet: Callable[[float, int, int], None],
        departed: Callable[[int, float], None],
        note: Callable[[str], None],
        broke: Callable[[Exception], None],
    ) -> None:
        self.last_arrival_s: float | None = None
        """When anything at all came last: sound, or a sign of life."""
        self.packets = 0
        self._packet = packet
        self._departed = departed
        self._note = note
        self._broke = broke
        self._agreed: frozenset[int] = frozenset()
        self._order = RtpOrder(CLOCK_HZ)
        self._arrivals: OrderedDict[int, Arrival] = OrderedDict()
        self._origin: int | None = None
        self._own_origin: int | None = None
        self._own_last = -1

    def watch(self, connection: RTCPeerConnection) -> None:
        """Stamps the connection's sockets; call it once candidates were gathered."""
        found = [
            stamp_transport(
                transport, guarded(self._broke, self.arrived), guarded(self._broke, self.left)
            )
            for transport in _transports(connection)
        ]
        if not found or not all(found):
            self._note("packets are stamped by the event loop, not at the socket")
        elif not all(stamped.kernel for stamped in found if stamped):
            self._note("packets are stamped as they are read, not by the kernel")
        for transceiver in connection.getTransceivers():
            self._learn_origin(transceiver)

    def agreed(self, payload_types: frozenset[int]) -> None:
        """The payload types of the answer."""
        self._agreed = payload_types

    def arrival(self, pts: int) -> Arrival | None:
        """The packet whose frame aiortc gives out with ``pts``; None: not seen."""
        if self._origin is None:
            return None
        return self._arrivals.get((self._origin + pts) % 2**32)

    def arrived(self, datagram: bytes, at_s: float) -> None:
        """A datagram came off the socket."""
        self.last_arrival_s = at_s
        # SRTP encrypts the payload alone.
        packet = parse_rtp(datagram)
        if packet is not None:
            self._took(packet, at_s)

    def left(self, datagram: bytes, at_s: float) -> None:
        """A datagram went to the socket."""
        packet = parse_rtp(datagram)
        if packet is None:
            return
        if self._own_origin is None:
            self._own_origin = packet.timestamp
        # A call of over 24 h would come round.
        pts = (packet.timestamp - self._own_origin) % 2**32
        # What is sent again left before.
        if pts > self._own_last:
            self._own_last = pts
            self._departed(pts, at_s)

    def _took(self, packet: RtpPacket, at_s: float) -> None:
        self.packets += 1
        place = self._order.place(packet, at_s)
        if place.restarted:
            self._note("the agent began its numbers anew")
        if self._agreed and packet.payload_type not in self._agreed:
            self._note(f"packets of payload type {packet.payload_type}, which was not agreed on")
        self._arrivals.setdefault(packet.timestamp, Arrival(at_s, place.timestamp))
        while len(self._arrivals) > KEPT_STAMPS:
            self._arrivals.popitem(last=False)
        self._packet(at_s, place.sequence, place.timestamp)

    def _learn_origin(self, transceiver: RTCRtpTransceiver) -> None:
        """The timestamp from which aiortc counts: that of the first packet it took."""
        receiver: RTCRtpReceiver = transceiver.receiver
        handle = getattr(receiver, "_handle_rtp_packet", None)
        if handle is None:
            self._note("frames are stamped as they are decoded, not as they came")
            return

        async def handle_noted(packet: Any, *arguments: Any, **named: Any) -> None:
            if self._origin is None:
                self._origin = packet.timestamp
            await handle(packet, *arguments, **named)

        receiver._handle_rtp_packet = handle_noted  # type: ignore[method-assign]


def _transports(connection: RTCPeerConnection) -> list[Any]:
    """The datagram transports below aiortc and aioice; empty where they keep them elsewhere."""
    found: dict[int, Any] = {}
    for transceiver in connection.getTransceivers():
        gatherer = getattr(transceiver.sender.transport.transport, "iceGatherer", None)
        ice = getattr(gatherer, "_connection", None)
        for protocol in getattr(ice, "_protocols", ()):
            transport = getattr(protocol, "transport", None)
            if transport is not None:
                found[id(transport)] = transport
    return list(found.values())
