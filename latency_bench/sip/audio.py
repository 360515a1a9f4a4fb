"""The sound of one SIP call: what the caller's `Leg` says and hears, as RTP."""

import ipaddress
import secrets
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

from latency_bench.leg import Leg
from latency_bench.sip.codec import CodecError, CodecFormat, open_codec
from latency_bench.sip.rtp_keys import KeySender
from latency_bench.sip.rtp_packet import RtpOrder, RtpPacket, parse_rtp
from latency_bench.sip.rtp_wire import Address, open_rtp_socket
from latency_bench.sip.sdp import Agreed
from latency_bench.sip.srtp import Srtp

EARLY_PACKETS = 500
"""What is kept from before the answer, in case that it came with it."""


@dataclass(frozen=True, slots=True)
class _Line:
    """What both sides agreed on; put in place as a whole, for the wire's thread."""

    peer: Address
    agreed: Agreed
    answered_s: float
    srtp: Srtp | None
    held: bool = False
    former: Address | None = None
    """Where sound came from before the far end moved it: some may be under way."""


class LegAudio:
    """An `RtpEnd` that drives a `Leg`; nothing is sent before `start`."""

    def __init__(self, host: str, leg: Leg, form: CodecFormat) -> None:
        self.socket = open_rtp_socket(host)
        self.last_packet_s: float | None = None
        """When sound came last; None: not yet."""
        self._leg = leg
        self._form = form
        self._codec = open_codec(form)
        self._order = RtpOrder(form.clock_hz)
        self._keys: KeySender | None = None
        self._line: _Line | None = None
        self._early: deque[tuple[bytes, float, Address]] = deque(maxlen=EARLY_PACKETS)
        self._heard_from: Address | None = None
        """Whose packets are the agent's; None: none came yet."""
        self._source = secrets.randbits(32)
        self._sequence = secrets.randbits(15)
        self._timestamp = secrets.randbits(31)
        self._step = form.clock_hz // 50
        self._frame_samples = leg.conversation.frame_samples
        self._taken = 0
        """Samples of the leg so far."""
        self._marked = True

    @property
    def port(self) -> int:
        """Where this side listens."""
        port: int = self.socket.getsockname()[1]
        return port

    @property
    def peer(self) -> Address | None:
        """Where sound goes."""
        return None if self._line is None else self._line.peer

    def start(self, peer: Address, agreed: Agreed, at_s: float, srtp: Srtp | None) -> None:
        """The call was answered at ``at_s``; what came before that is no part of it."""
        self._line = _Line(_plain(peer), agreed, at_s, srtp)

    def change(self, peer: Address, agreed: Agreed, *, held: bool) -> None:
        """What the far end asked for later; ``held``: it does not want to hear anything."""
        line = self._line
        assert line is not None
        former = line.former
        if _plain(peer) != line.peer:
            former, self._heard_from = self._heard_from, None
        self._line = replace(line, peer=_plain(peer), agreed=agreed, held=held, former=former)

    def due(self, now_s: float) -> Sequence[bytes]:
        """The next frame of the leg, or the key that it presses."""
        line = self._line
        if line is None:
            return ()
        self._take_early(line)
        agreed = line.agreed
        pcm = self._leg.next_frame(now_s)
        self._taken += len(pcm)
        keys = self._leg.keys_due()
        if keys and agreed.event_type is None:
            self._leg.note("keys cannot be sent: the agent's answer has no telephone-event")
        elif keys:
            self._keys = self._keys or KeySender(agreed.event_clock_hz)
            self._keys.press(keys)
        timestamp = self._timestamp
        self._timestamp += self._step
        # The encoder goes on under a key, so that its state fits what follows.
        sound = self._codec.encode(pcm)
        if line.held:
            self._marked = True
            return ()
        if agreed.event_type is not None and self._keys is not None:
            if pressed := self._keys.packets(timestamp):
                self._marked = True
                return [
                    self._packet(line, agreed.event_type, key.began, key.payload, key.marker)
                    for key in pressed
                ]
        marked, self._marked = self._marked, False
        return [self._packet(line, agreed.payload_type, timestamp, sound, marked)]

    def departed(self, at_s: float) -> None:
        """The frame leaves now."""
        self._leg.departed(self._taken - self._frame_samples, at_s)

    def arrived(self, data: bytes, at_s: float, source: Address) -> None:
        """One datagram of the far end, or of anybody."""
        line = self._line
        if line is None:
            self._early.append((data, at_s, source))
            return
        self._take_early(line)
        self._take(data, at_s, source, line)

    def broke(self, error: Exception) -> None:
        """Ends the call."""
        self._leg.end("failed", time.monotonic(), f"the caller's audio broke: {error}")

    def _packet(
        self, line: _Line, payload_type: int, timestamp: int, payload: bytes, marker: bool
    ) -> bytes:
        self._sequence = (self._sequence + 1) & 0xFFFF
        raw = RtpPacket(
            payload_type, self._sequence, timestamp & 0xFFFFFFFF, self._source, payload, marker
        ).pack()
        return raw if line.srtp is None else line.srtp.protect(raw)

    def _take_early(self, line: _Line) -> None:
        while self._early:
            data, came_s, source = self._early.popleft()
            if came_s >= line.answered_s:
                self._take(data, came_s, source, line)

    def _take(self, data: bytes, at_s: float, source: Address, line: _Line) -> None:
        leg, agreed = self._leg, line.agreed
        if not self._expected(source, line):
            leg.note("packets from an address that is not the agent's were ignored")
            return
        if line.srtp is not None:
            clear = line.srtp.unprotect(data)
            if clear is None:
                leg.note("packets that cannot be decrypted")
                return
            data = clear
        packet = parse_rtp(data)
        if packet is None:
            return
        if self._heard_from is None and source not in (line.peer, line.former):
            # Behind a NAT an agent does not know where its packets come from (RFC 4961, 3).
            host, port = source
            leg.note(f"the agent's packets come from {host}:{port}, which it did not name")
        if source != line.former or source == line.peer:
            self._heard_from = source
        place = self._order.place(packet, at_s)
        if place.restarted:
            leg.note("the agent's RTP began anew, with other numbers")
        leg.packet(at_s, place.sequence, place.timestamp)
        self.last_packet_s = at_s
        kind = packet.payload_type
        if kind == agreed.event_type or kind in agreed.noise_types or place.repeated:
            return
        # RFC 3264 wants this side's own number; many send theirs, where the two differ.
        if kind not in (self._form.payload_type, agreed.payload_type):
            leg.note(f"packets of payload type {kind}, which was not negotiated")
            return
        try:
            pcm = self._codec.decode(packet.payload)
        except CodecError as error:
            leg.note(f"{self._form.encoding}: {error}")
            return
        if len(pcm):
            scale = self._form.rate_hz // self._form.clock_hz
            leg.heard(pcm, at_s, place.timestamp * scale)

    def _expected(self, source: Address, line: _Line) -> bool:
        """Whether this is the agent: at the address that it named, or at the first from which
        anything came, as long as nothing came from the one that it named."""
        return self._heard_from is None or source in (line.peer, line.former, self._heard_from)


def _plain(address: Address) -> Address:
    """An address as a socket spells it."""
    host, port = address
    return str(ipaddress.ip_address(host)), port
