"""Lines of a call's log carry its name, wherever its own tasks write them."""

import asyncio
import io
import json
import logging
from collections.abc import Iterator

import pytest
from loguru import logger as pipecat_logger

from agent.log_context import in_call
from agent.logs import set_up_logs

log = logging.getLogger("agent.test")
LIMIT_S = 20.0


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What a process with JSON logs writes; the loggers are as before afterwards."""
    kept, level = logging.root.handlers[:], logging.root.level
    out = io.StringIO()
    monkeypatch.setattr("sys.stderr", out)
    set_up_logs("INFO", as_json=True)
    yield out
    logging.root.handlers[:] = kept
    logging.root.setLevel(level)
    pipecat_logger.remove()


async def talk(name: str) -> None:
    log.info("%s: begun", name)
    await asyncio.create_task(inner(name))
    await asyncio.to_thread(log.info, "%s: of a thread", name)
    pipecat_logger.warning(f"{name}: of Pipecat")
    log.info("%s: its own", name, extra={"call_id": "given"})


async def inner(name: str) -> None:
    await asyncio.sleep(0)
    log.info("%s: of a task within", name)


async def test_two_calls_at_once_are_told_apart(written: io.StringIO) -> None:
    log.info("before")
    async with asyncio.timeout(LIMIT_S):
        tasks = [asyncio.create_task(talk(name), context=in_call(name)) for name in ("one", "two")]
        await asyncio.gather(*tasks)
    log.info("after")
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    for name in ("one", "two"):
        mine = [line for line in lines if line["message"].startswith(name)]
        assert [line["call_id"] for line in mine] == [name] * 4 + ["given"]
    others = [line for line in lines if line["message"] in ("before", "after")]
    assert len(others) == 2 and not any("call_id" in line for line in others)
