"""A real box called over SIP by the bench: what it tells of itself, beside what was heard."""

import asyncio
from dataclasses import replace

import numpy as np
from boxes import OpenBox, web
from loopback_caller import word_error_rate
from spoken import Question

from agent.box import Box
from agent.phone import Phone
from latency_bench.caller_sip import place_call
from latency_bench.conversation import Conversation
from latency_bench.inside import inside_events
from latency_bench.part import Part, spoken_part
from latency_bench.recording import CallRecording
from latency_bench.target import Target
from latency_bench.turns import turns_of
from latency_bench.utterance import prepare

TOKEN = "a token for this test alone"
SHORT = {"OFFHOOK_AGENT__GREETING": "Hello.", "OFFHOOK_LLM__MAX_TOKENS": "12"}


def part_of(question: Question) -> Part:
    utterance = prepare(question.pcm, question.rate_hz, expected=question.text, source="test")
    return replace(spoken_part(utterance), wait_s=20.0)


async def call(phone: Phone, part: Part, after_s: float = 0.0) -> CallRecording:
    await asyncio.sleep(after_s)
    target = Target("sip", phone.address)
    return await place_call(target, lambda rate_hz: Conversation([part], rate_hz), limit_s=40.0)


async def two_calls(box: Box, part: Part) -> list[CallRecording]:
    phone = Phone(box.config, {})
    await phone.open(box)
    try:
        return list(await asyncio.gather(call(phone, part), call(phone, part, after_s=1.0)))
    finally:
        await phone.close()


async def test_a_box_tells_of_calls_that_came_over_sip(
    open_box: OpenBox, question: Question
) -> None:
    settings = {"OFFHOOK_SIP__PORT": "0", "OFFHOOK_SERVER__PORT": "0", "OFFHOOK_TOKEN": TOKEN}
    async with open_box(**settings, **SHORT) as box:
        async with web(box) as server:
            recordings = await two_calls(box, part_of(question))
            told = [
                await inside_events(server.url.rstrip("/"), TOKEN, recording)
                for recording in recordings
            ]
            assert await inside_events(server.url.rstrip("/"), "another", recordings[0]) == ()
    used = [event.body["usage"] for events in told for event in events]
    assert len(used) == 4
    assert told[0] != told[1]
    for recording, events in zip(recordings, told, strict=True):
        assert recording.end == "completed"
        greeting, answer = events
        assert (greeting.body["turn"], answer.body["turn"]) == (0, 1)
        assert word_error_rate(question.text, answer.body["heard"]) <= 0.5
        (turn,) = turns_of(replace(recording, events=events))
        assert turn.heard == answer.body["heard"]
        assert turn.answer == answer.body["answer"]
        assert turn.inside_ms is not None and turn.v2v_ms is not None
        assert np.isclose(sum(turn.stages_ms.values()), turn.inside_ms, atol=1.0)
        # Dated on the caller's clock: after the question, no later than the answer was heard.
        ended_s = recording.answered_s + turn.ended_s
        assert ended_s < answer.at_s < ended_s + turn.v2v_ms / 1000 + 0.5
