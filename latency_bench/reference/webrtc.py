"""A reference agent's WebRTC door: aiortc, stamped at the socket, without its jitter buffer.

`POST /api/offer` with the offer's SDP as JSON, as Pipecat's small WebRTC transport takes it; the
RTP header stays readable under SRTP (RFC 3711, 3.1), so that a packet is known where it leaves.
"""

import asyncio
import json
import logging
import os
import random
import struct
import time
from collections import OrderedDict
from collections.abc import Callable
from fractions import Fraction
from typing import Any
from urllib.parse import parse_qs, urlsplit

import av
import numpy as np
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.codecs.opus import OpusDecoder
from aiortc.jitterbuffer import JitterFrame
from aiortc.mediastreams import MediaStreamError
from numpy.typing import NDArray

from latency_bench.reference.behaviour import Behaviour, behaviour_of
from latency_bench.reference.http import serve_json
from latency_bench.reference.talk import FRAME_S, ReferenceTalk, Truth
from latency_bench.stamped_socket import stamp_transport

log = logging.getLogger(__name__)

RATE_HZ = 48_000
FRAME = 960
LOOKAHEAD = 312
"""Samples that libopus looks ahead, and all it carries comes later by (6.5 ms)."""
LATEST_S = 0.2
CLOSE_LIMIT_S = 5.0
CALLS_LIMIT = 50
ARRIVALS_LIMIT = 1000
WRONG_PAYLOAD_TYPE = 125
"""Nobody offers it (RFC 3551, 6)."""
_HEADER = struct.Struct("!BBHII")
_RTCP_TYPES = range(64, 96)
"""RTCP packet types without their top bit (RFC 5761, 4)."""


