"""The bench's own carrier against the box: a signed webhook, its TwiML, its stream."""

import asyncio
import secrets

import pytest
from boxes import OpenBox, web
from loopback_caller import word_error_rate
from spoken import Question

from agent.engines import Engines
from latency_bench.box_process import free_port
from latency_bench.caller_twilio import place_call
from latency_bench.conversation import Conversation
from latency_bench.measures.measure import turns_of
from latency_bench.part import spoken_part
from latency_bench.recording import CallFailed
from latency_bench.target import Target
from latency_bench.utterance import prepare

LIMIT_S = 60.0


async def test_a_question_over_twilio_is_answered_in_sound(
    open_box: OpenBox, engines: Engines, question: Question
) -> None:
    said = prepare(question.pcm, question.rate_hz, expected=question.text, source="test")
    token, port = secrets.token_hex(16), free_port()
    settings = {
        "OFFHOOK_SERVER__PORT": str(port),
        "OFFHOOK_CARRIERS__PUBLIC_URL": f"http://127.0.0.1:{port}",
        "OFFHOOK_CARRIERS__TWILIO_AUTH_TOKEN": token,
    }

    def talk(rate_hz: int) -> Conversation:
        return Conversation([spoken_part(said)], rate_hz)

    async with open_box(**settings) as box, web(box) as server:
        url = server.url + "carriers/twilio/answer"
        with pytest.raises(CallFailed, match="403 the signature does not hold") as failure:
            await place_call(Target("twilio", url, password="other"), talk, limit_s=LIMIT_S)
        assert failure.value.outcome == "refused"
        target = Target("twilio", url, password=token)
        recording = await place_call(target, talk, limit_s=LIMIT_S)
        assert recording.end == "completed" and not recording.missed
        assert recording.notes == ()
        async with asyncio.timeout(10):
            while box.active_calls:
                await asyncio.sleep(0.02)
        box.store.flush(5)
        record = box.store.recent_calls(1)[0]
        turns = box.store.call(record.call_id)[1]
    assert record.cause == "caller hung up"
    assert word_error_rate(question.text, turns[1].heard) <= 0.5, turns[1].heard
    (turn,) = turns_of(recording)
    assert turn.v2v_ms is not None and turn.v2v_ms > 0
    answer = recording.received.pcm[turn.answer_from : turn.answer_to]
    returned = engines.stt.transcribe(answer, recording.received.rate_hz).text
    assert word_error_rate(turns[1].answer, returned) < 0.7, (turns[1].answer, returned)
