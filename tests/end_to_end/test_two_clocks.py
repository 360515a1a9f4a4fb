"""A real box called over SIP by the bench: what it tells of itself, beside what was heard."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest
from boxes import OpenBox, web
from loopback_caller import word_error_rate
from spoken import Question

from agent.box import Box
from agent.phone import Phone
from latency_bench.caller_sip import place_call
from latency_bench.conversation import Conversation, Pace
from latency_bench.measures.turns import turns_of
from latency_bench.part import Part, spoken_part
from latency_bench.recording import CallRecording
from latency_bench.target import Target
from latency_bench.tracing.inside import inside_events
from latency_bench.utterance import prepare

TOKEN = "a token for this test alone"
SHORT = {"OFFHOOK_AGENT__GREETING": "Hello.", "OFFHOOK_LLM__MAX_TOKENS": "12"}

pytestmark = pytest.mark.timeout(300)


def part_of(question: Question) -> Part:
    utterance = prepare(question.pcm, question.rate_hz, expected=question.text, source="test")
    return replace(spoken_part(utterance), wait_s=20.0)


async def call(phone: Phone, part: Part, after_s: float, pace: Pace) -> CallRecording:
    await asyncio.sleep(after_s)
    target = Target("sip", phone.address)
    return await place_call(
        target, lambda rate_hz: Conversation([part], rate_hz, pace), limit_s=60.0
    )


async def two_calls(box: Box, part: Part) -> list[CallRecording]:
    """At the same time, asking the same, one of them later than the other."""
    phone = Phone(box.config, {})
    await phone.open(box)
    try:
        early, late = Pace(), Pace(pause_s=2.5)
        return list(await asyncio.gather(call(phone, part, 0, early), call(phone, part, 1, late)))
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
    assert told[0] != told[1]
    for recording, events in zip(recordings, told, strict=True):
        assert recording.end == "completed"
        answers = events[1:]
        # A machine that stalls may cut a question in two; both are the caller's one part.
        assert [event.body["turn"] for event in events] == list(range(len(events)))
        heard = " ".join(event.body["heard"] for event in answers)
        assert word_error_rate(question.text, heard) <= 0.5
        assert all(event.body["usage"]["stt_busy_s"] > 0 for event in answers)
        (turn,) = turns_of(replace(recording, events=events))
        answer = answers[-1]
        assert (turn.heard, turn.answer) == (heard, answer.body["answer"])
        assert turn.inside_ms is not None and turn.v2v_ms is not None
        assert np.isclose(sum(turn.stages_ms.values()), turn.inside_ms, atol=1.0)
        # Dated on the caller's clock: after the question, no later than the answer was heard.
        ended_s = recording.answered_s + turn.ended_s
        assert ended_s - 1.0 < answer.at_s < recording.ended_s + 1.0
