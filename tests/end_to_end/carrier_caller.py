"""The carriers' side: signs webhooks, opens streams and speaks each one's protocol."""

import asyncio
import audioop
import base64
import hashlib
import hmac
import json
import re
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from numpy.typing import NDArray
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from telephony.loopback import Pace
from telephony.transport import frame_bytes

LIMIT_S = 60.0
VOICED_RMS = 200
PUBLIC_URL = "https://phone.example.test/box"
"""What the carriers are told; a proxy stands there and takes /box away."""
CALLER, DIALLED = "+15005550006", "+15005550001"

TELNYX_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
SECRET = "a-secret-of-these-tests"
SETTINGS = {
    "OFFHOOK_SERVER__PORT": "0",
    "OFFHOOK_CARRIERS__PUBLIC_URL": PUBLIC_URL,
    "OFFHOOK_CARRIERS__TWILIO_AUTH_TOKEN": SECRET,
    "OFFHOOK_CARRIERS__TELNYX_PUBLIC_KEY": base64.b64encode(
        TELNYX_KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    ).decode(),
    "OFFHOOK_CARRIERS__PLIVO_AUTH_TOKEN": SECRET,
    "OFFHOOK_CARRIERS__VONAGE_SIGNATURE_SECRET": SECRET,
}

Headers = dict[str, str]
CLEARED = "cleared"


class Carrier:
    """What the carriers whose messages are all JSON have in common."""

    name = ""
    rate_hz = 8000
    id_field = "CallSid"
    clear: dict[str, str] = {"event": "clear"}

    @property
    def url(self) -> str:
        return f"{PUBLIC_URL}/carriers/{self.name}/answer"

    def fields(self, call_id: str) -> dict[str, str]:
        return {self.id_field: call_id, "From": CALLER, "To": DIALLED, "Direction": "inbound"}

    def webhook(self, call_id: str) -> tuple[bytes, Headers]:
        fields = self.fields(call_id)
        body = urlencode(fields).encode()
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        return body, {**form, **self.sign(body, fields)}

    def sign(self, body: bytes, fields: dict[str, str]) -> Headers:
        raise NotImplementedError

    def stream_url(self, answer: str) -> str:
        found = re.search(r'<Connect><Stream [^>]*url="(wss://[^"]+)"', answer)
        assert found, answer
        return found[1]

    def opening(self, call_id: str) -> list[str]:
        raise NotImplementedError

    def media(self, pcm: bytes) -> str | bytes:
        payload = base64.b64encode(audioop.lin2ulaw(pcm, 2)).decode()
        return json.dumps({"event": "media", "media": {"track": "inbound", "payload": payload}})

    def key(self, key: str) -> str:
        return json.dumps({"event": "dtmf", "dtmf": {"track": "inbound_track", "digit": key}})

    def closing(self) -> list[str]:
        return [json.dumps({"event": "stop"})]

    def read(self, message: str | bytes) -> bytes | str:
        """The agent's audio as PCM16, or CLEARED."""
        said = json.loads(message)
        if said == self.clear:
            return CLEARED
        assert said["event"] == "media", said
        return audioop.ulaw2lin(base64.b64decode(said["media"]["payload"]), 2)


class Twilio(Carrier):
    name = "twilio"
    clear = {"event": "clear", "streamSid": "MZ1"}

    def sign(self, body: bytes, fields: dict[str, str]) -> Headers:
        signed = self.url + "".join(name + fields[name] for name in sorted(fields))
        digest = hmac.digest(SECRET.encode(), signed.encode(), "sha1")
        return {"X-Twilio-Signature": base64.b64encode(digest).decode()}

    def opening(self, call_id: str) -> list[str]:
        media = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
        start = {"streamSid": "MZ1", "callSid": call_id, "mediaFormat": media}
        return [
            json.dumps({"event": "connected", "protocol": "Call", "version": "1.0.0"}),
            json.dumps({"event": "start", "streamSid": "MZ1", "start": start}),
        ]


class Telnyx(Carrier):
    name = "telnyx"
    encoding = "PCMU"

    def sign(self, body: bytes, fields: dict[str, str]) -> Headers:
        now = str(int(time.time()))
        signature = TELNYX_KEY.sign(now.encode() + b"|" + body)
        return {
            "telnyx-timestamp": now,
            "telnyx-signature-ed25519": base64.b64encode(signature).decode(),
        }

    def opening(self, call_id: str) -> list[str]:
        media = {"encoding": self.encoding, "sample_rate": 8000, "channels": 1}
        start = {"call_control_id": call_id, "media_format": media}
        return [
            json.dumps({"event": "connected", "version": "1.0.0"}),
            json.dumps({"event": "start", "stream_id": "32DE0DEA", "start": start}),
        ]


