"""A real call as the operator's pages follow it: under way, then over, then heard again."""

import asyncio
import wave
from io import BytesIO
from pathlib import Path

import httpx2
from boxes import OpenBox, web
from loopback_caller import LoopbackCaller
from spoken import SYNTHESISED, synthesised

from agent.engines import Engines

RATE_HZ = 8000
LIMIT_S = 30


async def test_a_call_is_seen_while_it_goes_on_and_heard_once_it_is_over(
    open_box: OpenBox, engines: Engines, tmp_path: Path
) -> None:
    question = synthesised(engines, SYNTHESISED[0]).at(RATE_HZ)
    audio = str(tmp_path / "audio")
    async with open_box(OFFHOOK_RECORDS__AUDIO=audio, OFFHOOK_SERVER__PORT="0") as box:
        async with (
            web(box) as server,
            httpx2.AsyncClient(base_url=server.url, timeout=LIMIT_S) as http,
        ):
            async with LoopbackCaller(box, RATE_HZ) as caller:
                await caller.turn(0)
                (shown,) = (await http.get("/api/records/live")).json()["calls"]
                assert shown["door"] == "loopback" and shown["heard"] == ""
                assert float(shown["owned_usd"]) > 0
                assert len(shown["rented_usd"]) >= 5
                await caller.say(question)
                turn = await caller.turn(max(t["turn"] for t in caller.turns()) + 1)
                (later,) = (await http.get("/api/records/live")).json()["calls"]
                assert later["heard"] == turn["heard"] != ""
                assert later["call_s"] > shown["call_s"]
                at = f"/api/records/calls/{shown['call_id']}"
                told = (await http.get(at)).json()
                assert told["live"] and told["cost"]["rented"]
                assert turn["turn"] in [each["turn"] for each in told["turns"]]
            assert (await http.get("/api/records/live")).json()["calls"] == []
            assert await asyncio.to_thread(box.store.flush, LIMIT_S)
            told = (await http.get(at)).json()
            assert not told["live"] and told["cost"] is None
            call, sound = told["call"], told["recording"]
            assert call["owned_lines"]["marginal"]
            # The caller was told first, and nothing of that is kept.
            assert 0 < sound["starts_s"] < call["usage"]["call_s"]
            peaks = (await http.get(f"{at}/peaks?stretches=200")).json()
            assert max(peaks["caller"]) > 0.02
            file = (await http.get(f"{at}/recording")).content
            with wave.open(BytesIO(file)) as kept:
                assert kept.getnframes() / kept.getframerate() == sound["duration_s"]
            listed = (await http.get("/api/records/calls")).json()["calls"]
            assert [each["call_id"] for each in listed] == [call["call_id"]]
