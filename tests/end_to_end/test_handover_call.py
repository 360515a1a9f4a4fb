"""A caller is handed to a person, whom the box calls over real SIP, and introduced."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
from boxes import OpenBox
from loopback_caller import LoopbackCaller, word_error_rate
from spoken import Question

from agent.engines import Engines
from agent.handover import introduction
from agent.menu import CONNECTING, NOT_REACHED
from agent.phone import Phone

LIMIT_S = 30.0


@asynccontextmanager
async def person() -> AsyncIterator[int]:
    """Somebody who picks up and says back what is said; the port of their telephone."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "latency_bench.tone_agent", "--echo"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert child.stdout is not None
    try:
        async with asyncio.timeout(LIMIT_S):
            yield int((await child.stdout.readline()).split()[1])
    finally:
        child.terminate()
        async with asyncio.timeout(LIMIT_S):
            await child.wait()


def menu(port: int, suffix: str = "") -> str:
    return f"""
[agent]
greeting = ""
menu = [{{ key = "1", transfer = "sip:person@127.0.0.1:{port}{suffix}", introduce = true }}]
"""


async def test_a_caller_is_introduced_and_joined(
    open_box: OpenBox, engines: Engines, question: Question
) -> None:
    async with person() as port, open_box(menu(port), OFFHOOK_SIP__PORT="0") as box:
        phone = Phone(box.config, {})
        await phone.open(box)
        try:
            async with LoopbackCaller(box) as caller:
                await caller.say(question.at(8000))
                assert (await caller.turn(1))["heard"]
                caller.line.press("1")
                assert (await caller.turn(2))["answer"] == CONNECTING
                await caller.until(lambda: caller.ended is not None, LIMIT_S)
                assert caller.ended == "transferred"
                assert not caller.line.over
                # From here on the person alone is heard: their echo of what the caller says.
                await asyncio.sleep(0.5)
                before = len(caller.heard)
                await caller.say(question.at(8000))
                await asyncio.sleep(1.0)
                back = np.frombuffer(b"".join(caller.heard[before:]), np.int16)
                returned = engines.stt.transcribe(back, 8000).text
                assert word_error_rate(question.text, returned) <= 0.5, returned
            async with asyncio.timeout(LIMIT_S):
                while box.active_calls or phone.stack.active_calls:
                    await asyncio.sleep(0.05)
        finally:
            await phone.close()
        (record,) = box.store.recent_calls(5)
        assert record.cause == "transferred"


async def test_a_person_who_is_not_there_is_told_and_the_call_goes_on(open_box: OpenBox) -> None:
    # Nobody listens at the discard port.
    async with open_box(menu(9, ";transport=tcp"), OFFHOOK_SIP__PORT="0") as box:
        phone = Phone(box.config, {})
        await phone.open(box)
        try:
            async with LoopbackCaller(box) as caller:
                caller.line.press("1")
                assert (await caller.turn(1))["answer"] == CONNECTING
                assert (await caller.turn(2))["answer"] == NOT_REACHED
                assert caller.ended is None
        finally:
            await phone.close()


def test_the_introduction_is_in_the_callers_own_words() -> None:
    assert introduction("+15551234@carrier.example", ["Hello.", "I want a refund."]) == (
        "A call from + 1 5 5 5 1 2 3 4. They said: Hello. I want a refund. I am connecting you now."
    )
    assert introduction("", []) == "A call from an unknown caller."
    long = introduction("bob", ["word " * 200])
    assert len(long) < 320
