"""An agent that answers after an exactly known delay, and logs when it really did."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from fractions import Fraction
from typing import Any

import av
import numpy as np
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from numpy.typing import NDArray

RATE_HZ = 48_000
FRAME = 960
JITTER_BUFFER_S = 0.1
"""aiortc holds audio back by four packets, and a frame is heard when it is complete."""


def tone(duration_s: float, level: float = 0.3, hz: float = 440.0) -> NDArray[np.int16]:
    """A sharp-edged burst, shape (samples,): voiced from its first sample."""
    t = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    return (np.cos(2 * np.pi * hz * t) * level * 32767).astype(np.int16)


class _Voice(MediaStreamTrack):
    kind = "audio"

    def __init__(self, agent: "StandInAgent") -> None:
        super().__init__()
        self._agent = agent
        self._pts = 0
        self._start_s: float | None = None

    async def recv(self) -> av.AudioFrame:
        if self.readyState != "live":
            raise MediaStreamError
        if self._start_s is None:
            self._start_s = time.monotonic()
        due_s = self._start_s + self._pts / RATE_HZ
        await asyncio.sleep(max(0.0, due_s - time.monotonic()))
        pcm = self._agent.next_frame(time.monotonic())
        frame = av.AudioFrame.from_ndarray(pcm.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate, frame.pts = RATE_HZ, self._pts
        frame.time_base = Fraction(1, RATE_HZ)
        self._pts += FRAME
        return frame


class StandInAgent:
    """Greets, then answers each utterance ``delay_s`` after its end, which it knows.

    ``speech_s``: how long the caller's utterances are, so that it can answer sooner than
    anyone who has to hear their end. ``None`` delays: it never answers. ``mute``: it sends no
    sound at all.
    """

    def __init__(
        self,
        *,
        speech_s: float,
        delay_s: float | None,
        greeting: NDArray[np.int16] | None = None,
        answer: NDArray[np.int16] | None = None,
        hang_up_after: int | None = None,
        mute: bool = False,
    ) -> None:
        self.answer_onsets_s: list[float] = []
        """When each answer's first sample was handed to the wire, in monotonic seconds."""
        self.messages: list[str] = []
        self._speech_s = speech_s
        self._delay_s = delay_s
        self._queue = greeting if greeting is not None else np.zeros(0, np.int16)
        self._answer = tone(0.6) if answer is None else answer
        self._answer_at_s: float | None = None
        self._deaf_until_s = 0.0
        self._hang_up_after = hang_up_after
        self._mute = mute
        self._channel: Any = None
        self._tasks: list[asyncio.Task[None]] = []
        self._pc: RTCPeerConnection | None = None

    def next_frame(self, now_s: float) -> NDArray[np.int16]:
        pcm = np.zeros(FRAME, np.int16)
        at_s = self._answer_at_s
        if at_s is not None and at_s < now_s + FRAME / RATE_HZ:
            offset = max(0, round((at_s - now_s) * RATE_HZ))
            self._answer_at_s = None
            self.answer_onsets_s.append(now_s + offset / RATE_HZ)
            self._queue = np.concatenate((np.zeros(offset, np.int16), self._answer))
            self._say_turn()
        head, self._queue = self._queue[:FRAME], self._queue[FRAME:]
        pcm[: len(head)] = head
        return pcm

    def _say_turn(self) -> None:
        turn = len(self.answer_onsets_s)
        if self._channel is not None and self._channel.readyState == "open":
            body = {
                "type": "turn",
                "turn": turn,
                "heard": "what time is it",
                "answer": "it is ten",
                "interrupted": False,
                "stages_ms": {"end_of_turn": 200.0, "first_packet": 30.0},
                "total_ms": 230.0,
            }
            self._channel.send(json.dumps(body))
            if turn == self._hang_up_after:
                self._channel.send(json.dumps({"type": "call.ended", "cause": "agent"}))

    async def _listen(self, track: MediaStreamTrack) -> None:
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            now_s = time.monotonic()
            loud = np.abs(frame.to_ndarray().astype(np.int32)).max() > 1500
            if loud and now_s > self._deaf_until_s and self._delay_s is not None:
                self._deaf_until_s = now_s + self._speech_s + 0.3
                self._answer_at_s = now_s - JITTER_BUFFER_S + self._speech_s + self._delay_s

    async def answer(self, offer: dict[str, str]) -> dict[str, str]:
        self._pc = pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        pc.on("track", lambda t: self._tasks.append(asyncio.create_task(self._listen(t))))
        pc.on("datachannel", self._on_channel)
        await pc.setRemoteDescription(RTCSessionDescription(offer["sdp"], offer["type"]))
        if not self._mute:
            pc.addTrack(_Voice(self))
        await pc.setLocalDescription(await pc.createAnswer())
        local = pc.localDescription
        return {"sdp": local.sdp, "type": local.type, "pc_id": "1"}

    def _on_channel(self, channel: Any) -> None:
        self._channel = channel
        channel.on("message", self._on_message)

    def _on_message(self, message: str) -> None:
        self.messages.append(message)
        if "hangup" in message:
            self._channel.send(json.dumps({"type": "call.ended", "cause": "caller"}))

    def tell(self, body: dict[str, Any]) -> None:
        """Says something of itself."""
        self._channel.send(json.dumps(body))

    def die(self) -> None:
        """Sends nothing from now on, as a process that was killed; `close` it all the same."""
        assert self._pc is not None
        for transceiver in self._pc.getTransceivers():
            ice = transceiver.sender.transport.transport.iceGatherer._connection
            for protocol in ice._protocols:
                protocol.transport.sendto = lambda *_: None

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._pc is not None:
            await asyncio.wait_for(self._pc.close(), 5)


@asynccontextmanager
async def offer_server(agent: StandInAgent, refusal: str | None = None) -> AsyncIterator[str]:
    """Serves ``POST /api/offer`` on a free port; yields its address."""

    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        try:
            await _reply(reader, writer, agent, refusal)
        finally:
            writer.close()
            serving.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}/api/offer"
    finally:
        server.close()
        for task in tuple(serving):
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
        await server.wait_closed()
        await agent.close()


async def _reply(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    agent: StandInAgent,
    refusal: str | None,
) -> None:
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    length = next(
        int(line.split(b":")[1])
        for line in head.lower().split(b"\r\n")
        if line.startswith(b"content-length")
    )
    offer = json.loads(await asyncio.wait_for(reader.readexactly(length), 5))
    status, body = "200 OK", {}
    if refusal is None:
        body = await agent.answer(offer)
    else:
        status, body = "503 Busy", {"error": refusal}
    data = json.dumps(body).encode()
    writer.write(
        f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(data)}\r\nConnection: close\r\n\r\n".encode()
        + data
    )
    await writer.drain()
