"""Calls over Twilio Media Streams' WebSocket, against agents whose doings are known."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from twilio_agent import RATE_HZ, TwilioAgent, tone, twilio_server

from latency_bench import caller_twilio
from latency_bench.caller_twilio import place_call
from latency_bench.conversation import Conversation, Pace
from latency_bench.part import Part
from latency_bench.recording import CallFailed, CallRecording
from latency_bench.target import Target

SPEECH_S = 0.5
QUICK = Pace(
    greeting_silence_s=0.2,
    greeting_limit_s=0.3,
    answer_silence_s=0.3,
    answer_limit_s=1.5,
    pause_s=0.1,
)
NOTHING = np.zeros(0, np.int16)


def beep(step: int = 0) -> Part:
    """Half a second of tone between 50 ms and 150 ms of silence."""
    silence = np.zeros(RATE_HZ // 20, np.int16)
    pcm = np.concatenate((silence, tone(SPEECH_S), silence, silence, silence))
    last = len(silence) + len(tone(SPEECH_S)) - 1
    return Part(step, "speech", pcm, RATE_HZ, len(silence), last)


async def place(
    url: str,
    parts: Sequence[Part] = (),
    limit_s: float = 20,
    stop: asyncio.Event | None = None,
    **options: Any,
) -> CallRecording:
    placed = place_call(
        Target("twilio", url, password=options.pop("password", None)),
        lambda rate_hz: Conversation(parts, rate_hz, QUICK),
        limit_s=limit_s,
        stop=stop,
        **options,
    )
    return await asyncio.wait_for(placed, 60)


async def call(agent: TwilioAgent, parts: Sequence[Part] = (), **options: Any) -> CallRecording:
    async with twilio_server(agent) as url:
        return await place(url, parts, **options)


def first_voiced_s(recording: CallRecording, after_s: float = 0.0) -> float:
    times = [recording.received.time_s(s.first) for s in recording.received.segments]
    return next(at_s for at_s in times if at_s > after_s)


async def test_a_call_is_what_twilio_sends() -> None:
    agent = TwilioAgent()
    recording = await call(agent, [beep()])
    assert (recording.door, recording.codec) == ("twilio", "PCMU/8000")
    assert recording.end == "completed" and recording.missed == (0,)
    kinds = [message["event"] for message in agent.got]
    assert kinds[:2] == ["connected", "start"] and kinds[-1] == "stop"
    assert set(kinds[2:-1]) == {"media"}
    (start,) = agent.of("start")
    assert start["start"]["mediaFormat"] == {
        "encoding": "audio/x-mulaw",
        "sampleRate": 8000,
        "channels": 1,
    }
    assert start["streamSid"] == start["start"]["streamSid"]
    assert start["start"]["streamSid"][:2] == "MZ" and len(start["start"]["callSid"]) == 34
    numbers = [int(message["sequenceNumber"]) for message in agent.got[1:]]
    assert numbers == list(range(1, len(numbers) + 1))
    media = [message["media"] for message in agent.of("media")]
    assert [int(m["chunk"]) for m in media] == list(range(1, len(media) + 1))
    assert {m["track"] for m in media} == {"inbound"}
    heard = np.concatenate(agent.heard)
    (said,) = recording.said
    asked = heard[said.first : said.last + 1].astype(np.float64)
    wanted = tone(SPEECH_S).astype(np.float64)
    assert np.corrcoef(asked, wanted)[0, 1] > 0.99


@pytest.mark.parametrize("delay_s", [0.0, 0.2])
async def test_voice_to_voice_is_what_the_agent_logged(delay_s: float) -> None:
    onsets_s: list[float] = []

    async def answer(agent: TwilioAgent, began_s: float) -> None:
        await asyncio.sleep(max(0.0, began_s + SPEECH_S + delay_s - time.monotonic()))
        onsets_s.append(await agent.say(tone(0.4)))

    recording = await call(TwilioAgent(loud=answer), [beep(step) for step in range(2)])
    assert recording.end == "completed" and recording.missed == () and recording.notes == ()
    assert len(onsets_s) == len(recording.said) == 2
    errors_ms = []
    for said, onset_s in zip(recording.said, onsets_s, strict=True):
        began_s = recording.sent.time_s(said.first)
        errors_ms.append((first_voiced_s(recording, began_s) - onset_s) * 1000)
    # Nothing is heard before it was said; the loopback and a quiet machine add under 1 ms.
    assert -1.5 < np.median(errors_ms) < 60


async def test_what_is_sent_at_once_is_played_in_its_time_and_marks_come_back_then() -> None:
    async def act(agent: TwilioAgent) -> None:
        await agent.say(tone(0.6))
        await agent.send("mark", mark={"name": "said"})

    agent = TwilioAgent(act=act)
    recording = await call(agent, limit_s=2.5)
    assert [m["mark"]["name"] for m in agent.of("mark")] == ["said"]
    assert agent.came_s("mark") - first_voiced_s(recording) >= 0.58
    assert np.allclose(np.diff(recording.received.at_s), 0.02, atol=1e-6)
    assert len(recording.received.pcm) == round(0.6 * RATE_HZ)
    assert len(recording.packets.at_s) == 1 and recording.packets.clock_hz == RATE_HZ


async def test_clear_stops_what_was_not_played_and_returns_its_marks() -> None:
    async def act(agent: TwilioAgent) -> None:
        await agent.say(tone(5.0))
        await agent.send("mark", mark={"name": "never"})
        await asyncio.sleep(0.4)
        await agent.send("clear")

    agent = TwilioAgent(act=act)
    recording = await call(agent, limit_s=1.5)
    assert 0.38 * RATE_HZ < len(recording.received.pcm) < 3 * RATE_HZ
    assert [m["mark"]["name"] for m in agent.of("mark")] == ["never"]


async def test_keys_are_pressed_one_by_one() -> None:
    keys = Part(0, "keys", NOTHING, RATE_HZ, 0, 0, keys="12#", owes_answer=False)
    agent = TwilioAgent()
    recording = await call(agent, [keys, replace(beep(1), owes_answer=True)])
    assert [m["dtmf"]["digit"] for m in agent.of("dtmf")] == ["1", "2", "#"]
    assert [said.kind for said in recording.said] == ["keys", "speech"]


async def test_refusals_carry_the_agents_reason() -> None:
    async with twilio_server(TwilioAgent(), refusal=403) as url:
        with pytest.raises(CallFailed, match="refused the call: 403 no place") as failure:
            await place(url)
    assert failure.value.outcome == "refused"

    async def full(agent: TwilioAgent) -> None:
        await agent.socket.close(1013, "all places are taken")

    with pytest.raises(CallFailed, match="refused the call: 1013 all places") as failure:
        await call(TwilioAgent(act=full))
    assert failure.value.outcome == "refused"


async def test_an_address_where_nobody_answers_is_named() -> None:
    with pytest.raises(CallFailed, match="ws://127.0.0.1:1/ cannot be called") as failure:
        await place("ws://127.0.0.1:1/")
    assert failure.value.outcome == "unreachable"


async def test_an_agent_that_never_answers_rings_for_ever() -> None:
    async def ring(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await asyncio.wait_for(reader.read(), 30)
        finally:
            writer.close()

    async with await asyncio.start_server(ring, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(CallFailed, match="did not answer within") as failure:
            await place(f"ws://127.0.0.1:{port}/", answer_limit_s=0.3)
        assert failure.value.outcome == "unanswered"
        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(0.3, stop.set)
        recording = await place(f"ws://127.0.0.1:{port}/", stop=stop)
    assert recording.end == "stopped" and not len(recording.sent.pcm)


async def test_an_agent_that_hangs_up_and_one_that_dies_are_told_apart() -> None:
    async def hang_up(agent: TwilioAgent) -> None:
        await agent.say(tone(0.2))
        await asyncio.sleep(0.3)
        await agent.socket.close()

    async def die(agent: TwilioAgent) -> None:
        await agent.say(tone(0.2))
        await asyncio.sleep(0.3)
        agent.socket.transport.abort()

    left = await call(TwilioAgent(act=hang_up))
    assert left.end == "remote" and "1000" in left.reason
    died = await call(TwilioAgent(act=die))
    assert died.end == "failed" and "the connection broke" in died.reason


async def test_an_agent_that_sends_no_sound_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caller_twilio, "NO_AUDIO_S", 0.5)
    recording = await call(TwilioAgent())
    assert recording.end == "failed" and "no sound came" in recording.reason


async def test_silent_calls_last_until_the_limit_and_stop_ends_them_early() -> None:
    silent = await call(TwilioAgent(), limit_s=0.5)
    assert silent.end == "limit" and not np.any(silent.sent.pcm)
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(0.5, stop.set)
    stopped = await call(TwilioAgent(), [beep()], stop=stop)
    assert stopped.end == "stopped"


async def test_what_makes_no_sense_is_noted_and_survived() -> None:
    async def act(agent: TwilioAgent) -> None:
        await agent.socket.send("not json")
        await agent.socket.send("[]")
        await agent.socket.send('{"event": "media", "media": {"payload": "AAAA"}}')
        await agent.socket.send('{"type": "turn", "turn": 1}')
        await agent.send("media", media={"payload": "&&&&"})
        await agent.send("media", media={"payload": ""})
        await agent.send("dance")
        await agent.say(tone(0.1))

    recording = await call(TwilioAgent(act=act), limit_s=1.2)
    notes = " ".join(recording.notes)
    for part in ("not JSON", "no object", "streamSid", "not base64", "without sound", "'dance'"):
        assert part in notes
    assert len(recording.received.pcm) == round(0.1 * RATE_HZ)
    assert [event.body["type"] for event in recording.events] == ["turn"]


async def test_hostile_messages_are_noted_and_the_call_goes_on_hearing() -> None:
    async def act(agent: TwilioAgent) -> None:
        await agent.socket.send("[" * 200_000)
        await agent.socket.send('{"type": "turn", "text": "\\ud800"}')
        for _ in range(2):
            await agent.send("mark", mark={"name": "x" * 5000})
        await agent.say(tone(0.1))

    recording = await call(TwilioAgent(act=act), limit_s=1.2)
    assert recording.end == "limit" and len(recording.received.pcm) == round(0.1 * RATE_HZ)
    assert [event.body["text"] for event in recording.events] == ["\ufffd"]
    assert recording.notes == (
        "the agent sent a message that is too deep to read",
        "the agent sent more marks, or longer ones, than are kept",
    )


async def test_a_message_of_any_size_is_not_taken() -> None:
    async def act(agent: TwilioAgent) -> None:
        await agent.say(tone(0.1))
        await agent.socket.send("x" * (600 << 10))

    recording = await call(TwilioAgent(act=act), limit_s=10)
    assert recording.end == "failed"
    assert recording.reason == "the agent sent a message of over 512 KiB"


@pytest.mark.parametrize("part", ["_take", "_say"])
async def test_a_call_whose_part_breaks_has_failed(
    part: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any) -> None:
        raise KeyError("a fault of its own")

    async def act(agent: TwilioAgent) -> None:
        await agent.say(tone(0.1))

    monkeypatch.setattr(caller_twilio._Call, part, fail)
    recording = await call(TwilioAgent(act=act), limit_s=10)
    assert recording.end == "failed" and "a fault of its own" in recording.reason


async def test_nothing_is_left_running() -> None:
    tasks = asyncio.all_tasks()
    async with twilio_server(TwilioAgent()) as url:
        task = asyncio.create_task(place(url, [beep()]))
        await asyncio.sleep(0.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 20)
    async with asyncio.timeout(10):
        while asyncio.all_tasks() != tasks:
            await asyncio.sleep(0.02)