class Plivo(Carrier):
    name = "plivo"
    id_field = "CallUUID"
    clear = {"event": "clearAudio", "streamId": "S1"}

    def sign(self, body: bytes, fields: dict[str, str]) -> Headers:
        signed = self.url + "?" + "".join(name + fields[name] for name in sorted(fields)) + ".77"
        digest = hmac.digest(SECRET.encode(), signed.encode(), "sha256")
        return {
            "X-Plivo-Signature-V3": base64.b64encode(digest).decode(),
            "X-Plivo-Signature-V3-Nonce": "77",
        }

    def stream_url(self, answer: str) -> str:
        found = re.search(r'<Stream bidirectional="true"[^>]*>(wss://[^<]+)</Stream>', answer)
        assert found, answer
        return found[1]

    def opening(self, call_id: str) -> list[str]:
        media = {"encoding": "audio/x-mulaw", "sampleRate": 8000}
        start = {"callId": call_id, "streamId": "S1", "mediaFormat": media}
        return [json.dumps({"sequenceNumber": 0, "event": "start", "start": start})]

    def closing(self) -> list[str]:
        return []

    def read(self, message: str | bytes) -> bytes | str:
        said = json.loads(message)
        if said.get("event") != "playAudio":
            return super().read(message)
        assert said["media"]["contentType"] == "audio/x-mulaw"
        assert said["media"]["sampleRate"] == 8000
        return audioop.ulaw2lin(base64.b64decode(said["media"]["payload"]), 2)


class Vonage(Carrier):
    name = "vonage"
    rate_hz = 16000

    def webhook(self, call_id: str) -> tuple[bytes, Headers]:
        fields = {"uuid": call_id, "from": CALLER, "to": DIALLED, "conversation_uuid": "CON-1"}
        body = json.dumps(fields).encode()
        return body, {"Content-Type": "application/json", **self.sign(body, fields)}

    def sign(self, body: bytes, fields: dict[str, str]) -> Headers:
        def part(content: bytes) -> str:
            return base64.urlsafe_b64encode(content).rstrip(b"=").decode()

        claims = {
            "iat": int(time.time()),
            "iss": "Vonage",
            "payload_hash": hashlib.sha256(body).hexdigest(),
        }
        header = part(b'{"alg":"HS256","typ":"JWT"}')
        signed = f"{header}.{part(json.dumps(claims).encode())}"
        signature = part(hmac.digest(SECRET.encode(), signed.encode(), "sha256"))
        return {"Authorization": f"Bearer {signed}.{signature}"}

    def stream_url(self, answer: str) -> str:
        (action,) = json.loads(answer)
        (endpoint,) = action["endpoint"]
        assert endpoint["content-type"] == "audio/l16;rate=16000"
        return str(endpoint["uri"])

    def opening(self, call_id: str) -> list[str]:
        said = {"event": "websocket:connected", "content-type": "audio/l16;rate=16000"}
        return [json.dumps(said)]

    def media(self, pcm: bytes) -> str | bytes:
        return pcm

    def key(self, key: str) -> str:
        return json.dumps({"event": "websocket:dtmf", "digit": key, "duration": 260})

    def closing(self) -> list[str]:
        return []

    def read(self, message: str | bytes) -> bytes | str:
        if isinstance(message, bytes):
            return message
        assert json.loads(message) == {"action": "clear"}
        return CLEARED


CARRIERS: dict[str, Carrier] = {c.name: c for c in (Twilio(), Telnyx(), Plivo(), Vonage())}


async def post(port: int, path: str, body: bytes, headers: Headers) -> tuple[int, str]:
    """Status and body of a POST that comes through the proxy at PUBLIC_URL."""
    host = urlsplit(PUBLIC_URL).netloc

    def posted() -> tuple[int, str]:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}{path}", body, {"Host": host, **headers}
        )
        try:
            with urllib.request.urlopen(request, timeout=LIMIT_S) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    return await asyncio.to_thread(posted)


