"""A carrier's WebSocket as a line of ours: Pipecat's serializers between it and PCM."""

import asyncio
import logging
import time
from collections.abc import Awaitable
from types import SimpleNamespace
from typing import cast

from fastapi import WebSocket, WebSocketDisconnect
from pipecat.frames.frames import (
    EndFrame,
    InputAudioRawFrame,
    InputDTMFFrame,
    InterruptionFrame,
    OutputAudioRawFrame,
)
from pipecat.processors.frame_processor import FrameProcessorSetup
from pipecat.serializers.base_serializer import FrameSerializer

from agent.web.carrier_messages import BadStream, Flow, read_event
from telephony.transport import FRAME_S, Digit, HangupCause, LineControl, LineEvent, frame_bytes

log = logging.getLogger(__name__)

LEAD_S = 0.1
"""How far ahead of the clock audio is sent: the carrier's reserve against a late packet."""
KEPT_FRAMES = 10
"""Of those sent, more than ``LEAD_S`` holds."""
WRITE_LIMIT_S = 5.0
HANG_UP_LIMIT_S = 5.0
CLOSE_LIMIT_S = 2.0

NORMAL = 1000
"""Close codes of RFC 6455, 7.4.1."""
GOING_AWAY = 1001
NO_STATUS = 1005
ABNORMAL = 1006
BAD_PAYLOAD = 1007
POLICY = 1008
RESTARTING = 1012
TRY_AGAIN_LATER = 1013


class Lead:
    """Paces frames of 20 ms so that ``LEAD_S`` of them are with the far end. Pure."""

    def __init__(self) -> None:
        self._played_s = 0.0
        """When all that was sent will have been heard."""

    def take(self, now_s: float) -> float:
        """Counts one more frame; returns how long it must still wait."""
        self._played_s = max(self._played_s, now_s)
        wait_s = max(0.0, self._played_s - LEAD_S - now_s)
        self._played_s += FRAME_S
        return wait_s

    def left_s(self, now_s: float) -> float:
        """How much of what was sent is yet to be heard."""
        return max(0.0, self._played_s - now_s)

    def drop(self) -> None:
        """What was sent will not be heard."""
        self._played_s = 0.0


