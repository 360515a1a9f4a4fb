"""A SIP call that says a fixed list of frames and keeps every packet, for the SIP bench."""

import secrets
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from loguru import logger

from latency_bench.sip.call import SipCall
from latency_bench.sip.codec import FORMATS
from latency_bench.sip.g711 import PCMU, encode
from latency_bench.sip.rtp_packet import RtpPacket, parse_rtp
from latency_bench.sip.rtp_wire import Address, RtpWire, open_rtp_socket
from latency_bench.sip.sdp import Agreed, LocalMedia, Media
from latency_bench.target import Target

FRAME_SAMPLES = 160
SILENCE = encode(np.zeros(FRAME_SAMPLES, np.int16))
ANSWER_LIMIT_S = 15.0


@dataclass(frozen=True, slots=True)
class Heard:
    """One packet of the far end."""

    at_s: float
    """The kernel's time, on the monotonic clock."""
    sequence: int
    payload: bytes


@dataclass(slots=True, eq=False)
class ScriptedAudio:
    """One call's sound, as an `RtpEnd`."""

    socket: socket.socket
    frames: Sequence[bytes]
    """Mu-law, 20 ms each, said in turn, once; silence after the last."""
    peer: Address | None = None
    sent: list[float] = field(default_factory=list)
    """When each frame left."""
    heard: list[Heard] = field(default_factory=list)
    _source: int = field(default_factory=lambda: secrets.randbits(32))

    def due(self, now_s: float) -> Sequence[bytes]:
        """The next frame."""
        index = len(self.sent)
        frame = self.frames[index] if index < len(self.frames) else SILENCE
        timestamp = (index * FRAME_SAMPLES) & 0xFFFFFFFF
        return (RtpPacket(PCMU, index & 0xFFFF, timestamp, self._source, frame).pack(),)

    def departed(self, at_s: float) -> None:
        """It leaves now."""
        self.sent.append(at_s)

    def arrived(self, data: bytes, at_s: float, source: Address) -> None:
        """Keeps what is sound."""
        packet = parse_rtp(data)
        if packet is not None and packet.payload_type == PCMU:
            self.heard.append(Heard(at_s, packet.sequence, packet.payload))

    def broke(self, error: Exception) -> None:
        """The log has it; the figures show packets that are missing."""


@dataclass(slots=True)
class ScriptedCall:
    """An answered call; end it with `hang_up`."""

    audio: ScriptedAudio
    answer_ms: float
    """From the INVITE to its 200."""
    answered_s: float
    signalling: SipCall

    async def hang_up(self, wire: RtpWire) -> None:
        """Says goodbye; what was heard stays."""
        wire.remove(self.audio)
        try:
            await self.signalling.hang_up()
        finally:
            self.signalling.close()
            self.audio.socket.close()


class ScriptedEvents:
    """What the far end does in the call changes only where its sound goes."""

    def __init__(self) -> None:
        self.audio: ScriptedAudio | None = None

    def changed(self, media: Media, agreed: Agreed) -> None:
        if self.audio is not None and media.port:
            self.audio.peer = (media.host, media.port)

    def hung_up(self, at_s: float, reason: str) -> None:
        logger.info("the agent hung up: {}", reason or "no reason given")

    def referred(self, to: str) -> None:
        logger.info("the agent asks for a call to {}, which is not placed", to)

    def noted(self, text: str) -> None:
        logger.info("{}", text)


async def place_scripted_call(
    target: Target, frames: Sequence[bytes], wire: RtpWire
) -> ScriptedCall:
    """Calls ``target`` and says ``frames`` once it is answered. Raises CallFailed."""
    deeds = ScriptedEvents()
    signalling = SipCall(target, deeds)
    audio: ScriptedAudio | None = None
    try:
        await signalling.open()
        deeds.audio = audio = ScriptedAudio(open_rtp_socket(signalling.local_host), frames)
        wire.add(audio)
        began_s = time.monotonic()
        media = LocalMedia(signalling.local_host, audio.socket.getsockname()[1], FORMATS["pcmu"])
        answered = await signalling.invite(media, ANSWER_LIMIT_S)
    except BaseException:
        if audio is not None:
            wire.remove(audio)
            audio.socket.close()
        signalling.close()
        raise
    audio.peer = (answered.media.host, answered.media.port)
    answer_ms = (answered.at_s - began_s) * 1000
    return ScriptedCall(audio, answer_ms, answered.at_s, signalling)
