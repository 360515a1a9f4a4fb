import asyncio

import pytest

from latency_bench.interrupt import guarded, telling, unless


async def work(log: list[str], duration_s: float = 0.0) -> str:
    log.append("began")
    try:
        await asyncio.sleep(duration_s)
    except asyncio.CancelledError:
        log.append("cancelled")
        raise
    return "done"


async def test_undisturbed_work_gives_its_result_or_its_error() -> None:
    assert await asyncio.wait_for(unless(asyncio.Event(), work([])), 10) == "done"

    async def fail() -> None:
        raise KeyError("why")

    with pytest.raises(KeyError, match="why"):
        await asyncio.wait_for(unless(asyncio.Event(), fail()), 10)


async def test_a_stop_cancels_the_work_and_waits_for_its_end() -> None:
    stopped, log = asyncio.Event(), list[str]()
    asyncio.get_running_loop().call_later(0.05, stopped.set)
    assert await asyncio.wait_for(unless(stopped, work(log, 600)), 10) is None
    assert log == ["began", "cancelled"]


async def test_after_a_stop_no_work_begins() -> None:
    stopped, log = asyncio.Event(), list[str]()
    stopped.set()
    assert await asyncio.wait_for(unless(stopped, work(log)), 10) is None
    assert log == []


async def test_a_cancelled_waiter_takes_the_work_with_it() -> None:
    log = list[str]()
    waiter = asyncio.create_task(unless(asyncio.Event(), work(log, 600)))
    await asyncio.sleep(0.05)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(waiter, 10)
    assert log == ["began", "cancelled"]


async def test_what_nobody_waits_for_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    told: list[Exception] = []

    async def fail() -> None:
        raise KeyError("why")

    await asyncio.wait_for(telling(told.append, fail()), 10)
    calls: list[int] = []

    def act(number: int) -> None:
        calls.append(10 // number)

    acting = guarded(told.append, act)
    acting(5)
    acting(0)
    assert calls == [2] and [type(error) for error in told] == [KeyError, ZeroDivisionError]
    task = asyncio.create_task(telling(told.append, asyncio.sleep(60)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(told) == 2
