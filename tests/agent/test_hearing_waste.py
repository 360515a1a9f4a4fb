"""What hearing counts as thrown away: words and judgements that no turn came of."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.call import Call
from agent.config import Config
from agent.cost.bill import Bill
from agent.engines import Engines
from agent.stages.hearing import Hearing
from agent.usage import Usage
from models.schedule import Batched, Schedule
from models.stt.base import Transcript, Utterance
from telephony.transport import HangupCause

RATE_HZ = 8000
WINDOW = 256
LOUD, SILENT = np.full(WINDOW, 9000, np.int16).tobytes(), bytes(2 * WINDOW)
LIMIT_S = 20
STT_S, LLM_S = 0.25, 0.5


class Loudness:
    """A voice detector that takes loud for voice."""

    window_samples = WINDOW

    def speech_probability(self, window: NDArray[np.int16]) -> float:
        return 0.95 if np.abs(window).max() > 1000 else 0.01


class Silent:
    """A conversation that read ahead, and was asked nothing."""

    busy_s = LLM_S

    def prepare(self, messages: object) -> None:
        """Nothing is read here."""

    def close(self) -> None:
        """Nothing to free."""


class Store:
    """Takes records, and forgets them."""

    def __getattr__(self, name: str) -> Any:
        return lambda record: None


class Bench:
    """One call's hearing, on engines that do as they are told."""

    def __init__(self, schedule: Schedule) -> None:
        self.text = ""
        self.complete = 0.0
        recognition: Batched[Utterance, Transcript] = Batched(
            lambda heard: [Transcript(self.text, "en", 0.0, -0.1, 2, STT_S) for _ in heard],
            4,
            "stt",
        )
        engines = SimpleNamespace(
            vad=SimpleNamespace(open=lambda rate_hz: Loudness()),
            turn=SimpleNamespace(completion_probability=lambda pcm, rate_hz: self.complete),
            llm=SimpleNamespace(open=Silent, device="remote", load=lambda now_s: 0.0),
            schedule=schedule,
            recognition=recognition,
            models={},
            devices={},
        )
        config = Config.model_validate({"agent": {"greeting": ""}})
        self.call = Call(
            config=config,
            engines=cast(Engines, engines),
            store=cast(Any, Store()),
            bill=Bill.load(config),
            door="loopback",
            caller="",
            rate_in_hz=RATE_HZ,
            rate_out_hz=RATE_HZ,
        )
        self.hearing = Hearing(self.call)
        self.at_s = 100.0

    async def hear(self, window: bytes, seconds: float) -> None:
        for _ in range(round(seconds * RATE_HZ / WINDOW)):
            self.at_s += WINDOW / RATE_HZ
            await self.hearing._hear(window, self.at_s)
            await asyncio.sleep(0)

    async def until(self, what: str, least: float) -> Usage:
        """Waits until the call counted that much of something."""
        while getattr(self.call.usage, what) < least:
            await asyncio.sleep(0.01)
        return self.call.usage

    @asynccontextmanager
    async def hearing_on(self) -> AsyncIterator["Bench"]:
        async with asyncio.timeout(LIMIT_S):
            yield self
            if self.hearing._tasks:
                await asyncio.wait(self.hearing._tasks)


@pytest.fixture
def bench() -> Iterator[Bench]:
    schedule = Schedule()
    yield Bench(schedule)
    schedule.close()


async def test_a_sound_without_words_is_work_for_nothing(bench: Bench) -> None:
    async with bench.hearing_on():
        await bench.hear(LOUD, 0.6)
        bench.complete = 1.0
        await bench.hear(SILENT, 3.0)
        usage = await bench.until("stt_wasted_s", STT_S)
    assert usage.stt_busy_s == usage.stt_wasted_s > 0
    assert usage.turn_busy_s == pytest.approx(usage.turn_wasted_s)


async def test_a_pause_within_a_sentence_costs_what_was_done_for_it(bench: Bench) -> None:
    bench.text = "and then"
    async with bench.hearing_on():
        await bench.hear(LOUD, 0.6)
        await bench.hear(SILENT, 0.2)
        usage = await bench.until("stt_busy_s", STT_S)
        # Recognised, and not thrown away as long as the caller may be done.
        assert usage.stt_wasted_s == 0.0
        await bench.until("turn_busy_s", 1e-9)
        await bench.hear(LOUD, 0.6)
        usage = await bench.until("stt_wasted_s", STT_S)
    assert usage.stt_wasted_s == STT_S
    assert usage.turn_wasted_s > 0


async def test_a_caller_who_hangs_up_leaves_nothing_that_counts_as_used(bench: Bench) -> None:
    bench.text = "and then"
    async with bench.hearing_on():
        await bench.hear(LOUD, 0.6)
        await bench.hear(SILENT, 0.2)
        await bench.call.end(HangupCause.CALLER_HUNG_UP)
    usage = bench.call.usage
    assert usage.stt_busy_s == usage.stt_wasted_s
    assert usage.turn_busy_s == pytest.approx(usage.turn_wasted_s)
    # What was read ahead of an answer that never came is counted, too.
    assert (usage.llm_busy_s, usage.llm_wasted_s) == (LLM_S, LLM_S)


async def test_what_a_model_read_that_another_took_over_from_counts_too(bench: Bench) -> None:
    async with bench.hearing_on():
        bench.call.change_model(cast(Any, SimpleNamespace(open=Silent)))
        await bench.call.end(HangupCause.CALLER_HUNG_UP)
    usage = bench.call.usage
    assert (usage.llm_busy_s, usage.llm_wasted_s) == (2 * LLM_S, 2 * LLM_S)
