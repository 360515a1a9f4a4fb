"""Whole calls from a real softphone over SIP and RTP, with the real default models."""

import asyncio
from pathlib import Path

import numpy as np
from boxes import OpenBox
from loopback_caller import word_error_rate
from speaking_softphone import CODECS, Softphone
from spoken import Question

from agent.engines import Engines
from agent.phone import Phone

BEFORE_S = 5.0
"""The greeting is over by then."""
AFTER_S = 16.0
SPOKEN = ("pcmu", "g722", "opus")


async def test_a_softphone_talks_to_the_agent_over_each_codec(
    open_box: OpenBox, engines: Engines, questions: list[Question], tmp_path: Path
) -> None:
    seconds = 0
    phones: dict[str, Softphone] = {}
    async with open_box(OFFHOOK_SIP__PORT="0") as box:
        phone = Phone(box.config, {})
        await phone.open(box)
        try:
            calls = []
            for codec, question in zip(SPOKEN, questions, strict=True):
                softphone = phones[codec] = Softphone(tmp_path / codec, codec)
                said = np.frombuffer(question.at(CODECS[codec][1]), np.int16)
                rate_hz = CODECS[codec][1]
                silence = np.zeros(int(BEFORE_S * rate_hz), np.int16)
                pause = np.zeros(int(AFTER_S * rate_hz), np.int16)
                microphone = np.concatenate([silence, said, pause])
                seconds = int(len(microphone) / rate_hz)
                calls.append(softphone.call(phone.address, microphone, seconds))
            await asyncio.gather(*calls)
            async with asyncio.timeout(10):
                while box.active_calls:
                    await asyncio.sleep(0.05)
        finally:
            await phone.close()
        records = box.store.recent_calls(3)
        assert len(records) == 3
        for record in records:
            assert (record.door, record.cause) == ("sip", "caller hung up")
            assert record.dialled == "agent"
        turns = {turn.heard: turn for r in records for turn in box.store.call(r.call_id)[1]}
        for codec, question in zip(SPOKEN, questions, strict=True):
            heard = min(turns, key=lambda text: word_error_rate(question.text, text))
            assert word_error_rate(question.text, heard) <= 0.5, (codec, list(turns))
            pcm, rate_hz = phones[codec].heard()
            back = engines.stt.transcribe(pcm[: int(BEFORE_S * rate_hz)], rate_hz).text
            assert word_error_rate("hello this is off hook how can i help you", back) < 0.35, codec
            answered = pcm[int(BEFORE_S * rate_hz) :]
            returned = engines.stt.transcribe(answered, rate_hz).text
            wanted = turns[heard].answer
            # The call may end while a long answer is still being spoken.
            length = len(returned.split())
            assert length, codec
            spoken = " ".join(wanted.split()[: max(length, 1)])
            assert word_error_rate(spoken, returned) < 0.6, (codec, wanted, returned)
