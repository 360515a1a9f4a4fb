"""A box that is killed with -9 in the middle of a call: what had been said and used is kept."""

import subprocess
import sys
import threading
from pathlib import Path

from agent.records.history import calls, turns
from agent.records.record import BOX_STOPPED
from agent.records.source import Source
from agent.records.store import CallStore

LIMIT_S = 90.0
CALL = """
import asyncio, sys
from loopback_caller import LoopbackCaller
from agent.box import Box
from agent.config import load_config

async def main():
    environ = {"OFFHOOK_RECORDS__PATH": sys.argv[1], "OFFHOOK_AGENT__GREETING": "Hello."}
    async with Box.load(load_config(None, environ), environ) as box:
        async with LoopbackCaller(box, 8000) as caller:
            await caller.turn(0)
            assert await asyncio.to_thread(box.store.flush, 20)
            print("greeted", flush=True)
            await asyncio.sleep(600)

asyncio.run(main())
"""


def test_a_killed_box_loses_at_most_the_turn_in_flight(tmp_path: Path) -> None:
    source = Source(tmp_path / "calls.sqlite3")
    here = Path(__file__).parent
    box = subprocess.Popen(
        [sys.executable, "-c", CALL, str(source.path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": f"{here.parents[1]}:{here}", "PATH": "/usr/bin:/bin"},
    )
    giving_up = threading.Timer(LIMIT_S, box.kill)
    giving_up.start()
    try:
        assert box.stdout is not None
        assert box.stdout.readline() == "greeted\n"
        (before,) = calls(source)
        box.kill()
        box.wait(LIMIT_S)
    finally:
        giving_up.cancel()
        box.kill()
        box.communicate(timeout=LIMIT_S)
    assert before.cause is None and before.usage.call_s > 0
    next_box = CallStore(source)
    assert next_box.flush(LIMIT_S)
    next_box.close(LIMIT_S)
    (record,) = calls(source)
    assert record.cause == BOX_STOPPED and record.usage == before.usage
    assert (
        record.usage.audio_heard_s > 0 and record.ended_at and record.ended_at > record.started_at
    )
    assert [turn.answer for turn in turns(source, record.call_id)] == ["Hello."]
