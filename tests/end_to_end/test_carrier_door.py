"""The carriers' door over real HTTP and WebSockets, before a box without models."""

import asyncio
import base64
import contextlib
import json
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from carrier_caller import (
    CALLER,
    CARRIERS,
    DIALLED,
    LIMIT_S,
    SETTINGS,
    Carrier,
    CarrierCaller,
    announce,
    post,
    through_proxy,
)
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from agent.admission import BoxFull, OverBudget
from agent.call import Origin
from agent.call_watch import CallWatcher
from agent.capacity import places_of
from agent.config import Config, load_config
from agent.web import carriers
from agent.web.server import WebServer
from models.tts.base import AudioChunk
from telephony.transport import Digit, HangupCause, Line

ALL = pytest.mark.parametrize("carrier", CARRIERS.values(), ids=CARRIERS)
TWILIO = CARRIERS["twilio"]


class EchoBox:
    """Says back what it hears. The key # makes it flush, and the key 0 hang up."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.places = places_of(config)
        self.waiting_room = SimpleNamespace(places=0, waiting=0)
        self.watchers: list[CallWatcher] = []
        self.refusals: Counter[str] = Counter()
        self.over: OverBudget | None = None
        """Why nobody is let in."""
        tone = AudioChunk((8000 * np.sin(np.arange(24000) / 5)).astype(np.int16), 0.0)
        tts = SimpleNamespace(sample_rate_hz=16000)
        self.engines = SimpleNamespace(phrases={"Later.": (tone,)}, tts=tts)
        self.lines: list[Line] = []
        self.origins: list[Origin] = []
        self.keys: list[str] = []
        self.causes: list[HangupCause] = []
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def active_calls(self) -> int:
        return len(self.lines) - len(self.causes)

    def judged(self, door: str, caller: str, origin: Origin) -> Origin:
        if self.over is not None:
            raise self.over
        return origin

    async def take(self, line: Line, origin: Origin) -> None:
        self.judged(line.door, line.caller, origin)
        if self.active_calls >= self.places.calls:
            raise BoxFull("all places are taken")
        self.lines.append(line)
        self.origins.append(origin)
        self._tasks.append(asyncio.create_task(self._echo(line)))

    async def _echo(self, line: Line) -> None:
        cause = HangupCause.AGENT_HUNG_UP
        heard: asyncio.Queue[bytes] = asyncio.Queue()
        speaking = asyncio.create_task(self._speak(line, heard))
        while (got := await line.receive()) is not None:
            if isinstance(got, bytes):
                heard.put_nowait(got)
            elif isinstance(got, Digit):
                self.keys.append(got.key)
                if got.key == "#":
                    line.flush()
                if got.key == "0":
                    break
        else:
            cause = line.cause
        await line.hang_up()
        speaking.cancel()
        await asyncio.gather(speaking, return_exceptions=True)
        self.causes.append(cause)

    async def _speak(self, line: Line, heard: "asyncio.Queue[bytes]") -> None:
        while True:
            await line.send(await heard.get())

    async def close(self) -> None:
        for line in self.lines:
            await line.hang_up()
        await asyncio.wait_for(asyncio.gather(*self._tasks), LIMIT_S)


class Door:
    """The box and where it listens."""

    def __init__(self, box: EchoBox, port: int) -> None:
        self.box = box
        self.port = port

    async def ended(self, number: int = 1) -> HangupCause:
        """Why the call that ended as ``number`` did."""
        async with asyncio.timeout(LIMIT_S):
            while len(self.box.causes) < number:
                await asyncio.sleep(0.01)
        return self.box.causes[number - 1]

    async def stream(self, carrier: Carrier, call_id: str = "call-1") -> ClientConnection:
        """An open socket on which nothing was said yet."""
        status, answer = await announce(self.port, carrier, call_id)
        assert status == 200, answer
        return await connect(through_proxy(self.port, carrier.stream_url(answer)))

    async def call(self, carrier: Carrier, call_id: str = "call-1") -> ClientConnection:
        """A stream that has begun, on which nothing was heard yet."""
        socket = await self.stream(carrier, call_id)
        before = len(self.box.lines)
        for message in carrier.opening(call_id):
            await socket.send(message)
        async with asyncio.timeout(LIMIT_S):
            while len(self.box.lines) == before:
                await asyncio.sleep(0.01)
        return socket


@contextlib.asynccontextmanager
async def open_door(**settings: str) -> AsyncIterator[Door]:
    config = load_config(None, {**SETTINGS, **settings})
    box = EchoBox(config)
    async with WebServer(config.server) as server:
        await server.start(box)  # type: ignore[arg-type]
        try:
            yield Door(box, server.port)
        finally:
            await box.close()


async def closed(socket: ClientConnection) -> tuple[int | None, str | None]:
    """How the box ends a stream that the test holds open."""
    async with asyncio.timeout(LIMIT_S):
        with contextlib.suppress(ConnectionClosed):
            while True:
                await socket.recv()
    return socket.close_code, socket.close_reason


@ALL
async def test_a_call_carries_audio_keys_and_names_both_ways(carrier: Carrier) -> None:
    tone = 8000 * np.sin(2 * np.pi * 440 * np.arange(carrier.rate_hz) / carrier.rate_hz)
    async with open_door() as door:
        async with CarrierCaller(door.port, carrier) as caller:
            await caller.press("5")
            await caller.press("*")
            await caller.say(tone.astype(np.int16).tobytes())
            await caller.until(lambda: len(caller.audio()) >= 1.2 * carrier.rate_hz)
            await caller.press("#")
            await caller.until(lambda: caller.cleared)
            back = caller.audio().astype(np.float64)
        assert await door.ended() == HangupCause.CALLER_HUNG_UP
        (line,) = door.box.lines
        assert (line.door, line.caller, line.dialled) == (carrier.name, CALLER, DIALLED)
        assert line.sample_rate_hz == carrier.rate_hz
        assert door.box.origins == [Origin(dialled=DIALLED)]
        assert door.box.keys == ["5", "*", "#"]
        assert caller.cleared == 1
    loud = back[np.abs(back) > 4000]
    assert len(loud) > 0.4 * carrier.rate_hz
    spectrum = np.abs(np.fft.rfft(back[np.argmax(np.abs(back) > 4000) :][: carrier.rate_hz // 2]))
    assert np.argmax(spectrum) * 2 == pytest.approx(440, abs=4)


@ALL
async def test_the_box_hangs_up(carrier: Carrier) -> None:
    async with open_door() as door, CarrierCaller(door.port, carrier) as caller:
        await caller.until(lambda: caller.heard)
        await caller.press("0")
        await caller.until(caller.closed.is_set)
        assert caller.close_code == 1000
        assert await door.ended() == HangupCause.AGENT_HUNG_UP


@ALL
async def test_a_connection_that_breaks_is_a_caller_who_vanished(carrier: Carrier) -> None:
    async with open_door() as door:
        async with CarrierCaller(door.port, carrier) as caller:
            await caller.until(lambda: caller.heard)
            caller.vanish()
        assert await door.ended() == HangupCause.CALLER_VANISHED


@ALL
async def test_a_webhook_that_is_not_the_carriers_opens_nothing(carrier: Carrier) -> None:
    path = f"/carriers/{carrier.name}/answer"
    async with open_door() as door:
        body, headers = carrier.webhook("call-1")
        unsigned = {"Content-Type": headers["Content-Type"]}
        other = carrier.webhook("call-2")[0]
        for sent, shown in ((body, unsigned), (other, headers), (b"", headers), (body, {})):
            status, text = await post(door.port, path, sent, shown)
            assert status == 403, text
            assert json.loads(text) == {"error": "the signature does not hold"}
        status, _ = await post(door.port, path, body, headers)
        assert status == 200


async def test_signed_events_are_acknowledged() -> None:
    vonage = CARRIERS["vonage"]
    async with open_door() as door:
        body, headers = vonage.webhook("call-1")
        assert await post(door.port, "/carriers/vonage/event", body, headers) == (204, "")
        status, _ = await post(door.port, "/carriers/vonage/event", body + b" ", headers)
        assert status == 403
        status, answer = await post(door.port, "/carriers/vonage/answer", body, headers)
        assert status == 200, answer


@ALL
async def test_a_carrier_without_its_key_is_not_there(
    carrier: Carrier, caplog: pytest.LogCaptureFixture
) -> None:
    keys = [name for name in SETTINGS if f"__{carrier.name.upper()}_" in name]
    with caplog.at_level(logging.WARNING):
        async with open_door(**dict.fromkeys(keys, "")) as door:
            for _ in range(3):
                status, _ = await announce(door.port, carrier, "call-1")
                assert status == 404
            with pytest.raises(InvalidStatus, match="403"):
                await connect(f"ws://127.0.0.1:{door.port}/carriers/{carrier.name}/stream/x")
    (key,) = (name.rpartition("__")[2].lower() for name in keys)
    said = [record.message for record in caplog.records if "not let in" in record.message]
    assert said == [f"{carrier.name} called, but it is not let in: set `{key}` in [carriers]"]


async def test_nothing_is_there_for_a_carrier_of_another_name() -> None:
    async with open_door() as door:
        status, _ = await post(door.port, "/carriers/acme/answer", b"", {"Host": "localhost"})
        assert status == 404


async def test_the_proxys_name_opens_the_webhooks_alone() -> None:
    async with open_door() as door:
        for path in ("/api/offer", "/carriers/twilio/other", "/carriers/twilio/answer/"):
            status, text = await post(door.port, path, b"{}", {})
            assert status == 403, path
            assert "this box answers to localhost" in text


async def test_a_ticket_opens_one_stream_of_its_own_carrier() -> None:
    async with open_door() as door:
        status, answer = await announce(door.port, TWILIO, "call-1")
        assert status == 200
        url = through_proxy(door.port, TWILIO.stream_url(answer))
        for wrong in (url.replace("twilio", "plivo"), url[:-1], url + "x"):
            with pytest.raises(InvalidStatus, match="403"):
                await connect(wrong)
        socket = await connect(url)
        with pytest.raises(InvalidStatus, match="403"):
            await connect(url)
        await socket.close()


@ALL
async def test_a_webhook_replayed_after_its_call_began_opens_nothing(carrier: Carrier) -> None:
    async with open_door() as door:
        body, headers = carrier.webhook("call-1")
        path = f"/carriers/{carrier.name}/answer"
        status, first = await post(door.port, path, body, headers)
        assert status == 200
        # A carrier that got no answer in time asks again; what it was told before is void.
        status, second = await post(door.port, path, body, headers)
        assert status == 200
        with pytest.raises(InvalidStatus, match="403"):
            await connect(through_proxy(door.port, carrier.stream_url(first)))
        await (await connect(through_proxy(door.port, carrier.stream_url(second)))).close()
        status, _ = await post(door.port, path, body, headers)
        assert status == 403


@ALL
async def test_a_full_box_refuses_the_call_in_the_carriers_words(carrier: Carrier) -> None:
    async with (
        open_door(OFFHOOK_CALLS__MAX_CALLS="1") as door,
        CarrierCaller(door.port, TWILIO) as caller,
    ):
        await caller.until(lambda: caller.heard)
        status, answer = await announce(door.port, carrier, "call-2")
        assert status == 200
        assert "busy" in answer
        assert "wss://" not in answer


@ALL
async def test_a_spent_budget_refuses_the_call_in_the_carriers_words(carrier: Carrier) -> None:
    async with open_door() as door:
        door.box.over = OverBudget("spent", retry_after_s=60)
        status, answer = await announce(door.port, carrier, "call-1")
        assert (status, "busy" in answer, "wss://" in answer) == (200, True, False)


async def test_a_caller_whose_budget_is_spent_may_be_told_so() -> None:
    async with open_door() as door:
        door.box.over = OverBudget("spent", retry_after_s=60, spoken="Later.")
        socket = await door.stream(TWILIO)
        for message in TWILIO.opening("call-1"):
            await socket.send(message)
        messages = []
        with pytest.raises(ConnectionClosed) as ended:
            async with asyncio.timeout(LIMIT_S):
                while True:
                    messages.append(json.loads(await socket.recv()))
        assert ended.value.rcvd is not None and ended.value.rcvd.code == 1000
        media = [each for each in messages if each["event"] == "media"]
        # 1.5 s in frames of 20 ms.
        assert len(media) == 75
        assert door.box.refusals["twilio"] == 1


async def test_a_call_on_its_way_takes_a_place() -> None:
    async with open_door(OFFHOOK_CALLS__MAX_CALLS="1") as door:
        _, first = await announce(door.port, TWILIO, "call-1")
        _, second = await announce(door.port, TWILIO, "call-2")
        assert "<Stream " in first
        assert '<Reject reason="busy"/>' in second


@ALL
async def test_the_dialled_number_chooses_the_profile(carrier: Carrier) -> None:
    settings = {
        "OFFHOOK_PROFILES__SALES__NAME": "Ada",
        # As Plivo and Vonage write it, and not with the + of the others.
        "OFFHOOK_CARRIERS__NUMBERS": f"{DIALLED.removeprefix('+')}=sales,+15005550002=agent",
    }
    async with open_door(**settings) as door, CarrierCaller(door.port, carrier) as caller:
        await caller.until(lambda: caller.heard)
        assert door.box.origins == [Origin(dialled=DIALLED, profile="sales")]


async def test_a_box_that_filled_up_meanwhile_closes_the_stream_and_says_why() -> None:
    async with open_door(OFFHOOK_CALLS__MAX_CALLS="2") as door:
        late = await door.stream(TWILIO, "late")
        async with CarrierCaller(door.port, TWILIO) as one:
            await one.until(lambda: one.heard)
            async with CarrierCaller(door.port, CARRIERS["plivo"]) as two:
                await two.until(lambda: two.heard)
                for message in TWILIO.opening("late"):
                    await late.send(message)
                assert await closed(late) == (1013, "all places are taken")


GARBLED: list[tuple[str | bytes, str]] = [
    ("not json", "a message is not JSON"),
    ("[" * 50_000, "a message is not JSON"),
    ("[]", "a message is not a JSON object"),
    ('{"event":"media","media":[]}', "`media` is not a JSON object"),
    ('{"event":"dtmf","dtmf":"5"}', "`dtmf` is not a JSON object"),
    ('{"event":"media","media":{"payload":"*?"}}', "`payload` is not base64"),
    ('{"event":"media","media":{"payload":5}}', "`payload` is not base64"),
    (b"\0\0", "a message is not text"),
    (b"\xff\xff", "a message is not text"),
]


@pytest.mark.parametrize("begun", [False, True])
async def test_a_garbled_stream_is_closed_with_a_reason_and_others_go_on(begun: bool) -> None:
    async with open_door() as door, CarrierCaller(door.port, TWILIO) as other:
        await other.until(lambda: other.heard)
        for number, (message, reason) in enumerate(GARBLED, 1):
            socket = await (door.call if begun else door.stream)(TWILIO, f"call-{number}")
            await socket.send(message)
            assert await closed(socket) == (1007, reason)
            if begun:
                assert await door.ended(number) == HangupCause.FAILED
            count = len(other.heard)
            await other.until(lambda count=count: len(other.heard) > count)


async def test_half_a_sample_closes_its_stream() -> None:
    async with open_door() as door:
        socket = await door.call(CARRIERS["vonage"])
        await socket.send(b"\0\0\0")
        reason = "audio of 16 bits comes in an odd number of bytes"
        assert await closed(socket) == (1007, reason)
        assert await door.ended() == HangupCause.FAILED


@pytest.mark.parametrize("begun", [False, True])
async def test_a_message_that_is_too_long_closes_its_stream(begun: bool) -> None:
    async with open_door() as door:
        socket = await (door.call if begun else door.stream)(TWILIO)
        await socket.send(json.dumps({"event": "media", "media": {"payload": "A" * 100_000}}))
        code, _ = await closed(socket)
        assert code == 1009
        if begun:
            assert await door.ended() == HangupCause.FAILED


async def test_a_body_that_is_too_long_is_refused_unread() -> None:
    async with open_door() as door:
        status, text = await post(door.port, "/carriers/twilio/answer", bytes(100_000), {})
        assert status == 413
        assert "64 KiB" in text


async def test_a_body_that_does_not_come_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(carriers, "BODY_LIMIT_S", 0.2)
    async with open_door() as door, asyncio.timeout(LIMIT_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        writer.write(
            b"POST /carriers/twilio/answer HTTP/1.1\r\nHost: phone.example.test\r\n"
            b"Content-Length: 100\r\n\r\nCallSid"
        )
        assert b" 408 " in await reader.readline()
        writer.close()


@pytest.mark.parametrize(
    ("name", "start", "reason"),
    [
        ("twilio", {"event": "start", "start": {}}, "the start of the stream has no `streamSid`"),
        ("plivo", {"event": "start", "start": {}}, "the start of the stream has no `streamId`"),
        ("telnyx", {"event": "start"}, "the start of the stream has no `stream_id`"),
        (
            "telnyx",
            {"event": "start", "stream_id": "1", "start": {"media_format": {"encoding": "OPUS"}}},
            "the stream is neither PCMU nor PCMA",
        ),
    ],
)
async def test_a_start_that_cannot_be_understood(
    name: str, start: dict[str, Any], reason: str
) -> None:
    async with open_door() as door:
        socket = await door.stream(CARRIERS[name])
        await socket.send(json.dumps(start))
        assert await closed(socket) == (1007, reason)
        assert not door.box.lines


async def test_a_stream_that_never_begins_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carriers, "START_LIMIT_S", 0.2)
    async with open_door() as door:
        silent = await door.stream(TWILIO, "silent")
        assert await closed(silent) == (1008, "no start within 0 s")
        monkeypatch.setattr(carriers, "START_LIMIT_S", LIMIT_S)
        chatty = await door.stream(TWILIO, "chatty")
        with contextlib.suppress(ConnectionClosed):
            for _ in range(carriers.START_MESSAGES):
                await chatty.send('{"event": "mark"}')
        assert await closed(chatty) == (1007, "the stream does not say how it begins")
        assert not door.box.lines


async def test_unknown_events_are_ignored() -> None:
    async with open_door() as door, CarrierCaller(door.port, TWILIO) as caller:
        for said in ({"event": "mark", "mark": {"name": "x"}}, {"event": 5}, {}, {"x": [1]}):
            await caller.socket.send(json.dumps(said))
        await caller.socket.send(json.dumps({"event": "dtmf", "dtmf": {"digit": "Q"}}))
        await caller.press("7")
        await caller.until(lambda: door.box.keys == ["7"])
        assert not caller.closed.is_set()


async def test_audio_that_is_faster_than_speech_closes_its_stream() -> None:
    second = base64.b64encode(bytes(8000)).decode()
    message = json.dumps({"event": "media", "media": {"payload": second}})
    async with open_door() as door:
        socket = await door.call(TWILIO)
        with contextlib.suppress(ConnectionClosed):
            for _ in range(60):
                await socket.send(message)
        assert await closed(socket) == (1007, "audio comes faster than it was spoken")
        assert await door.ended() == HangupCause.FAILED


async def test_a_telnyx_call_in_a_law_is_heard() -> None:
    from carrier_caller import Telnyx

    class InALaw(Telnyx):
        encoding = "PCMA"

    # Silence in A-law, which mu-law would take for a loud tone.
    payload = base64.b64encode(b"\xd5" * 160).decode()
    async with open_door() as door, CarrierCaller(door.port, InALaw()) as caller:
        caller.fall_silent()  # it is in mu-law
        await asyncio.sleep(0.3)
        heard = len(caller.heard)
        for _ in range(10):
            await caller.socket.send(json.dumps({"event": "media", "media": {"payload": payload}}))
        await caller.until(lambda: len(caller.heard) >= heard + 10)
        assert np.abs(np.frombuffer(caller.heard[-1], np.int16)).max() < 50


async def test_audio_is_paced_with_a_small_lead() -> None:
    """Counted in frames against the clock; only too fast can fail, never too slow."""
    async with open_door() as door:
        async with CarrierCaller(door.port, TWILIO) as caller:
            await caller.until(lambda: len(caller.heard) >= 5)
            (line,) = door.box.lines
            began_s, before = time.monotonic(), len(caller.heard)
            for _ in range(50):
                await line.send(b"\1\0" * 160)
            took_s = time.monotonic() - began_s
        # A second of audio beside the echo: it takes no less than that, but for the lead.
        assert took_s > 0.8
        assert before < len(caller.heard)