async def announce(port: int, carrier: Carrier, call_id: str) -> tuple[int, str]:
    """Sends a call's webhook as the carrier does."""
    body, headers = carrier.webhook(call_id)
    return await post(port, f"/carriers/{carrier.name}/answer", body, headers)


def through_proxy(port: int, stream_url: str) -> str:
    """Where the proxy leads a stream."""
    assert stream_url.startswith(PUBLIC_URL.replace("https", "wss") + "/carriers/")
    return f"ws://127.0.0.1:{port}" + urlsplit(stream_url).path.removeprefix("/box")


class CarrierCaller:
    """One call; use as an async context manager. Silence flows whenever nothing is said."""

    def __init__(self, port: int, carrier: Carrier, call_id: str = "") -> None:
        self._port = port
        self.carrier = carrier
        self.call_id = call_id or f"call-{uuid.uuid4()}"
        self.heard: list[bytes] = []
        self.arrived_s: list[float] = []
        """When each message of audio came."""
        self.cleared = 0
        """How often the carrier was told to drop what it had not played."""
        self.voiced_at_s = 0.0
        self.closed = asyncio.Event()
        self.close_code = 0
        self.close_reason = ""
        self._to_say = asyncio.Queue[bytes]()
        self._hung_up = False
        self._silent = False
        self._tasks: list[asyncio.Task[None]] = []
        self.socket: ClientConnection

    async def __aenter__(self) -> Self:
        status, answer = await announce(self._port, self.carrier, self.call_id)
        assert status == 200, answer
        url = through_proxy(self._port, self.carrier.stream_url(answer))
        self.socket = await connect(url, open_timeout=LIMIT_S, compression=None)
        for message in self.carrier.opening(self.call_id):
            await self.socket.send(message)
        self._tasks = [asyncio.create_task(self._talk()), asyncio.create_task(self._listen())]
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self.hang_up()
            async with asyncio.timeout(LIMIT_S):
                await self.closed.wait()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self.socket.close()

    async def say(self, pcm: bytes) -> None:
        """Says ``pcm`` and returns once it was sent."""
        self._to_say.put_nowait(pcm)
        async with asyncio.timeout(LIMIT_S):
            await self._to_say.join()

    async def press(self, key: str) -> None:
        await self.socket.send(self.carrier.key(key))

    async def hang_up(self) -> None:
        """As the carrier tells it: its closing words where it has some, and the socket's end."""
        if self._hung_up or self.closed.is_set():
            return
        self._hung_up = True
        words = self.carrier.closing()
        for word in words:
            await self.socket.send(word)
        if not words:
            await self.socket.close()

    def fall_silent(self) -> None:
        """Sends nothing more, not even silence; the connection stays."""
        self._silent = True

    def vanish(self) -> None:
        """The connection breaks."""
        self._hung_up = True
        self.socket.transport.abort()

    async def until(self, fact: Callable[[], Any], limit_s: float = LIMIT_S) -> None:
        """Waits for something to become true."""
        async with asyncio.timeout(limit_s):
            while not fact():
                await asyncio.sleep(0.02)

    def audio(self) -> NDArray[np.int16]:
        """All that was heard so far."""
        return np.frombuffer(b"".join(self.heard), np.int16)

    async def _talk(self) -> None:
        pace = Pace()
        size = frame_bytes(self.carrier.rate_hz)
        try:
            while not self._hung_up and not self._silent:
                said = None if self._to_say.empty() else self._to_say.get_nowait()
                for start in range(0, len(said or bytes(size)), size):
                    frame = (said or bytes(size))[start : start + size].ljust(size, b"\0")
                    await pace.wait()
                    await self.socket.send(self.carrier.media(frame))
                if said is not None:
                    self._to_say.task_done()
        except ConnectionClosed:
            return

    async def _listen(self) -> None:
        try:
            async for message in self.socket:
                got = self.carrier.read(message)
                if isinstance(got, str):
                    self.cleared += 1
                    continue
                self.heard.append(got)
                self.arrived_s.append(time.monotonic())
                samples = np.frombuffer(got, np.int16).astype(np.float64)
                if np.sqrt(np.mean(samples**2)) > VOICED_RMS:
                    self.voiced_at_s = time.monotonic()
        except ConnectionClosed:
            pass
        self.close_code = self.socket.close_code or 0
        self.close_reason = self.socket.close_reason or ""
        self.closed.set()
