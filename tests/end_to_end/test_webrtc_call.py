"""Whole calls over WebRTC: an aiortc client against the box's own HTTP door."""

import asyncio
import json
import urllib.error
import urllib.request
from typing import Any

import pytest
from aiortc import RTCPeerConnection
from boxes import OpenBox, web
from loopback_caller import word_error_rate
from spoken import Question

from agent.engines import Engines
from latency_bench.caller_webrtc import place_call
from latency_bench.conversation import Conversation
from latency_bench.part import Part, spoken_part
from latency_bench.recording import CallFailed, CallRecording
from latency_bench.target import Target
from latency_bench.utterance import prepare

LIMIT_S = 60.0


def part(question: Question) -> Part:
    said = prepare(question.pcm, question.rate_hz, expected=question.text, source="test")
    return spoken_part(said)


async def call(
    url: str, *questions: Question, limit_s: float = LIMIT_S, token: str | None = None
) -> CallRecording:
    """Asks the box at ``url``, question after question."""
    return await place_call(
        Target("webrtc", url + "api/offer", token=token),
        lambda rate_hz: Conversation([part(q) for q in questions], rate_hz),
        limit_s=limit_s,
    )


def events(recording: CallRecording, kind: str) -> list[dict[str, Any]]:
    return [event.body for event in recording.events if event.body["type"] == kind]


async def test_questions_over_webrtc_are_answered_in_sound_and_words(
    open_box: OpenBox, engines: Engines, questions: list[Question]
) -> None:
    async with open_box(OFFHOOK_SERVER__PORT="0") as box, web(box) as server:
        recording = await call(server.url, *questions)
        assert recording.end == "completed"
        assert not recording.missed
        await asyncio.sleep(0.5)
        assert box.active_calls == 0
    turns = events(recording, "turn")
    assert [turn["turn"] for turn in turns[: len(questions) + 1]] == list(range(len(questions) + 1))
    for question, turn in zip(questions, turns[1:], strict=False):
        assert word_error_rate(question.text, turn["heard"]) <= 0.5, turn["heard"]
    meant = " ".join(turn["answer"] for turn in turns)
    returned = engines.stt.transcribe(recording.received.pcm, recording.received.rate_hz).text
    assert word_error_rate(meant, returned) < 0.5, (meant, returned)
    cost = events(recording, "cost")[-1]
    assert cost["owned"]["total_usd"] > 0
    assert cost["rented"]
    assert cost["owned"]["total_usd"] == pytest.approx(sum(cost["owned"]["lines"].values()))


async def test_three_browsers_worth_of_callers_at_once(
    open_box: OpenBox, questions: list[Question]
) -> None:
    async with open_box(OFFHOOK_SERVER__PORT="0") as box, web(box) as server:
        recordings = await asyncio.gather(*(call(server.url, q) for q in questions))
    for question, recording in zip(questions, recordings, strict=True):
        heard = [turn["heard"] for turn in events(recording, "turn") if turn["turn"] == 1]
        assert heard
        assert word_error_rate(question.text, heard[0]) <= 0.5, heard[0]


async def test_bad_offers_are_refused_in_words_and_calls_go_on(
    open_box: OpenBox, question: Question
) -> None:
    async with open_box(OFFHOOK_SERVER__PORT="0") as box, web(box) as server:
        url = server.url + "api/offer"
        calling = asyncio.create_task(call(server.url, question))
        peer = RTCPeerConnection()
        peer.createDataChannel("events")
        await peer.setLocalDescription(await peer.createOffer())
        no_audio = peer.localDescription.sdp
        await peer.close()
        for body, status, part in (
            (b"not json", 400, "JSON"),
            (b"[]", 400, "JSON"),
            (offer("hello there"), 400, "session description"),
            (offer("v=0\r\nm=audio banana\r\n"), 400, "session description"),
            (offer(""), 400, "session description"),
            (offer("v=0\r\n"), 400, "no media"),
            (offer(no_audio), 400, "audio"),
            (offer(no_audio.replace("application", "audio", 1)), 400, "offer"),
            (json.dumps({"sdp": 5, "type": "offer"}).encode(), 400, "sdp"),
            (json.dumps({"sdp": "v=0", "type": "answer"}).encode(), 400, "offer"),
        ):
            got, message = await post(url, body)
            assert got == status, body[:40]
            assert part in message, (body[:40], message)
        recording = await calling
        assert recording.end == "completed"
        assert not recording.missed
        async with asyncio.timeout(10):
            while box.active_calls:
                await asyncio.sleep(0.02)


async def test_a_huge_body_is_refused_without_being_read(open_box: OpenBox) -> None:
    async with open_box(OFFHOOK_SERVER__PORT="0") as box, web(box) as server:
        sent = 0

        async def flood() -> bytes:
            nonlocal sent
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(
                b"POST /api/offer HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
            )
            piece = b"10000\r\n" + bytes(65536) + b"\r\n"
            try:
                for _ in range(1600):
                    writer.write(piece)
                    await writer.drain()
                    sent += 65536
            except ConnectionError:
                pass
            try:
                return await reader.read(4096)
            finally:
                writer.close()

        reply = await asyncio.wait_for(flood(), LIMIT_S)
        assert b" 413 " in reply.split(b"\r\n")[0] or sent < 20_000_000
        status, body = await post(server.url + "api/offer", bytes(1_000_000))
        assert status == 413
        assert "256 KiB" in body
        assert (await get(server.url + "api/status"))[0] == 200


