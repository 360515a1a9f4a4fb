"""A program steers a call that the box placed over real SIP: keys, hold, words, transfer."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
from boxes import OpenBox, web

from agent.phone import Phone

LIMIT_S = 30.0


class Person:
    """A telephone that picks up and logs which keys it gets."""

    def __init__(self, port: int, child: asyncio.subprocess.Process) -> None:
        self.port = port
        self._child = child
        self.log = ""

    async def until(self, text: str) -> None:
        """Waits until it logs ``text``."""
        assert self._child.stderr is not None
        async with asyncio.timeout(LIMIT_S):
            while text not in self.log:
                line = await self._child.stderr.readline()
                assert line, f"the telephone ended without {text!r}: {self.log}"
                self.log += line.decode(errors="replace")


@asynccontextmanager
async def person() -> AsyncIterator[Person]:
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "latency_bench.tone_agent", "--quiet", "--codecs", "pcmu"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert child.stdout is not None
    try:
        async with asyncio.timeout(LIMIT_S):
            yield Person(int((await child.stdout.readline()).split()[1]), child)
    finally:
        child.terminate()
        async with asyncio.timeout(LIMIT_S):
            await child.wait()


async def test_a_placed_call_is_steered_over_http(open_box: OpenBox) -> None:
    async with person() as callee, open_box(OFFHOOK_SIP__PORT="0", OFFHOOK_SERVER__PORT="0") as box:
        phone = Phone(box.config, {})
        await phone.open(box)
        try:
            async with web(box) as server, httpx2.AsyncClient(timeout=LIMIT_S) as http:

                async def post(path: str, fields: object = None) -> tuple[int, dict[str, object]]:
                    answer = await http.post(f"{server.url}{path}", json=fields)
                    return answer.status_code, answer.json()

                to = f"sip:person@127.0.0.1:{callee.port}"
                status, placed = await post("v1/calls?wait=true", {"to": to})
                assert (status, placed["outcome"]) == (201, "answered"), placed
                call = f"v1/calls/{placed['call_id']}"
                assert await post(f"{call}/digits", {"digits": "42#"}) == (
                    200,
                    {"call_id": placed["call_id"], "digits": "42#"},
                )
                for key in "42#":
                    await callee.until(f"key {key}")
                run = box.run_of(str(placed["call_id"]))
                assert run is not None
                assert (await post(f"{call}/hold"))[0] == 200
                async with asyncio.timeout(LIMIT_S):
                    while not run.call.on_hold:
                        await asyncio.sleep(0.02)
                assert (await post(f"{call}/resume"))[0] == 200
                async with asyncio.timeout(LIMIT_S):
                    while run.call.on_hold:
                        await asyncio.sleep(0.02)
                assert (await post(f"{call}/say", {"text": "Are you there?"}))[0] == 200
                async with asyncio.timeout(LIMIT_S):
                    while run.call.agent_busy:
                        await asyncio.sleep(0.02)

                status, error = await post(f"{call}/digits", {"digits": "4x"})
                assert (status, "digits" in str(error)) == (400, True)
                status, error = await post(f"{call}/transfer", {"to": "+15551234567"})
                assert (status, "needs a trunk" in str(error)) == (403, True)
                status, error = await post(f"{call}/transfer", {"to": "sip:x@203.0.113.9"})
                assert (status, "destinations" in str(error)) == (403, True)
                status, error = await post("v1/calls/nobody/hold")
                assert (status, "nobody" in str(error)) == (404, True)

                assert (await http.delete(f"{server.url}{call}")).status_code == 202
                async with asyncio.timeout(LIMIT_S):
                    await run.over.wait()
                await callee.until("call over")
        finally:
            await phone.close()
        (record,) = box.store.recent_calls(5)
        assert (record.direction, record.cause) == ("outbound", "agent hung up")
        turns = box.store.call(record.call_id)[1]
        assert any("there" in turn.answer for turn in turns), turns
