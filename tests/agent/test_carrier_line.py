"""A carrier's line over a socket of the test's own."""

import asyncio
import base64
import json
import logging
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pipecat.serializers.plivo import PlivoFrameSerializer
from pipecat.serializers.twilio import TwilioFrameSerializer

from agent.web import carrier_line
from agent.web.carrier_line import LEAD_S, CarrierLine, Lead
from telephony.transport import FRAME_S, CountsBytes, Digit, HangupCause

LIMIT_S = 10.0
FRAME = (1000 * np.ones(160, np.int16)).tobytes()


class Socket:
    """Brings what the test puts in, and keeps what was sent."""

    def __init__(self) -> None:
        self.incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.sent: list[dict[str, Any]] = []
        self.closed: tuple[int, str] | None = None
        self.writable = asyncio.Event()
        self.writable.set()

    async def receive(self) -> dict[str, Any]:
        return await self.incoming.get()

    async def send_text(self, text: str) -> None:
        assert self.closed is None
        await self.writable.wait()
        self.sent.append(json.loads(text))

    async def close(self, code: int, reason: str = "") -> None:
        assert self.closed is None
        self.closed = code, reason

    def say(self, **message: object) -> None:
        self.incoming.put_nowait({"type": "websocket.receive", "text": json.dumps(message)})

    def media(self, samples: int) -> None:
        payload = base64.b64encode(b"\xff" * samples).decode()
        self.say(event="media", media={"payload": payload})


async def open_line(socket: Socket, serializer: Any = None) -> CarrierLine:
    params = TwilioFrameSerializer.InputParams(sample_rate=8000, auto_hang_up=False)
    line = CarrierLine(
        socket,  # type: ignore[arg-type]
        serializer or TwilioFrameSerializer("MZ1", params=params),
        door="twilio",
        caller="",
        dialled="",
        sample_rate_hz=8000,
        binary=False,
    )
    await line.open()
    return line


async def test_audio_of_any_length_becomes_frames_of_20_ms() -> None:
    socket = Socket()
    line = await open_line(socket)
    for samples in (100, 100, 400, 40):
        socket.media(samples)
    async with asyncio.timeout(LIMIT_S):
        frames = [await line.receive() for _ in range(4)]
    assert frames == [bytes(320)] * 4


async def test_what_was_heard_before_the_end_is_not_lost() -> None:
    socket = Socket()
    line = await open_line(socket)
    socket.media(480)
    socket.say(event="dtmf", dtmf={"digit": "#"})
    socket.say(event="stop")
    async with asyncio.timeout(LIMIT_S):
        got = [await line.receive() for _ in range(5)]
    assert got == [bytes(320)] * 3 + [Digit("#"), None]
    assert line.cause == HangupCause.CALLER_HUNG_UP
    assert socket.closed == (1000, "")
    assert await line.receive() is None


@pytest.mark.parametrize(
    ("end", "cause"),
    [
        ({"code": 1000, "reason": ""}, HangupCause.CALLER_HUNG_UP),
        ({"code": 1001, "reason": "bye"}, HangupCause.CALLER_HUNG_UP),
        ({"code": 1005, "reason": ""}, HangupCause.CALLER_HUNG_UP),
        ({"code": 1005}, HangupCause.CALLER_VANISHED),
        ({"code": 1006}, HangupCause.CALLER_VANISHED),
        ({"code": 1012}, HangupCause.CALLER_VANISHED),
        ({}, HangupCause.CALLER_VANISHED),
        ({"code": 1009, "reason": "too big"}, HangupCause.FAILED),
        ({"code": 1011, "reason": ""}, HangupCause.FAILED),
    ],
)
async def test_why_a_socket_closed(end: dict[str, Any], cause: HangupCause) -> None:
    socket = Socket()
    line = await open_line(socket)
    socket.incoming.put_nowait({"type": "websocket.disconnect", **end})
    assert await asyncio.wait_for(line.receive(), LIMIT_S) is None
    assert line.cause == cause
    await asyncio.wait_for(line.hang_up(), LIMIT_S)
    assert line.over.is_set()
    assert socket.closed is None