class CarrierLine:
    """One call's stream, from its start message on.

    Not Pipecat's own WebSocket transport: that one sends at twice the speed of speech, so that
    a barge-in would find words counted as heard which were not.
    """

    control: LineControl | None = None
    cause = HangupCause.CALLER_HUNG_UP

    def __init__(
        self,
        socket: WebSocket,
        serializer: FrameSerializer,
        *,
        door: str,
        caller: str,
        dialled: str,
        sample_rate_hz: int,
        binary: bool,
    ) -> None:
        self.door = door
        self.caller = caller
        self.dialled = dialled
        self.sample_rate_hz = sample_rate_hz
        self.over = asyncio.Event()
        """Set once the socket is done with."""
        self._socket = socket
        self._serializer = serializer
        self._binary = binary
        self._heard = bytearray()
        self._flow = Flow(time.monotonic())
        self._lead = Lead()
        self._sent: list[bytes] = []
        """The last frames that were sent."""
        self._bytes_in = self._bytes_out = 0
        self._far_end_left = False
        self._closed = False
        self._hanging_up = False
        self._clearing: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Readies the serializer, which asks a pipeline for nothing but its rate."""
        pipeline = SimpleNamespace(audio_in_sample_rate=self.sample_rate_hz)
        await self._serializer.setup(cast(FrameProcessorSetup, pipeline))

    async def receive(self) -> bytes | LineEvent | None:
        """The caller's next 20 ms or key; None once the call is over."""
        size = frame_bytes(self.sample_rate_hz)
        while len(self._heard) < size:
            if self._far_end_left or self._hanging_up:
                return None
            try:
                got = await self._next()
            except BadStream as error:
                await self._refuse(error)
                return None
            if isinstance(got, Digit):
                return got
            self._heard += got
        frame = bytes(self._heard[:size])
        del self._heard[:size]
        return frame

    async def send(self, pcm: bytes) -> None:
        """Sends 20 ms; returns when the next may follow."""
        if self._far_end_left or self._hanging_up:
            await asyncio.sleep(FRAME_S)
            return
        await asyncio.sleep(self._lead.take(time.monotonic()))
        self._sent = [*self._sent[1 - KEPT_FRAMES :], pcm]
        message = await self._serializer.serialize(OutputAudioRawFrame(pcm, self.sample_rate_hz, 1))
        self._bytes_out += _size(message)
        await self._write(message)

    @property
    def ahead_s(self) -> float:
        """Seconds of what was sent that the carrier has yet to play."""
        return self._lead.left_s(time.monotonic())

    @property
    def carried_bytes(self) -> tuple[int, int]:
        """The messages that held sound, whole: what they wrap it in is how they carry it."""
        return self._bytes_in, self._bytes_out

    def flush(self) -> bytes:
        """Makes the carrier drop what it has not played yet, and gives it."""
        if self._far_end_left or self._hanging_up:
            return b""
        waiting = round(self.ahead_s / FRAME_S)
        taken = b"".join(self._sent[-waiting:]) if waiting else b""
        self._sent.clear()
        self._lead.drop()
        clearing = asyncio.create_task(self._clear(), name=f"{self.door}-clear")
        self._clearing.add(clearing)
        clearing.add_done_callback(self._clearing.discard)
        return taken

    async def hang_up(self) -> None:
        """Ends the call at the carrier, once what was sent has been heard."""
        if self._hanging_up:
            await self.over.wait()
            return
        self._hanging_up = True
        try:
            if not self._far_end_left:
                await asyncio.sleep(self._lead.left_s(time.monotonic()))
                # With the carrier's API key the serializer ends the call itself, too.
                await self._within(HANG_UP_LIMIT_S, self._serializer.serialize(EndFrame()))
                await self._close(NORMAL)
        finally:
            for clearing in self._clearing:
                clearing.cancel()
            self.over.set()

    async def _next(self) -> bytes | Digit:
        """What the next message brings: audio, a key, or nothing. Raises BadStream."""
        event = await self._socket.receive()
        now_s = time.monotonic()
        if event["type"] == "websocket.disconnect":
            self._left(int(event.get("code", ABNORMAL)), event.get("reason") is not None)
            return b""
        self._flow.message(now_s)
        said = read_event(event, self._binary)
        if isinstance(said, dict) and said.get("event") == "stop":
            await self._stopped()
            return b""
        frame = await self._serializer.deserialize(
            said if isinstance(said, bytes) else event["text"]
        )
        if isinstance(frame, InputDTMFFrame):
            return Digit(frame.button.value)
        if isinstance(frame, InputAudioRawFrame):
            self._bytes_in += _size(said if isinstance(said, bytes) else event["text"])
            self._flow.audio(len(frame.audio) / 2 / self.sample_rate_hz, now_s)
            return frame.audio
        return b""

    async def _stopped(self) -> None:
        """The carrier said that the call is over; it waits for the socket to close."""
        self._far_end_left = True
        await self._close(NORMAL)

    def _left(self, code: int, said_why: bool) -> None:
        """The socket is closed. One that breaks is told from one that is closed by its reason."""
        self._far_end_left = self._closed = True
        if code in (NORMAL, GOING_AWAY, NO_STATUS) and said_why:
            return
        broken = code in (GOING_AWAY, NO_STATUS, ABNORMAL, RESTARTING)
        self.cause = HangupCause.CALLER_VANISHED if broken else HangupCause.FAILED
        log.warning("a stream from %s broke off (%d)", self.door, code)

    async def _refuse(self, error: BadStream) -> None:
        """Ends a stream that cannot be understood; other calls go on."""
        log.warning("a stream from %s was closed: %s", self.door, error)
        self._far_end_left = True
        self.cause = HangupCause.FAILED
        await self._close(BAD_PAYLOAD, str(error))

    async def _close(self, code: int, reason: str = "") -> None:
        """Closes the socket, once."""
        if not self._closed:
            self._closed = True
            await self._within(CLOSE_LIMIT_S, self._socket.close(code, reason))

    async def _clear(self) -> None:
        await self._write(await self._serializer.serialize(InterruptionFrame()))

    async def _write(self, message: str | bytes | None) -> None:
        if message is None or self._far_end_left or self._hanging_up:
            return
        sending = (
            self._socket.send_bytes(message)
            if isinstance(message, bytes)
            else self._socket.send_text(message)
        )
        try:
            async with asyncio.timeout(WRITE_LIMIT_S):
                await sending
        except TimeoutError:
            await self._refuse(BadStream("the audio sent is not read"))
        except WebSocketDisconnect:
            log.debug("a stream from %s is gone; its reader will tell", self.door)

    async def _within(self, limit_s: float, work: Awaitable[object]) -> None:
        try:
            async with asyncio.timeout(limit_s):
                await work
        except TimeoutError:
            log.warning("a call from %s was not ended within %.0f s", self.door, limit_s)
        except WebSocketDisconnect:
            log.debug("a stream from %s was closed already", self.door)


def _size(message: str | bytes | None) -> int:
    """Bytes of a message; what carriers send as text is ASCII."""
    return len(message) if message is not None else 0