class _Voice(MediaStreamTrack):
    """What the agent says: one 20 ms frame at a time."""

    kind = "audio"

    def __init__(self, talk: ReferenceTalk) -> None:
        super().__init__()
        self._talk = talk
        self._pts = 0
        self._due_s: float | None = None

    async def recv(self) -> av.AudioFrame:
        if self.readyState != "live":
            raise MediaStreamError
        now_s = time.monotonic()
        if self._due_s is None or now_s - self._due_s > LATEST_S:
            self._due_s = now_s
        await asyncio.sleep(max(0.0, self._due_s - now_s))
        self._due_s += FRAME_S
        pcm = self._talk.next_frame(time.monotonic())
        # aiortc would make stereo of mono, 3 dB quieter.
        both = np.repeat(pcm, 2).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(both, format="s16", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, self._pts, Fraction(1, RATE_HZ)
        self._pts += FRAME
        return frame


class _Call:
    """One connection."""

    def __init__(
        self, name: str, behaviour: Behaviour, seed: int, over: Callable[["_Call"], None]
    ) -> None:
        self.name = name
        self.behaviour = behaviour
        self.talk = ReferenceTalk(behaviour, RATE_HZ, LOOKAHEAD)
        self.tasks: set[asyncio.Task[None]] = set()
        self._over = over
        self._random = random.Random(seed)
        self._pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._channel: Any = None
        self._decoder = OpusDecoder()
        self._arrivals: OrderedDict[int, float] = OrderedDict()
        self._origin: int | None = None
        self._transports: list[asyncio.BaseTransport] = []

    async def answer(self, offer: dict[str, str]) -> dict[str, str]:
        """Takes the offer; the answer."""
        pc = self._pc
        pc.on("datachannel", self._on_channel)
        pc.on("connectionstatechange", self._on_state)
        await pc.setRemoteDescription(RTCSessionDescription(offer["sdp"], offer["type"]))
        sender = pc.addTrack(_Voice(self.talk))
        await pc.setLocalDescription(await pc.createAnswer())
        transceiver = next(t for t in pc.getTransceivers() if t.sender is sender)
        # aiortc has no way to see packets as they come and go; these are the nearest points.
        transceiver.receiver._handle_rtp_packet = self._heard  # type: ignore[method-assign]
        dtls = sender.transport
        self._send_rtp = dtls._send_rtp
        dtls._send_rtp = self._sending  # type: ignore[method-assign]
        for protocol in dtls.transport._connection._protocols:
            self._transports.append(protocol.transport)
            stamp_transport(protocol.transport, self._arrived, self._departed)
        local = pc.localDescription
        return {"sdp": local.sdp, "type": local.type, "pc_id": self.name}

    async def close(self) -> None:
        """Frees all."""
        for task in self.tasks:
            if task is not asyncio.current_task():
                task.cancel()
        await asyncio.wait_for(self._pc.close(), CLOSE_LIMIT_S)

    def _own(self, task: "asyncio.Task[None]") -> None:
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def _on_state(self) -> None:
        match self._pc.connectionState:
            case "connected" if self.talk.answered_s is None:
                self.talk.answered(time.monotonic())
                self._own(asyncio.create_task(self._misbehave()))
            case "failed" | "closed":
                self._over(self)

    def _on_channel(self, channel: Any) -> None:
        self._channel = channel
        channel.on("message", self._on_message)

    def _on_message(self, message: str | bytes) -> None:
        if isinstance(message, str) and '"hangup"' in message:
            self._say_ended("caller")
            self._over(self)

    def _say_ended(self, cause: str) -> None:
        if self._channel is not None and self._channel.readyState == "open":
            self._channel.send(json.dumps({"type": "call.ended", "cause": cause}))

    async def _misbehave(self) -> None:
        behaviour = self.behaviour
        ends = (behaviour.hang_up_s, behaviour.vanish_s, behaviour.exit_s)
        if all(end_s is None for end_s in ends):
            return
        await asyncio.sleep(min(end_s for end_s in ends if end_s is not None))
        if behaviour.exit_s is not None:
            os._exit(1)
        if behaviour.hang_up_s is not None:
            self._say_ended("agent")
            self._over(self)
            return
        for transport in self._transports:
            transport.close()

    # -- the wire

    def _arrived(self, data: bytes, at_s: float) -> None:
        if _is_rtp(data):
            self._arrivals[_HEADER.unpack_from(data)[2]] = at_s
            if len(self._arrivals) > ARRIVALS_LIMIT:
                self._arrivals.popitem(last=False)

    async def _heard(self, packet: Any, arrival_time_ms: int) -> None:
        at_s = self._arrivals.pop(packet.sequence_number, None)
        if at_s is None or not packet.payload:
            return
        frames = self._decoder.decode(JitterFrame(packet.payload, packet.timestamp))
        for frame in frames:
            self.talk.hear(_mono(frame), at_s)

    async def _sending(self, data: bytes) -> None:
        """In place of the DTLS transport's own: drops, spoils or holds up what should leave."""
        if not _is_rtp(data):
            await self._send_rtp(data)
            return
        if self._origin is None:
            self._origin = _HEADER.unpack_from(data)[3]
        match self.behaviour.media:
            case "none":
                return
            case "wrong_codec":
                data = bytes((data[0], (data[1] & 128) | WRONG_PAYLOAD_TYPE)) + data[2:]
        if self.behaviour.jitter_s:
            held_s = self._random.uniform(0, self.behaviour.jitter_s)
            self._own(asyncio.create_task(self._send_later(held_s, data)))
        else:
            await self._send_rtp(data)

    async def _send_later(self, held_s: float, data: bytes) -> None:
        await asyncio.sleep(held_s)
        try:
            await self._send_rtp(data)
        except ConnectionError:
            log.debug("%s: the call ended with a packet held up", self.name)

    def _departed(self, data: bytes, at_s: float) -> None:
        if self._origin is not None and _is_rtp(data):
            timestamp = _HEADER.unpack_from(data)[3]
            self.talk.left(((timestamp - self._origin) % 2**32) // FRAME, at_s)


class WebrtcDoor:
    """Answers offers, each as its address or ``otherwise`` says; ``on_truth`` gets each ended one.

    ``?agent=name.N`` is the behaviour ``name``; the whole is the call's name.
    """

    def __init__(self, otherwise: str, seed: int, on_truth: Callable[[Truth], None]) -> None:
        self._otherwise = otherwise
        self._seed = seed
        self._on_truth = on_truth
        self._server: asyncio.Server | None = None
        self._calls: set[_Call] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._held = asyncio.Event()

    async def open(self, host: str, port: int) -> int:
        """Listens; returns the port."""
        self._server = await asyncio.start_server(self._serve, host, port)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Ends every call."""
        self._held.set()
        for call in list(self._calls):
            self._over(call)
        await asyncio.gather(*self._closing)
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def _over(self, call: _Call) -> None:
        if call not in self._calls:
            return
        self._calls.discard(call)
        self._on_truth(call.talk.truth(call.name, "webrtc"))
        task = asyncio.create_task(self._close(call))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _close(self, call: _Call) -> None:
        # The word of the call's end has to leave first.
        await asyncio.sleep(0.1)
        await call.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await serve_json(reader, writer, self._offered)

    async def _offered(self, path: str, body: bytes) -> tuple[str, dict[str, str]]:
        url = urlsplit(path)
        name = parse_qs(url.query).get("agent", [self._otherwise])[0]
        behaviour = behaviour_of(name, self._otherwise)
        if url.path != "/api/offer":
            return "404 Not Found", {"error": "offers go to /api/offer"}
        if behaviour.signalling == "refuses" or len(self._calls) >= CALLS_LIMIT:
            return "503 Service Unavailable", {"error": "busy"}
        if behaviour.signalling == "rings":
            await self._held.wait()
            return "503 Service Unavailable", {"error": "closing"}
        if behaviour.signalling == "no_sdp":
            return "200 OK", {"type": "answer", "pc_id": name}
        call = _Call(name, behaviour, self._seed, self._over)
        self._calls.add(call)
        return "200 OK", await call.answer(json.loads(body))


def _is_rtp(data: bytes) -> bool:
    return len(data) > _HEADER.size and data[0] >> 6 == 2 and data[1] & 127 not in _RTCP_TYPES


def _mono(frame: Any) -> NDArray[np.int16]:
    """A decoded frame (packed int16) as mono, shape (samples,)."""
    samples = frame.to_ndarray().reshape(frame.samples, -1)
    mixed: NDArray[np.int16] = np.rint(samples.mean(axis=1)).astype(np.int16)
    return mixed
