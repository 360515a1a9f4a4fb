"""A caller as Twilio Media Streams brings it: mu-law in JSON over the agent's WebSocket.

Protocol: twilio.com/docs/voice/media-streams/websocket-messages. What the agent sends is heard
when the carrier would have played it; playout.py is that buffer.
"""

import asyncio
import base64
import binascii
import json
import time
import uuid
from collections import deque
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from websockets.exceptions import ConnectionClosed

from latency_bench.conversation import FRAME_S, Conversation
from latency_bench.foreign_json import ForeignJsonError, read_json
from latency_bench.interrupt import first_of, telling, unless
from latency_bench.leg import Leg
from latency_bench.recording import CallFailed, CallRecording
from latency_bench.sip.g711 import decode, encode
from latency_bench.target import Target
from latency_bench.twilio.playout import Playout
from latency_bench.twilio.twilio_socket import MESSAGE_LIMIT_BYTES, StampedConnection, open_socket
from latency_bench.twilio.twilio_webhook import MediaStream, announce

RATE_HZ = 8000
CODEC = "PCMU/8000"
NO_AUDIO_S = 15.0
CLOSE_LIMIT_S = 2.0
CATCH_UP_S = 0.2
"""A caller stalled for longer goes on from now instead of sending a burst."""
KEY_EVERY_S = 0.2
"""From one key to the next: 100 ms of tone and as much silence."""
NORMAL_CLOSES = (1000, 1001, 1005)
"""Close codes of an agent that is done; 1005 is a close without any."""
TOO_BIG = 1009
"""Close code of this side for a message over its limit."""
TRACK = "inbound"


async def place_call(
    target: Target,
    talk: Callable[[int], Conversation],
    *,
    limit_s: float,
    stop: asyncio.Event | None = None,
    answer_limit_s: float = 30.0,
) -> CallRecording:
    """Brings a call to the agent as Twilio would, and holds the conversation.

    ``target.address``: the agent's WebSocket, or the webhook whose TwiML names it. ``limit_s``
    counts from the answer; ``stop`` ends the call early with what was recorded. Raises CallFailed
    where no call came about.
    """
    call = _Call(target, talk(RATE_HZ), stop or asyncio.Event())
    try:
        if await call.connect(answer_limit_s):
            await call.hold(limit_s)
    finally:
        await call.close()
    return call.leg.recording("twilio", CODEC, RATE_HZ)


