"""The audio of one clause: what its making took, whoever waited for it."""

import asyncio
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from agent.clause_voice import ClauseVoice
from agent.conversation import SpokenAnswer, SpokenClause
from agent.engines import Engines
from agent.turn import Turn
from models.schedule import Schedule
from models.tts.base import AudioChunk

RATE_HZ = 1000
CHUNK = AudioChunk(np.zeros(100, np.int16), 0.125)


class Stopping:
    """A synthesiser that makes three pieces, each once it may."""

    sample_rate_hz = RATE_HZ

    def __init__(self) -> None:
        self.may = threading.Semaphore(0)
        self.making = threading.Event()

    def synthesize(self, text: str, ahead_s: float = 0.0) -> Iterator[AudioChunk]:
        for _ in range(3):
            self.making.set()
            assert self.may.acquire(timeout=20)
            yield CHUNK


@pytest.fixture
def voice() -> Iterator[tuple[ClauseVoice, Stopping]]:
    engine, schedule = Stopping(), Schedule()
    made = SimpleNamespace(tts=engine, schedule=schedule, phrases={"Hello.": (CHUNK,)})
    yield ClauseVoice(cast(Engines, made), "A clause."), engine
    schedule.close()


async def test_what_is_taken_is_counted_as_taken(voice: tuple[ClauseVoice, Stopping]) -> None:
    clause, engine = voice
    async with asyncio.timeout(20):
        engine.may.release(2)
        await clause.next(0.0)
        await clause.next(0.0)
    assert (clause.busy_s, clause.taken_s) == (0.25, 0.25)


async def test_a_piece_that_nobody_waits_for_any_more_is_counted(
    voice: tuple[ClauseVoice, Stopping],
) -> None:
    clause, engine = voice
    async with asyncio.timeout(20):
        waiting = asyncio.create_task(clause.next(0.0))
        await asyncio.to_thread(engine.making.wait, 20)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert clause.busy_s == 0.0
        engine.may.release()
        await clause.settled()
    assert (clause.busy_s, clause.taken_s) == (0.125, 0.0)


async def test_a_phrase_that_is_there_costs_nothing(voice: tuple[ClauseVoice, Stopping]) -> None:
    clause = ClauseVoice(voice[0]._engines, "Hello.")
    async with asyncio.timeout(20):
        assert await clause.next(0.0) is CHUNK
        await clause.settled()
    assert (clause.busy_s, clause.taken_s) == (0.0, 0.0)


async def test_of_an_answer_broken_off_what_was_not_heard_is_thrown_away(
    voice: tuple[ClauseVoice, Stopping],
) -> None:
    clause, engine = voice
    async with asyncio.timeout(20):
        engine.may.release(3)
        holding = asyncio.create_task(clause.hold(0.0))
        await holding
        await clause.next(0.0)
        await clause.next(0.0)
    turn = Turn(1, SpokenAnswer(RATE_HZ), answer="A clause.", interrupted=True)
    turn.voices.append(clause)
    turn.spoken.clauses.append(SpokenClause("A clause.", 0, samples=200))
    turn.played_samples = 50
    usage = turn.usage()
    # Three pieces were made, two were sent, and a quarter of those was heard.
    assert usage.tts_busy_s == pytest.approx(0.375)
    assert usage.tts_wasted_s == pytest.approx(0.125 + 0.25 * 0.75)
    turn.interrupted = False
    assert turn.usage().tts_wasted_s == pytest.approx(0.125)
