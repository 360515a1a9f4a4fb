"""A caller over WebRTC, with its own clock on the wire."""

import asyncio
import json
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, cast

import av
import numpy as np
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCDataChannel,
    RTCPeerConnection,
    RTCRtpReceiver,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError
from loguru import logger
from numpy.typing import NDArray

from latency_bench.recording import (
    CallEnd,
    CallRecording,
    Event,
    Frame,
    Spoken,
    lost_frames,
    stream_of,
)
from latency_bench.script import Action, CallerScript, Pace
from latency_bench.utterance import WIRE_RATE_HZ, Utterance
from latency_bench.wire import level_dbfs

FRAME_S = 0.02
FRAME_SAMPLES = round(FRAME_S * WIRE_RATE_HZ)
PING_EVERY_S = 1.0
OFFER_LIMIT_S = 15.0
CONNECT_LIMIT_S = 15.0
HANGUP_LIMIT_S = 1.0
CLOSE_LIMIT_S = 5.0
CATCH_UP_S = 0.2
"""A caller stalled for longer goes on from now instead of sending a burst."""


class CallFailed(Exception):
    """The call could not be placed; the message says where and why."""


async def place_call(
    offer_url: str,
    script: Sequence[Utterance],
    *,
    token: str | None = None,
    limit_s: float,
    pace: Pace | None = None,
    stop: asyncio.Event | None = None,
) -> CallRecording:
    """Calls the agent at ``offer_url``, says ``script`` turn by turn and records both sides.

    Waits for the greeting, speaks, waits for the answer to end, and so on; an empty script
    stays silent until ``limit_s``. ``stop`` ends the call early with what was recorded.
    Raises CallFailed where no call came about.
    """
    call = _Call(script, CallerScript(len(script), pace), stop or asyncio.Event())
    try:
        await call.connect(offer_url, token)
        await call.talk(limit_s)
    finally:
        await call.close()
    return call.recording()


