"""A caller over WebRTC, with its own clock on the wire."""

import asyncio
import json
import re
import time
from collections.abc import Callable, Coroutine
from fractions import Fraction
from typing import Any, cast

import av
import numpy as np
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCDataChannel,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError
from loguru import logger
from numpy.typing import NDArray

from latency_bench.conversation import FRAME_S, Conversation
from latency_bench.foreign_json import ForeignJsonError, read_json
from latency_bench.http_post import post
from latency_bench.interrupt import first_of, guarded, telling, unless
from latency_bench.leg import Leg
from latency_bench.recording import CallFailed, CallRecording
from latency_bench.target import Target
from latency_bench.utterance import WIRE_RATE_HZ
from latency_bench.webrtc_stamps import WebRtcStamps

PING_EVERY_S = 1.0
CONNECT_LIMIT_S = 15.0
NO_AUDIO_S = 15.0
DEAD_S = 10.0
"""An agent's RTCP comes every 5 s or sooner, and its replies to consent checks every 6 s."""
WATCH_EVERY_S = 0.25
HANGUP_LIMIT_S = 1.0
CLOSE_LIMIT_S = 5.0
CATCH_UP_S = 0.2
"""A caller stalled for longer goes on from now instead of sending a burst."""
CODEC = "opus/48000"


async def place_call(
    target: Target,
    talk: Callable[[int], Conversation],
    *,
    limit_s: float,
    stop: asyncio.Event | None = None,
    answer_limit_s: float = 30.0,
) -> CallRecording:
    """Calls the agent whose offers ``target`` takes, and holds the conversation.

    ``limit_s`` counts from the answer; ``stop`` ends the call early with what was recorded.
    Raises CallFailed where no call came about.
    """
    call = _Call(target, talk(WIRE_RATE_HZ), stop or asyncio.Event())
    try:
        if await call.connect(answer_limit_s):
            await call.hold(limit_s)
    finally:
        await call.close()
    return call.leg.recording("webrtc", CODEC, WIRE_RATE_HZ)


class _CallerTrack(MediaStreamTrack):
    """What the caller says: one 20 ms frame at a time, paced by the monotonic clock."""

    kind = "audio"

    def __init__(self, next_frame: Callable[[int], NDArray[np.int16]]) -> None:
        super().__init__()
        self._next_frame = next_frame
        self._pts = 0
        self._due_s: float | None = None

    async def recv(self) -> av.AudioFrame:
        if self.readyState != "live":
            raise MediaStreamError
        now_s = time.monotonic()
        if self._due_s is None or now_s - self._due_s > CATCH_UP_S:
            self._due_s = now_s
        await asyncio.sleep(max(0.0, self._due_s - now_s))
        self._due_s += FRAME_S
        pcm = self._next_frame(self._pts)
        # aiortc makes stereo of mono, 3 dB quieter than it was.
        both = np.repeat(pcm, 2).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(both, format="s16", layout="stereo")
        frame.sample_rate = WIRE_RATE_HZ
        frame.pts, frame.time_base = self._pts, Fraction(1, WIRE_RATE_HZ)
        self._pts += len(pcm)
        return frame