class _Call:
    """One call under way."""

    def __init__(self, target: Target, conversation: Conversation, stop: asyncio.Event) -> None:
        self.leg = Leg(conversation, self._on_over)
        self._target = target
        self._stop = stop
        self._account_id, self._call_id = _name("AC"), _name("CA")
        self._stream_id = _name("MZ")
        self._playout = Playout(RATE_HZ)
        self._socket: StampedConnection | None = None
        self._over = asyncio.Event()
        self._refusal: str | None = None
        self._answered_s = 0.0
        self._messages = 0
        self._chunks = 0
        self._media = 0
        self._received_samples = 0
        self._sent_samples = 0
        self._keys: deque[str] = deque()
        self._next_key_s = 0.0
        self._tasks: list[asyncio.Task[None]] = []

    async def connect(self, answer_limit_s: float) -> bool:
        """Opens the stream and begins it; False: stopped meanwhile. Raises CallFailed."""
        address = self._target.address
        self.leg.dialled(time.monotonic())
        try:
            async with asyncio.timeout(answer_limit_s):
                opened = await unless(self._stop, self._open(answer_limit_s))
        except TimeoutError:
            raise CallFailed(
                f"{address} did not answer within {answer_limit_s:.0f} s", "unanswered"
            ) from None
        if opened is None:
            self.leg.end("stopped", time.monotonic())
            return False
        self._answered_s = time.monotonic()
        self.leg.answered(self._answered_s)
        return True

    async def hold(self, limit_s: float) -> None:
        """Runs until the conversation is over, the agent is gone, ``stop`` or the limit."""
        for work in (self._listen(), self._talk()):
            self._tasks.append(asyncio.create_task(telling(self.leg.broke, work)))
        left_s = limit_s
        if limit_s > NO_AUDIO_S and not await first_of(NO_AUDIO_S, self._over, self._stop):
            left_s = limit_s - NO_AUDIO_S
            if not self._media:
                why = f"no sound came within {NO_AUDIO_S:.0f} s"
                self.leg.end("failed", time.monotonic(), why)
        if not await first_of(left_s, self._over, self._stop):
            self.leg.end("limit", time.monotonic())
        elif self._stop.is_set():
            self.leg.end("stopped", time.monotonic())
        if self._refusal is not None and not self._media:
            raise CallFailed(f"{self._target.address} refused the call: {self._refusal}", "refused")

    async def close(self) -> None:
        """Frees all; nothing of the call runs afterwards."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        socket = self._socket
        if socket is None:
            return
        try:
            async with asyncio.timeout(CLOSE_LIMIT_S):
                said = {"accountSid": self._account_id, "callSid": self._call_id}
                await self._send("stop", stop=said)
                await socket.close()
        except (TimeoutError, ConnectionClosed):
            socket.transport.abort()

    async def _open(self, limit_s: float) -> bool:
        address = self._target.address
        stream = MediaStream(address)
        if urlsplit(address).scheme in ("http", "https"):
            stream = await announce(
                address, self._target.password, self._account_id, self._call_id, limit_s
            )
        self._socket = await open_socket(stream.url)
        if self._socket.stamped is None:
            self.leg.note("messages are stamped by the event loop, not at the socket")
        try:
            await self._send("connected", protocol="Call", version="1.0.0")
            await self._send("start", start=self._start(stream))
        except ConnectionClosed as error:
            raise CallFailed(f"{stream.url} refused the call: {error}", "refused") from error
        return True

    def _start(self, stream: MediaStream) -> dict[str, Any]:
        return {
            "accountSid": self._account_id,
            "callSid": self._call_id,
            "streamSid": self._stream_id,
            "tracks": [TRACK],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": RATE_HZ, "channels": 1},
            "customParameters": dict(stream.parameters),
        }

    async def _send(self, event: str, **body: Any) -> None:
        assert self._socket is not None
        message: dict[str, Any] = {"event": event, **body}
        if event != "connected":
            self._messages += 1
            message |= {"sequenceNumber": str(self._messages), "streamSid": self._stream_id}
        await self._socket.send(json.dumps(message))

    async def _talk(self) -> None:
        """Every 20 ms: what was played is heard, and a frame is sent."""
        due_s = time.monotonic()
        try:
            while not self.leg.ended:
                await asyncio.sleep(max(0.0, due_s - time.monotonic()))
                now_s = time.monotonic()
                if now_s - due_s > CATCH_UP_S:
                    due_s = now_s
                due_s += FRAME_S
                for sound in self._playout.played(now_s):
                    self.leg.heard(sound.pcm, sound.at_s, sound.pts)
                for name in self._playout.marks_due(now_s):
                    await self._send("mark", mark={"name": name})
                await self._say(now_s)
        except ConnectionClosed:
            # The listener tells why.
            return

    async def _say(self, now_s: float) -> None:
        pcm = self.leg.next_frame(now_s)
        self._keys.extend(self.leg.keys_due())
        if self._keys and now_s >= self._next_key_s:
            self._next_key_s = now_s + KEY_EVERY_S
            digit = {"track": f"{TRACK}_track", "digit": self._keys.popleft()}
            await self._send("dtmf", dtmf=digit)
        self._chunks += 1
        media = {
            "track": TRACK,
            "chunk": str(self._chunks),
            "timestamp": str(round((now_s - self._answered_s) * 1000)),
            "payload": base64.b64encode(encode(pcm)).decode(),
        }
        # A written frame is the kernel's at once, unless the agent has stopped reading.
        self.leg.departed(self._sent_samples, time.monotonic())
        self._sent_samples += len(pcm)
        await self._send("media", media=media)

    async def _listen(self) -> None:
        assert self._socket is not None
        socket = self._socket
        try:
            async for message in socket:
                self._take(message, socket.arrivals_s.popleft())
        except ConnectionClosed:
            # A close with an error; it is told apart below like any other.
            pass
        now_s, closed = time.monotonic(), socket.protocol.close_rcvd
        own = socket.protocol.close_sent
        if own is not None and own.code == TOO_BIG and not socket.protocol.close_rcvd_then_sent:
            limit = f"{MESSAGE_LIMIT_BYTES >> 10} KiB"
            self.leg.end("failed", now_s, f"the agent sent a message of over {limit}")
            return
        if closed is None:
            said = socket.close_reason or "without a word"
            self.leg.end("failed", now_s, f"the connection broke: {said}")
            return
        words = f"{closed.code} {closed.reason}".strip()
        if closed.code in NORMAL_CLOSES:
            self.leg.end("remote", now_s, f"the agent closed the connection: {words}")
            return
        self._refusal = words
        self.leg.end("failed", now_s, f"the agent closed the connection: {words}")

    def _take(self, message: str | bytes, at_s: float) -> None:
        try:
            body = read_json(message)
        except ForeignJsonError as error:
            self.leg.note(f"the agent sent a message {error}")
            return
        if not isinstance(body, dict):
            self.leg.note("the agent sent a message that is no object")
        elif "event" not in body:
            self.leg.told(at_s, body)
        elif body.get("streamSid") != self._stream_id:
            # Twilio drops it, too.
            self.leg.note("the agent sent a message without this stream's streamSid")
        else:
            self._obey(body, at_s)

    def _obey(self, body: dict[str, Any], at_s: float) -> None:
        match body:
            case {"event": "media", "media": {"payload": str(payload)}}:
                self._play(payload, at_s)
            case {"event": "mark", "mark": {"name": str(name)}}:
                if not self._playout.mark(name, at_s):
                    self.leg.note("the agent sent more marks, or longer ones, than are kept")
            case {"event": "clear"}:
                self._playout.clear(at_s)
            case _:
                self.leg.note(f"the agent sent {str(body.get('event'))[:40]!r}, which is unknown")

    def _play(self, payload: str, at_s: float) -> None:
        self.leg.packet(at_s, self._media, self._received_samples)
        self._media += 1
        try:
            sound = base64.b64decode(payload, validate=True)
        except binascii.Error:
            self.leg.note("the agent sent media that is not base64")
            return
        if not sound:
            self.leg.note("the agent sent media without sound")
        elif sound.startswith(b"RIFF"):
            self.leg.note("the agent sent a WAV header as sound")
        self._received_samples += len(sound)
        if not self._playout.media(decode(sound), at_s):
            self.leg.note("the agent sent more sound than a carrier keeps")

    def _on_over(self) -> None:
        self._over.set()


def _name(kind: str) -> str:
    """A name as Twilio gives them: two letters and 32 hexadecimal digits."""
    return kind + uuid.uuid4().hex
