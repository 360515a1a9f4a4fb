"""A caller is handed to a person, whom the box calls over real SIP, and introduced."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

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
                await caller.until(lambda: {"type": "joined"} in caller.events, LIMIT_S)
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
        records = {record.direction: record for record in box.store.recent_calls(5)}
        assert records["inbound"].cause == "transferred"
        # Both legs are on the bill for as long as they lasted, the time together counted in.
        assert records["outbound"].dialled == f"sip:person@127.0.0.1:{port}"
        assert 2 < records["outbound"].usage.call_s < records["inbound"].usage.call_s


async def test_a_caller_who_leaves_takes_the_ringing_of_the_person_along(
    open_box: OpenBox,
) -> None:
    """A telephone that rings and never answers; the caller presses twice, then hangs up."""
    loop = asyncio.get_running_loop()
    got: list[str] = []

    class Ringing(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = cast(asyncio.DatagramTransport, transport)

        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            text = data.decode()
            method = text.split(" ", 1)[0]
            got.append(method)
            if method == "INVITE":
                kept = ("via:", "from:", "to:", "call-id:", "cseq:")
                lines = [n for n in text.split("\r\n") if n.lower().startswith(kept)]
                said = ["SIP/2.0 180 Ringing", *lines, "Content-Length: 0", "", ""]
                self.transport.sendto("\r\n".join(said).encode(), addr)

    transport, _ = await loop.create_datagram_endpoint(Ringing, local_addr=("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    async with open_box(menu(port), OFFHOOK_SIP__PORT="0") as box:
        phone = Phone(box.config, {})
        await phone.open(box)
        try:
            async with LoopbackCaller(box) as caller:
                caller.line.press("1")
                assert (await caller.turn(1))["answer"] == CONNECTING
                await caller.until(lambda: "INVITE" in got, LIMIT_S)
                caller.line.press("1")
                assert (await caller.turn(2))["answer"] == CONNECTING
                await asyncio.sleep(1)
                assert got.count("INVITE") == 1
            await caller.until(lambda: "CANCEL" in got, LIMIT_S)
            assert box.active_calls == 0
        finally:
            await phone.close()
            transport.close()
        causes = {record.direction: record.cause for record in box.store.recent_calls(5)}
        assert causes == {"inbound": "caller hung up", "outbound": "no answer"}


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
