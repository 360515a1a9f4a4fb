"""Answers about many calls, while others are under way."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest
from recorded_box import CALL_ID, a_call, recorded_box

from agent.web.long_answer import long_answer

LIMIT_S = 20


def test_an_answer_is_the_same_json_as_any() -> None:
    calls: list[Any] = [{"a": 'é"\n'}, 1, None, []]
    fields = {"calls": calls, "none": [], "next": None, "at": {"b": [1.5]}}
    assert json.loads(bytes(long_answer(fields).body)) == fields
    assert long_answer({}).body == b"{}"


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_what_no_browser_reads_is_not_sent(number: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        long_answer({"calls": [{"usd": number}]})


@pytest.mark.asyncio
async def test_the_loop_writes_no_long_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the processor's time, which other work on the machine does not change."""
    async with recorded_box(tmp_path) as (box, url):
        await asyncio.to_thread(box.fill, 0)
        for number in range(500):
            record = a_call(box.bill, number, box.store.call(CALL_ID)[0].started_at)  # type: ignore[index]
            box.store.end_call(record)
        assert await asyncio.to_thread(box.store.flush, LIMIT_S)
        async with httpx2.AsyncClient(base_url=url, timeout=LIMIT_S, trust_env=False) as http:
            for address in ("/api/records/calls?limit=200", "/api/calls?limit=500", "/api/costs"):
                await http.get(address)
                before_s = time.thread_time()
                answer = await http.get(address)
                took_s = time.thread_time() - before_s
                assert answer.status_code == 200 and len(answer.content) > 1000
                assert took_s < 0.03, f"{address}: {took_s * 1000:.1f} ms on the loop"