async def test_a_full_box_says_so(open_box: OpenBox, question: Question) -> None:
    settings = {"OFFHOOK_SERVER__PORT": "0", "OFFHOOK_CALLS__MAX_CALLS": "1"}
    async with open_box(**settings) as box, web(box) as server:
        calling = asyncio.create_task(call(server.url, question))
        while not box.active_calls:
            await asyncio.sleep(0.02)
        with pytest.raises(CallFailed, match="503.*max_calls"):
            await call(server.url, limit_s=5)
        assert (await calling).end == "completed"


async def test_offers_that_arrive_together_do_not_overfill_the_box(
    open_box: OpenBox, question: Question
) -> None:
    settings = {"OFFHOOK_SERVER__PORT": "0", "OFFHOOK_CALLS__MAX_CALLS": "1"}
    async with open_box(**settings) as box, web(box) as server:
        calls = (call(server.url, question) for _ in range(3))
        results = await asyncio.gather(*calls, return_exceptions=True)
        refused = [result for result in results if isinstance(result, CallFailed)]
        assert len(refused) == 2
        assert all("503" in str(result) for result in refused)


async def test_a_client_that_vanishes_is_recorded_and_its_place_is_free(
    open_box: OpenBox, question: Question
) -> None:
    settings = {"OFFHOOK_SERVER__PORT": "0", "OFFHOOK_CALLS__MAX_CALLS": "1"}
    async with open_box(**settings) as box, web(box) as server:
        peer = RTCPeerConnection()
        peer.addTransceiver("audio")
        peer.createDataChannel("events")
        await peer.setLocalDescription(await peer.createOffer())
        status, _ = await post(server.url + "api/offer", offer(peer.localDescription.sdp))
        assert status == 200
        await peer.close()  # the answer is never taken: no media ever comes
        async with asyncio.timeout(30):
            while box.active_calls:
                await asyncio.sleep(0.1)
        recording = await call(server.url, question)
        assert recording.end == "completed"
        box.store.flush(5)
        causes = [record.cause for record in box.store.recent_calls(5)]
        assert sorted(causes) == ["caller hung up", "caller vanished"]


async def test_the_token_guards_the_interface_and_not_the_page(open_box: OpenBox) -> None:
    async with (
        open_box(OFFHOOK_SERVER__PORT="0", OFFHOOK_TOKEN="sesame") as box,
        web(box) as server,
    ):
        for path in ("api/status", "api/calls"):
            status, body = await get(server.url + path)
            assert status == 401
            assert "token" in body
            assert (await get(server.url + path, Authorization="Bearer open"))[0] == 401
            assert (await get(server.url + path, Authorization="Bearer sesame"))[0] == 200
        assert (await post(server.url + "api/offer", b"{}"))[0] == 401
        assert (await get(server.url))[0] == 200
        recording = await call(server.url, token="sesame", limit_s=4)
        assert recording.end == "limit"


async def test_a_foreign_host_name_is_refused_on_loopback(open_box: OpenBox) -> None:
    async with open_box(OFFHOOK_SERVER__PORT="0") as box, web(box) as server:
        status, body = await get(server.url + "api/status", Host="evil.example")
        assert status == 403
        assert "evil.example" in body


async def test_a_foreign_page_cannot_place_calls(open_box: OpenBox) -> None:
    async with open_box(OFFHOOK_SERVER__PORT="0") as box, web(box) as server:
        url = server.url + "api/offer"
        status, body = await post(url, offer("v=0"), Origin="https://evil.example")
        assert status == 403
        assert "evil.example" in body
        own = server.url.rstrip("/")
        assert (await post(url, offer("v=0"), Origin=own))[0] == 400


async def test_every_reply_carries_the_security_headers(open_box: OpenBox) -> None:
    async with open_box(OFFHOOK_SERVER__PORT="0") as box, web(box) as server:

        def headers() -> Any:
            with urllib.request.urlopen(server.url, timeout=10) as response:
                return response.headers

        found = await asyncio.to_thread(headers)
        assert "default-src 'self'" in found["Content-Security-Policy"]
        assert found["X-Content-Type-Options"] == "nosniff"


def offer(sdp: str) -> bytes:
    return json.dumps({"sdp": sdp, "type": "offer"}).encode()


async def post(url: str, body: bytes, **headers: str) -> tuple[int, str]:
    return await asyncio.to_thread(fetch, urllib.request.Request(url, body, headers))


async def get(url: str, **headers: str) -> tuple[int, str]:
    return await asyncio.to_thread(fetch, urllib.request.Request(url, headers=headers))


def fetch(request: urllib.request.Request) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