async def test_hanging_up_is_said_once() -> None:
    socket = Socket()
    line = await open_line(socket)
    await line.send(FRAME)
    async with asyncio.timeout(LIMIT_S):
        await asyncio.gather(line.hang_up(), line.hang_up())
        await line.hang_up()
        await line.send(FRAME)
    line.flush()
    assert socket.closed == (1000, "")
    assert [message["event"] for message in socket.sent] == ["media"]
    assert await line.receive() is None


async def test_a_far_end_that_does_not_read_is_let_go(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(carrier_line, "WRITE_LIMIT_S", 0.05)
    socket = Socket()
    line = await open_line(socket)
    socket.writable.clear()
    with caplog.at_level(logging.WARNING):
        await asyncio.wait_for(line.send(FRAME), LIMIT_S)
    assert socket.closed == (1007, "the audio sent is not read")
    assert "the audio sent is not read" in caplog.text
    assert line.cause == HangupCause.FAILED
    assert await asyncio.wait_for(line.receive(), LIMIT_S) is None


async def test_the_api_ends_the_call_where_there_is_a_key_and_the_caller_did_not() -> None:
    for caller_left in (False, True):
        asked: list[str] = []

        class Plivo(PlivoFrameSerializer):
            async def _hang_up_call(self, asked: list[str] = asked) -> None:
                asked.append(str(self._call_id))

        params = PlivoFrameSerializer.InputParams(sample_rate=8000)
        socket = Socket()
        line = await open_line(
            socket, Plivo("S1", call_id="C1", auth_id="A", auth_token="T", params=params)
        )
        if caller_left:
            socket.say(event="stop")
            assert await asyncio.wait_for(line.receive(), LIMIT_S) is None
        await asyncio.wait_for(line.hang_up(), LIMIT_S)
        assert asked == ([] if caller_left else ["C1"])
        assert socket.closed == (1000, "")


def test_frames_are_sent_a_little_ahead_of_the_clock() -> None:
    lead = Lead()
    waits = [lead.take(0.0) for _ in range(8)]
    at_once = round(LEAD_S / FRAME_S) + 1
    assert waits[:at_once] == [0.0] * at_once
    assert waits[at_once:] == pytest.approx([FRAME_S * n for n in range(1, 8 - at_once + 1)])
    assert lead.left_s(0.0) == pytest.approx(8 * FRAME_S)
    assert lead.left_s(10.0) == 0.0


def test_after_a_pause_the_lead_begins_anew() -> None:
    lead = Lead()
    for _ in range(20):
        lead.take(0.0)
    assert lead.take(100.0) == 0.0
    assert lead.left_s(100.0) == pytest.approx(FRAME_S)


def test_what_was_dropped_is_not_waited_for() -> None:
    lead = Lead()
    for _ in range(20):
        lead.take(0.0)
    lead.drop()
    assert lead.left_s(0.0) == 0.0
    assert lead.take(0.0) == 0.0


async def test_what_is_taken_back_is_what_the_carrier_has_yet_to_play(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now_s = 100.0
    monkeypatch.setattr(carrier_line, "time", SimpleNamespace(monotonic=lambda: now_s))
    socket = Socket()
    line = await open_line(socket)
    frames = [np.full(160, 100 * number, np.int16).tobytes() for number in range(1, 5)]
    async with asyncio.timeout(LIMIT_S):
        for frame in frames:
            await line.send(frame)
        now_s += FRAME_S
        assert line.flush() == b"".join(frames[1:])
        assert line.flush() == b""
        while socket.sent[-1]["event"] != "clear":
            await asyncio.sleep(0)


async def test_messages_with_sound_are_counted_whole() -> None:
    socket = Socket()
    line = await open_line(socket)
    assert isinstance(line, CountsBytes)
    socket.media(160)
    socket.say(event="mark", mark={"name": "n"})
    socket.media(160)
    payload = base64.b64encode(b"\xff" * 160).decode()
    message = json.dumps({"event": "media", "media": {"payload": payload}})
    async with asyncio.timeout(LIMIT_S):
        await line.receive()
        await line.receive()
        await line.send(FRAME)
    received, sent = line.carried_bytes
    assert received == 2 * len(message)
    assert sent >= len(payload)
