"""A box without a pipeline: serves the page, takes a real WebRTC call, says what a test tells it.

The call itself (ICE, DTLS, SRTP, the data channel) is real, through aiortc; the events are the
test's, and the agent's voice is a tone.
"""

import asyncio
import fractions
import json
from pathlib import Path
from typing import Any

import numpy as np
from aiohttp import web
from aiortc import MediaStreamTrack, RTCDataChannel, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame

STATIC = Path(__file__).resolve().parents[2] / "agent" / "web" / "static"
CONTENT_SECURITY_POLICY = "default-src 'self'; media-src 'self' blob:; connect-src 'self'"
STATUS = {
    "agent": "Robin",
    "models": {"stt": "whisper-tiny.en", "llm": "smollm2-135m-instruct", "tts": "joe-medium"},
    "devices": {"stt": "cpu", "llm": "cpu", "tts": "cpu"},
    "active_calls": 0,
    "max_calls": 3,
    "version": "0.1.0",
}
LIMIT_S = 15
RATE_HZ = 48_000
FRAME_SAMPLES = 960


class Tone(MediaStreamTrack):
    """440 Hz in 20 ms frames, paced by the clock."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._at = 0
        self._start_s: float | None = None

    async def recv(self) -> AudioFrame:
        now_s = asyncio.get_running_loop().time()
        self._start_s = now_s if self._start_s is None else self._start_s
        await asyncio.sleep(max(0.0, self._start_s + self._at / RATE_HZ - now_s))
        phase = 2 * np.pi * 440 * (self._at + np.arange(FRAME_SAMPLES)) / RATE_HZ
        samples = (8000 * np.sin(phase)).astype(np.int16).reshape(1, -1)
        frame = AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate = RATE_HZ
        frame.pts = self._at
        frame.time_base = fractions.Fraction(1, RATE_HZ)
        self._at += FRAME_SAMPLES
        return frame


class StandInBox:
    """Takes one call at a time."""

    def __init__(self) -> None:
        self.url = ""
        self.token: str | None = None
        """What the box asks for; None where it is open."""
        self.refuses: tuple[int, str] | None = None
        """HTTP status and error of every offer."""
        self.answers_offers = asyncio.Event()
        """Cleared: an offer waits, as at a slow box."""
        self.answers_offers.set()
        self.offers: list[dict[str, Any]] = []
        self.messages: asyncio.Queue[str] = asyncio.Queue()
        """What the page sent over the data channel."""
        self.caller_peak = 0
        """The loudest sample that the caller's microphone sent, of 32768."""
        self._peers: list[RTCPeerConnection] = []
        self._channel: asyncio.Future[RTCDataChannel] = asyncio.Future()
        self._listening: list[asyncio.Task[None]] = []
        self._runner: web.AppRunner | None = None

    # -- life

    async def start(self) -> None:
        app = web.Application(middlewares=[self._secured])
        app.router.add_get("/", self._index)
        app.router.add_get("/api/status", self._status)
        app.router.add_post("/api/offer", self._offer)
        app.router.add_static("/", STATIC)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{port}/"

    async def stop(self) -> None:
        await self.drop()
        for task in self._listening:
            # The track of a call that never connected does not end by itself.
            task.cancel()
        await asyncio.gather(*self._listening, return_exceptions=True)
        if self._runner is not None:
            await asyncio.wait_for(self._runner.cleanup(), LIMIT_S)
            self._runner = None

    # -- what a test does with it

    async def tell(self, *events: dict[str, Any]) -> None:
        """Sends events to the page, once its data channel is open."""
        channel = await asyncio.wait_for(asyncio.shield(self._channel), LIMIT_S)
        for event in events:
            channel.send(json.dumps(event))

    async def begin(self, call_id: str = "c0ffee123456") -> None:
        """The first event of every call."""
        about = {key: STATUS[key] for key in ("agent", "models", "devices")}
        await self.tell({"type": "call.started", "call_id": call_id, **about})

    async def next_message(self) -> str:
        return await asyncio.wait_for(self.messages.get(), LIMIT_S)

    async def drop(self) -> None:
        """Closes every connection without a word."""
        for peer in self._peers:
            await asyncio.wait_for(peer.close(), LIMIT_S)

    # -- HTTP

    @web.middleware
    async def _secured(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if request.path.startswith("/api/") and self.token is not None:
            if request.headers.get("Authorization") != f"Bearer {self.token}":
                return web.json_response({"error": "give the box's token"}, status=401)
        response: web.StreamResponse = await handler(request)
        response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
        return response

    async def _index(self, request: web.Request) -> web.FileResponse:
        return web.FileResponse(STATIC / "index.html")

    async def _status(self, request: web.Request) -> web.Response:
        return web.json_response(STATUS)

    async def _offer(self, request: web.Request) -> web.Response:
        offer = await request.json()
        self.offers.append(offer)
        await asyncio.wait_for(self.answers_offers.wait(), LIMIT_S)
        if self.refuses is not None:
            status, error = self.refuses
            return web.json_response({"error": error}, status=status)
        peer = RTCPeerConnection()
        self._peers.append(peer)
        self._channel = asyncio.get_running_loop().create_future()
        peer.on("datachannel", self._opened)
        peer.on("track", lambda track: self._listening.append(self._listen(track)))
        await peer.setRemoteDescription(RTCSessionDescription(offer["sdp"], offer["type"]))
        peer.addTrack(Tone())
        await peer.setLocalDescription(await peer.createAnswer())
        local = peer.localDescription
        return web.json_response({"sdp": local.sdp, "type": local.type, "pc_id": "stand-in"})

    # -- the call

    def _opened(self, channel: RTCDataChannel) -> None:
        assert channel.label == "events"
        channel.on("message", self.messages.put_nowait)
        self._channel.set_result(channel)

    def _listen(self, track: MediaStreamTrack) -> asyncio.Task[None]:
        async def listen() -> None:
            while True:
                try:
                    frame = await track.recv()
                except MediaStreamError:
                    return
                peak = int(np.abs(frame.to_ndarray().astype(np.int32)).max())
                self.caller_peak = max(self.caller_peak, peak)

        return asyncio.create_task(listen())