class _Call:
    """One call under way."""

    def __init__(self, target: Target, conversation: Conversation, stop: asyncio.Event) -> None:
        self.leg = Leg(conversation, self._on_over)
        self._target = target
        self._stop = stop
        self._stamps = WebRtcStamps(self.leg.packet, self._departed, self.leg.note, self.leg.broke)
        self._pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._channel: RTCDataChannel = self._pc.createDataChannel("events")
        self._connected = asyncio.Event()
        self._over = asyncio.Event()
        self._goodbye = asyncio.Event()
        self._lost = ""
        self._answered_s: float | None = None
        self._leg_from: int | None = None
        """The sample of the track with which the leg began."""
        self._placed = 0
        """By how much the line's samples are ahead of aiortc's."""
        self._tasks: list[asyncio.Task[None]] = []

    async def connect(self, answer_limit_s: float) -> bool:
        """Offers, takes the answer and waits until media may flow; False: stopped meanwhile."""
        sender = self._pc.addTrack(_CallerTrack(self._next_frame))
        transceiver = next(t for t in self._pc.getTransceivers() if t.sender is sender)
        # Every WebRTC agent has Opus (RFC 7874, 3), and one clock keeps the samples plain.
        codecs = RTCRtpSender.getCapabilities("audio").codecs
        transceiver.setCodecPreferences([c for c in codecs if c.mimeType == "audio/opus"])
        on_message = guarded(self.leg.broke, self._on_message)
        self._pc.on("track", self._on_track)
        self._pc.on("connectionstatechange", self._on_state)
        self._pc.on("datachannel", lambda channel: channel.on("message", on_message))
        self._channel.on("message", on_message)
        await self._pc.setLocalDescription(await self._pc.createOffer())
        self._stamps.watch(self._pc)
        url = self._target.address
        self.leg.dialled(time.monotonic())
        answer = await unless(self._stop, self._offer(answer_limit_s))
        if answer is not None:
            await self._take(answer)
            waited = first_of(CONNECT_LIMIT_S, self._connected, self._over)
            if await unless(self._stop, waited) is False:
                raise CallFailed(f"{url} answered, but could not be reached for media")
        if self._stop.is_set():
            self.leg.end("stopped", time.monotonic())
            return False
        if self._lost:
            raise CallFailed(f"{url} answered, but {self._lost}")
        self._answered_s = time.monotonic()
        self.leg.answered(self._answered_s)
        return True

    async def hold(self, limit_s: float) -> None:
        """Runs until the conversation is over, the agent is gone, ``stop`` or the limit."""
        self._start(self._ping())
        self._start(self._watch())
        if not await first_of(limit_s, self._over, self._stop):
            self.leg.end("limit", time.monotonic())
        elif self._stop.is_set():
            self.leg.end("stopped", time.monotonic())
        if self._channel.readyState == "open":
            self._channel.send(json.dumps({"type": "hangup"}))
            await first_of(HANGUP_LIMIT_S, self._goodbye)

    async def close(self) -> None:
        """Frees all; nothing of the call runs afterwards."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            await asyncio.wait_for(self._pc.close(), CLOSE_LIMIT_S)
        except TimeoutError:
            logger.warning("a call's connection did not close within {} s", CLOSE_LIMIT_S)

    async def _offer(self, limit_s: float) -> bytes:
        """Posts the offer, which holds all candidates; none are trickled."""
        local, token = self._pc.localDescription, self._target.token
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        offer = {"sdp": local.sdp, "type": local.type}
        return await post(self._target.address, limit_s=limit_s, headers=headers, body=offer)

    async def _take(self, reply: bytes) -> None:
        try:
            answer = json.loads(reply)
            sdp = answer["sdp"]
            await self._pc.setRemoteDescription(RTCSessionDescription(sdp=sdp, type=answer["type"]))
        except Exception as error:  # aiortc's parser raises whatever a stranger's SDP leads it to
            url = self._target.address
            message = f"{url} gave no usable SDP answer: {error!r}"
            codec = "codec" in str(error) or "send parameters" in str(error)
            raise CallFailed(message, "bad_codec" if codec else "unreachable") from error
        formats = re.search(r"^m=audio \d+ \S+ ([\d ]+)", sdp, re.MULTILINE)
        self._stamps.agreed(frozenset(map(int, formats[1].split())) if formats else frozenset())

    def _next_frame(self, pts: int) -> NDArray[np.int16]:
        """The next 20 ms to send, shape (960,)."""
        if self._answered_s is None or self.leg.ended:
            return np.zeros(self.leg.conversation.frame_samples, np.int16)
        if self._leg_from is None:
            self._leg_from = pts
        try:
            pcm = self.leg.next_frame(time.monotonic())
            if self.leg.keys_due():
                self.leg.note("WebRTC carries no keys: none was pressed")
        except Exception as error:  # aiortc would go on without a sender
            logger.opt(exception=error).error("a call's sound broke")
            self.leg.broke(error)
            return np.zeros(self.leg.conversation.frame_samples, np.int16)
        return pcm

    def _departed(self, pts: int, at_s: float) -> None:
        if self._leg_from is not None and pts >= self._leg_from:
            self.leg.departed(pts - self._leg_from, at_s)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.create_task(telling(self.leg.broke, work)))

    def _on_over(self) -> None:
        self._over.set()

    def _on_track(self, track: MediaStreamTrack) -> None:
        if track.kind == "audio":
            self._start(self._listen(track))

    def _on_state(self) -> None:
        match self._pc.connectionState:
            case "connected":
                self._connected.set()
            case "failed":
                self._gone("failed", "the connection failed")
            case "closed":
                self._gone("remote", "the agent closed the connection")

    def _gone(self, end: Any, why: str) -> None:
        self._lost = self._lost or why
        self._goodbye.set()
        self.leg.end(end, time.monotonic(), why)

    def _on_message(self, message: str | bytes) -> None:
        now_s = time.monotonic()
        try:
            body = read_json(message)
        except ForeignJsonError as error:
            self.leg.note(f"the agent sent a message {error}")
            return
        if not isinstance(body, dict):
            return
        self.leg.told(now_s, body)
        match body:
            case {"type": "call.ended"}:
                self._gone("remote", str(body.get("cause") or ""))
            # Pipecat's own words: SmallWebRTC's signalling, and RTVI.
            case {"type": "signalling", "message": {"type": "peerLeft"}}:
                self._gone("remote", "the agent left")
            case {"label": "rtvi-ai", "type": "bot-started-speaking"}:
                self.leg.conversation.told(True)
            case {"label": "rtvi-ai", "type": "bot-stopped-speaking"}:
                self.leg.conversation.told(False)

    async def _listen(self, track: MediaStreamTrack) -> None:
        while True:
            try:
                frame = cast(av.AudioFrame, await track.recv())
            except MediaStreamError:
                self._gone("remote", "the agent ended its sound")
                return
            pts = frame.pts or 0
            arrival = self._stamps.arrival(pts)
            if arrival is None:
                self.leg.note("a frame was stamped as it was decoded, not as it came")
                self.leg.heard(_mono(frame), time.monotonic(), pts + self._placed)
                continue
            self._placed = arrival.timestamp - pts
            self.leg.heard(_mono(frame), arrival.at_s, arrival.timestamp)

    async def _watch(self) -> None:
        """Ends a call to which nothing comes."""
        assert self._answered_s is not None
        while True:
            await asyncio.sleep(WATCH_EVERY_S)
            now_s = time.monotonic()
            if self.leg.has_audio or self._stamps.packets:
                last_s = self._stamps.last_arrival_s
                if last_s is not None and now_s - last_s > DEAD_S:
                    self._gone("failed", f"nothing came from the agent for {DEAD_S:.0f} s")
                    return
            elif now_s - self._answered_s > NO_AUDIO_S:
                self._gone("failed", f"no sound came within {NO_AUDIO_S:.0f} s")
                return

    async def _ping(self) -> None:
        while True:
            if self._channel.readyState == "open":
                self._channel.send("ping")
            await asyncio.sleep(PING_EVERY_S)


def _mono(frame: av.AudioFrame) -> NDArray[np.int16]:
    """A decoded frame (packed int16) as mono, shape (samples,)."""
    samples = frame.to_ndarray().reshape(frame.samples, -1)
    mixed: NDArray[np.int16] = np.rint(samples.mean(axis=1)).astype(np.int16)
    return mixed
