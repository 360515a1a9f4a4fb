"""What was said in a call, asked for over a real server."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
from scripted_door import QuietBox, a_store

from agent.config import Config
from agent.latency import TurnTrace
from agent.records.record import CallRecord, TurnRecord
from agent.usage import Usage
from agent.web.calls_api import turns_json
from agent.web.server import WebServer

TOKEN = "a token for this test alone"
CONFIG = Config.model_validate({"server": {"port": 0, "token": TOKEN}})


def a_call(now: datetime) -> CallRecord:
    return CallRecord(
        "abc123", now - timedelta(seconds=30), "sip", "sip:caller@127.0.0.1", "Joe", turns=1
    )


def a_turn(number: int, spoken_s: float, **changes: Any) -> TurnRecord:
    trace = TurnTrace(
        number,
        speech_end_s=spoken_s if number else None,
        end_of_turn_s=spoken_s + 0.3 if number else None,
        first_packet_s=spoken_s + 0.7,
    )
    fields = {"heard": "two please", "answer": "Of course.", "interrupted": False, **changes}
    return TurnRecord("abc123", number, trace=trace, usage=Usage(), **fields)


@asynccontextmanager
async def served(box: QuietBox) -> AsyncIterator[httpx2.AsyncClient]:
    async with WebServer(CONFIG.server) as server:
        await server.start(box)
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with httpx2.AsyncClient(base_url=server.url, headers=headers, timeout=20) as http:
            yield http


async def test_a_call_of_any_door_tells_its_turns(tmp_path: Path) -> None:
    box = QuietBox(CONFIG, a_store(tmp_path))
    try:
        now, now_s = datetime.now(UTC), time.monotonic()
        box.store.start_call(a_call(now))
        box.store.add_turn(a_turn(0, now_s - 29, heard="", answer="Hello."))
        box.store.add_turn(a_turn(1, now_s - 20, owned_usd=Decimal("0.00012")))
        async with served(box) as http:
            response = await http.get("/v1/calls/abc123/turns")
            listed = (await http.get("/api/calls")).json()
            unknown = await http.get("/v1/calls/abc/turns")
            http.headers["Authorization"] = "Bearer another"
            refused = await http.get("/v1/calls/abc123/turns")
    finally:
        box.store.close()
    body = response.json()
    assert response.status_code == 200
    assert (body["call"]["door"], body["call"]["ended_at"]) == ("sip", None)
    greeting, turn = body["turns"]
    assert (greeting["turn"], greeting["answer"], greeting["total_ms"]) == (0, "Hello.", None)
    assert (turn["heard"], turn["answer"]) == ("two please", "Of course.")
    assert turn["owned_usd"] == "0.00012"
    assert round(turn["total_ms"]) == 700
    assert {step: round(ms) for step, ms in turn["stages_ms"].items()} == {
        "end_of_turn": 300,
        "first_packet": 400,
    }
    spoken = datetime.fromisoformat(turn["at"]) - (now - timedelta(seconds=20))
    assert abs(spoken) < timedelta(seconds=0.05)
    assert datetime.fromisoformat(body["now"]) - now < timedelta(seconds=60)
    assert [call["call_id"] for call in listed["calls"]] == ["abc123"]
    assert datetime.fromisoformat(listed["now"]) >= now
    assert unknown.status_code == 404
    assert "no record of a call 'abc'" in unknown.json()["error"]
    assert refused.status_code == 401


def test_marks_from_before_the_machine_started_are_given_no_day() -> None:
    now = datetime.now(UTC)
    (turn,) = turns_json(a_call(now), [a_turn(1, 90_000.0)], now, 500.0)
    assert turn["at"] is None
    assert round(turn["total_ms"]) == 700