class _CallerTrack(MediaStreamTrack):
    """What the caller says: one 20 ms frame at a time, paced by the monotonic clock."""

    kind = "audio"

    def __init__(self, call: "_Call") -> None:
        super().__init__()
        self._call = call
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
        pcm = self._call.next_frame(self._pts)
        frame = av.AudioFrame.from_ndarray(pcm.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = WIRE_RATE_HZ
        frame.pts, frame.time_base = self._pts, Fraction(1, WIRE_RATE_HZ)
        self._pts += FRAME_SAMPLES
        return frame


class _Arrivals:
    """When each RTP packet came off the socket, before the jitter buffer holds it back."""

    def __init__(self, receiver: RTCRtpReceiver) -> None:
        self._at_s: dict[int, float] = {}
        self._origin: int | None = None
        handle = receiver._handle_rtp_packet

        async def handle_stamped(packet: Any, arrival_time_ms: int) -> None:
            if self._origin is None:
                self._origin = packet.timestamp
            self._at_s.setdefault((packet.timestamp - self._origin) % 2**32, time.monotonic())
            await handle(packet, arrival_time_ms)

        # aiortc tells a track's reader nothing about arrival; this is the nearest point to
        # the socket that it has.
        receiver._handle_rtp_packet = handle_stamped  # type: ignore[method-assign]

    def take(self, pts: int) -> float:
        """The arrival of the packet with this timestamp; now, where it was not seen."""
        return self._at_s.pop(pts, None) or time.monotonic()


class _Call:
    """One call under way."""

    def __init__(
        self, utterances: Sequence[Utterance], script: CallerScript, stop: asyncio.Event
    ) -> None:
        self._utterances = utterances
        self._script = script
        self._stop = stop
        self._pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._channel: RTCDataChannel = self._pc.createDataChannel("events")
        self._arrivals: _Arrivals | None = None
        self._connected = asyncio.Event()
        self._over = asyncio.Event()
        self._goodbye = asyncio.Event()
        self._end: CallEnd = "completed"
        self._connected_s = self._ended_s = time.monotonic()
        self._talking = False
        self._sent: list[Frame] = []
        self._received: list[Frame] = []
        self._received_rate_hz = WIRE_RATE_HZ
        self._pending: NDArray[np.int16] = np.zeros(0, np.int16)
        self._speaking: Spoken | None = None
        self._spoken: list[Spoken] = []
        self._events: list[Event] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def connect(self, offer_url: str, token: str | None) -> None:
        """Offers, takes the answer and waits for the media to flow."""
        sender = self._pc.addTrack(_CallerTrack(self))
        transceiver = next(t for t in self._pc.getTransceivers() if t.sender is sender)
        self._arrivals = _Arrivals(transceiver.receiver)
        self._pc.on("track", self._on_track)
        self._pc.on("connectionstatechange", self._on_state)
        self._channel.on("message", self._on_message)
        await self._pc.setLocalDescription(await self._pc.createOffer())
        local = self._pc.localDescription
        offer = {"sdp": local.sdp, "type": local.type}
        answer = await asyncio.wait_for(
            asyncio.to_thread(_post_offer, offer_url, offer, token), OFFER_LIMIT_S + 5
        )
        try:
            await self._pc.setRemoteDescription(
                RTCSessionDescription(sdp=answer["sdp"], type=answer["type"])
            )
        except (KeyError, ValueError, TypeError) as error:
            raise CallFailed(f"{offer_url} gave no usable SDP answer: {error!r}") from error
        await self._until_connected(offer_url)

    async def _until_connected(self, offer_url: str) -> None:
        if not await _first_of(CONNECT_LIMIT_S, self._connected, self._over, self._stop):
            raise CallFailed(f"{offer_url} answered, but no media came within {CONNECT_LIMIT_S} s")
        if self._over.is_set():
            raise CallFailed(f"{offer_url} answered, but the connection {self._end}")
        self._connected_s = time.monotonic()
        self._talking = True

    async def talk(self, limit_s: float) -> None:
        """Runs until the script is done, the agent is gone, ``stop`` or the limit."""
        self._tasks.append(asyncio.create_task(self._ping()))
        if not await _first_of(limit_s, self._over, self._stop):
            self._finish("limit")
        elif self._stop.is_set():
            self._finish("stopped")
        self._talking = False
        if self._channel.readyState == "open":
            self._channel.send(json.dumps({"type": "hangup"}))
            await _first_of(HANGUP_LIMIT_S, self._goodbye)

    async def close(self) -> None:
        """Frees all; nothing of the call runs afterwards."""
        self._talking = False
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.wait_for(self._pc.close(), CLOSE_LIMIT_S)

    def recording(self) -> CallRecording:
        """What was recorded."""
        return CallRecording(
            sent=stream_of(self._sent, WIRE_RATE_HZ),
            received=stream_of(self._received, self._received_rate_hz),
            spoken=tuple(self._spoken),
            missed=tuple(self._script.missed),
            events=tuple(self._events),
            connected_s=self._connected_s,
            ended_s=self._ended_s,
            end=self._end,
            lost_frames=lost_frames(self._received),
        )

    def next_frame(self, pts: int) -> NDArray[np.int16]:
        """The next 20 ms to send, shape (960,), stamped as handed over now."""
        now_s = time.monotonic()
        if self._talking:
            self._act(self._script.step(now_s), pts)
        pcm = np.zeros(FRAME_SAMPLES, np.int16)
        head, self._pending = self._pending[:FRAME_SAMPLES], self._pending[FRAME_SAMPLES:]
        pcm[: len(head)] = head
        self._sent.append(Frame(pcm, now_s, pts))
        if self._speaking and self._speaking.last_voiced < pts + FRAME_SAMPLES:
            self._spoken.append(self._speaking)
            self._speaking = None
            self._script.spoken(now_s)
        return pcm

    def _act(self, action: Action | None, pts: int) -> None:
        match action:
            case Action.SPEAK:
                turn = self._script.turn
                self._speaking = Spoken(turn, self._utterances[turn], first_sample=pts)
                self._pending = self._utterances[turn].pcm
            case Action.HANG_UP:
                self._finish("completed")

    def _finish(self, end: CallEnd) -> None:
        if not self._over.is_set():
            self._end, self._ended_s = end, time.monotonic()
            self._over.set()

    def _on_track(self, track: MediaStreamTrack) -> None:
        if track.kind == "audio":
            self._tasks.append(asyncio.create_task(self._listen(track)))

    def _on_state(self) -> None:
        match self._pc.connectionState:
            case "connected":
                self._connected.set()
            case "failed" | "closed":
                self._goodbye.set()
                self._finish("failed")

    def _on_message(self, message: str | bytes) -> None:
        try:
            body = json.loads(message)
        except ValueError:
            logger.warning("the agent sent a message that is not JSON: {!r}", message[:200])
            return
        if not isinstance(body, dict):
            return
        self._events.append(Event(time.monotonic(), body))
        match body:
            case {"type": "call.ended"}:
                self._goodbye.set()
                self._finish("remote")
            case {"type": "speaking", "who": "agent", "on": bool(on)}:
                self._script.told(on)

    async def _listen(self, track: MediaStreamTrack) -> None:
        assert self._arrivals is not None
        while True:
            try:
                frame = cast(av.AudioFrame, await track.recv())
            except MediaStreamError:
                self._finish("remote")
                return
            pts = frame.pts or 0
            at_s = self._arrivals.take(pts)
            pcm = _mono(frame)
            self._received_rate_hz = frame.sample_rate
            self._received.append(Frame(pcm, at_s, pts))
            self._script.hear(level_dbfs(pcm), at_s)

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


async def _first_of(limit_s: float, *events: asyncio.Event) -> bool:
    """Waits for any of ``events``; False where none came within the limit."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        done, _ = await asyncio.wait(waits, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        return bool(done)
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)


def _post_offer(url: str, offer: dict[str, str], token: str | None) -> dict[str, Any]:
    """Posts the offer and returns the answer. Raises CallFailed."""
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    try:
        request = urllib.request.Request(url, json.dumps(offer).encode(), headers)
        with urllib.request.urlopen(request, timeout=OFFER_LIMIT_S) as response:
            answer = json.loads(response.read(1 << 20))
    except urllib.error.HTTPError as error:
        with error:
            raise CallFailed(f"{url} refused the call: {_refusal(error)}") from error
    except (OSError, ValueError) as error:
        raise CallFailed(f"{url} cannot be called: {error}") from error
    if not isinstance(answer, dict):
        raise CallFailed(f"{url} gave no SDP answer")
    return answer


def _refusal(error: urllib.error.HTTPError) -> str:
    body = error.read(4096)
    try:
        reason = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        reason = body.decode(errors="replace").strip()[:200]
    return f"{error.code} {reason or error.reason}"
