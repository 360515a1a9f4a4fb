"""The meter over calls that come, work and go."""

import asyncio
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any, cast

import pytest

from agent.call import Call
from agent.metering import meter as module
from agent.metering.meter import Meter
from agent.metering.reading import Reading
from agent.usage import Usage


class Scripted:
    """Counters that a test turns on."""

    def __init__(self) -> None:
        self.reading = Reading(0.0, 0.0, 0.0)
        self.reads = 0
        self.fails = False

    def on(self, seconds: float, cpu_s: float, memory_bytes: int = 0) -> None:
        was = self.reading
        self.reading = Reading(
            was.at_s + seconds, was.process_s + cpu_s, was.machine_s + cpu_s, memory_bytes
        )

    def read(self) -> Reading:
        self.reads += 1
        if self.fails:
            raise OSError("the counters are gone")
        return self.reading


class Working:
    """A call that does what a test says."""

    def __init__(self, call_id: str) -> None:
        self.call_id = call_id
        self.work_s = {"turn_taking": 0.0, "stt": 0.0, "llm": 0.0, "tts": 0.0}
        self.peak_memory_bytes = 0
        self.given = Usage()
        self.settle: Callable[[], Coroutine[Any, Any, None]]

    def metered(self, usage: Usage) -> None:
        self.given += usage


def begin(meter: Meter, name: str) -> Working:
    working = Working(name)
    meter.began(cast(Call, working))
    return working


@pytest.fixture
def counters(monkeypatch: pytest.MonkeyPatch) -> Scripted:
    # The scripted clock stands at 0, and every reading counts as old.
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: float("inf")))
    return Scripted()


def a_meter(counters: Scripted, devices: dict[str, str] | None = None) -> Meter:
    return Meter(counters, devices or {}, every_s=3600)


async def test_each_call_gets_its_part_of_the_work(counters: Scripted) -> None:
    async with asyncio.timeout(20), a_meter(counters) as meter:
        one, other = begin(meter, "one"), begin(meter, "other")
        counters.on(1.0, 0.9, memory_bytes=700)
        one.work_s["llm"], other.work_s["stt"] = 0.6, 0.3
        await one.settle()
        assert one.given.cpu_s == pytest.approx(0.6)
        assert other.given.cpu_s == pytest.approx(0.3)
        counters.on(1.0, 0.5, memory_bytes=500)
        other.work_s["stt"] = 0.8
        await other.settle()
        meter.ended(cast(Call, other), cast(Any, None))
        assert (one.peak_memory_bytes, other.peak_memory_bytes) == (700, 700)
        counters.on(1.0, 0.1, memory_bytes=900)
        await one.settle()
    assert one.given.cpu_s == pytest.approx(0.7)
    assert other.given.cpu_s == pytest.approx(0.8)
    assert (one.peak_memory_bytes, other.peak_memory_bytes) == (900, 700)


async def test_work_of_another_machine_is_none_of_this_ones(counters: Scripted) -> None:
    async with asyncio.timeout(20), a_meter(counters, {"llm": "remote", "tts": "cuda"}) as meter:
        one, other = begin(meter, "one"), begin(meter, "other")
        counters.on(1.0, 0.5)
        one.work_s["llm"], other.work_s["tts"] = 5.0, 0.1
        await meter.settle()
    assert one.given.cpu_s == 0.0
    assert other.given.cpu_s == pytest.approx(0.5)


async def test_what_is_seen_twice_counts_once(counters: Scripted) -> None:
    async with asyncio.timeout(20), a_meter(counters) as meter:
        one, other = begin(meter, "one"), begin(meter, "other")
        one.work_s["tts"] = 0.5
        counters.on(1.0, 1.0)
        await meter.settle()
        # A turn that is being closed is missing for a moment.
        one.work_s["tts"], other.work_s["tts"] = 0.0, 0.5
        counters.on(1.0, 1.0)
        await meter.settle()
        one.work_s["tts"], other.work_s["tts"] = 0.5, 0.6
        counters.on(1.0, 1.0)
        await meter.settle()
    assert one.given.cpu_s == pytest.approx(1.0)
    assert other.given.cpu_s == pytest.approx(2.0)


async def test_turns_that_end_together_share_a_reading(
    counters: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: 5.0))
    async with asyncio.timeout(20), a_meter(counters) as meter:
        counters.on(5.0, 0.1)
        await asyncio.gather(*(meter.settle() for _ in range(10)))
        assert counters.reads == 2


async def test_it_reads_by_itself_and_outlives_what_goes_wrong(
    counters: Scripted, caplog: pytest.LogCaptureFixture
) -> None:
    async with asyncio.timeout(20), Meter(counters, {}, every_s=0.01) as meter:
        counters.fails = True
        while "could not be metered" not in caplog.text:
            await asyncio.sleep(0.01)
        counters.fails = False
        call = begin(meter, "one")
        counters.on(1.0, 0.25)
        while not call.given.cpu_s:
            await asyncio.sleep(0.01)
    assert call.given.cpu_s == pytest.approx(0.25)


async def test_once_closed_nothing_is_read(counters: Scripted) -> None:
    async with asyncio.timeout(20):
        async with a_meter(counters) as meter:
            call = begin(meter, "one")
        counters.on(1.0, 1.0)
        await call.settle()
    assert call.given == Usage()
