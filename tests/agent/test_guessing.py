"""A guessed answer: begun ahead, held, confirmed or thrown away, and counted."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from agent.answering import Answering
from agent.clause_voice import HELD_S
from agent.engines import Engines
from agent.guessing import DOUBT_S, Guessing
from models.errors import EngineError
from models.llm.base import (
    Conversation,
    Generation,
    GenerationEnd,
    GenerationUsage,
    Message,
    OnEnd,
    OnText,
    Sampling,
)
from models.schedule import Schedule
from models.tts.base import AudioChunk

RATE_HZ = 1000
CHUNK = AudioChunk(np.zeros(200, np.int16), 0.01)
PROMPT = (Message("system", "s"), Message("user", "What time is it?"))
OTHER = (Message("system", "s"), Message("user", "What time is it in Rome?"))


class ScriptedGeneration(Generation):
    """An answer that the test gives, piece by piece."""

    def __init__(self, on_text: OnText, on_end: OnEnd, guess: bool) -> None:
        self.on_text = on_text
        self.guess = guess
        self.confirmed = False
        self._on_end: OnEnd | None = on_end

    def confirm(self) -> None:
        self.confirmed = True

    def cancel(self) -> None:
        self.end("cancelled")

    def end(self, reason: Any = "stop", error: Exception | None = None) -> None:
        on_end, self._on_end = self._on_end, None
        if on_end is not None:
            on_end(GenerationEnd(GenerationUsage(10, 5, 3, 0.25), reason, error))


class ScriptedModel:
    """The language model's side of a conversation."""

    device = "cpu"

    def __init__(self) -> None:
        self.generations: list[ScriptedGeneration] = []
        self.busy = 0.0

    def load(self, now_s: float) -> float:
        return self.busy

    def generate(
        self,
        messages: Sequence[Message],
        sampling: Sampling,
        on_text: OnText,
        on_end: OnEnd,
        *,
        guess: bool = False,
    ) -> Generation:
        self.generations.append(ScriptedGeneration(on_text, on_end, guess))
        return self.generations[-1]


class CountingVoice:
    """A synthesiser that counts the pieces it made: ten a clause."""

    sample_rate_hz = RATE_HZ

    def __init__(self) -> None:
        self.made = 0

    def synthesize(self, text: str, ahead_s: float = 0.0) -> Iterator[AudioChunk]:
        for _ in range(10):
            self.made += 1
            yield CHUNK


class Bench:
    """One call's guessing, on scripted engines."""

    def __init__(self) -> None:
        self.model, self.voice, self.schedule = ScriptedModel(), CountingVoice(), Schedule()
        self.discarded: list[Answering] = []
        self.engines = cast(
            Engines,
            SimpleNamespace(
                llm=self.model, tts=self.voice, schedule=self.schedule, phrases={"Ready.": (CHUNK,)}
            ),
        )
        self.guessing = Guessing(
            self.engines, cast(Conversation, self.model), Sampling(), self.discarded.append
        )


def run(test: Callable[[Bench], Coroutine[Any, Any, None]]) -> None:
    async def limited() -> None:
        bench = Bench()
        try:
            async with asyncio.timeout(20):
                await test(bench)
        finally:
            bench.schedule.close()

    asyncio.run(limited())


async def until(holds: Callable[[], bool]) -> None:
    while not holds():
        await asyncio.sleep(0.005)


def test_a_confirmed_guess_is_the_answer_and_its_first_sound_is_there() -> None:
    async def check(bench: Bench) -> None:
        assert bench.guessing.begin(PROMPT, time.monotonic())
        [generation] = bench.model.generations
        assert generation.guess
        generation.on_text("It is noon. And then")
        held = round(HELD_S * RATE_HZ / len(CHUNK.pcm) + 0.49)
        await until(lambda: bench.voice.made == held)
        answering = bench.guessing.take(PROMPT)
        assert generation.confirmed
        first = await answering.next()
        assert first is not None and first.text == "It is noon." and first.voice is not None
        made = bench.voice.made
        for _ in range(held):
            assert await first.voice.next(time.monotonic()) is CHUNK
        assert bench.voice.made == made, "what was held is not made again"
        rest = [await first.voice.next(time.monotonic()) for _ in range(10 - held + 1)]
        assert rest[-1] is None and bench.voice.made == 10
        generation.end()
        assert (await answering.next()) is not None
        assert await answering.next() is None
        assert bench.discarded == []
        assert len(bench.model.generations) == 1

    run(check)


def test_no_more_than_the_beginning_is_made_of_a_guess() -> None:
    async def check(bench: Bench) -> None:
        bench.guessing.begin(PROMPT, time.monotonic())
        bench.model.generations[0].on_text("It is noon. It will be one soon. Then two.")
        bench.model.generations[0].end()
        held = round(HELD_S * RATE_HZ / len(CHUNK.pcm) + 0.49)
        await until(lambda: bench.voice.made == held)
        await asyncio.sleep(0.1)
        assert bench.voice.made == held

    run(check)


def test_a_guess_for_other_words_is_thrown_away_and_counted() -> None:
    async def check(bench: Bench) -> None:
        bench.guessing.begin(PROMPT, time.monotonic())
        bench.model.generations[0].on_text("It is noon. ")
        await until(lambda: bench.voice.made > 0)
        answering = bench.guessing.take(OTHER)
        assert answering.messages == OTHER
        [wasted] = bench.discarded
        assert wasted.messages == PROMPT
        spent_s = await wasted.settled()
        assert spent_s == pytest.approx(0.25 + 0.01 * bench.voice.made)
        made = bench.voice.made
        await asyncio.sleep(0.1)
        assert bench.voice.made == made, "nothing goes on for a guess that is gone"
        assert [g.guess for g in bench.model.generations] == [True, False]

    run(check)


def test_the_same_words_again_keep_the_guess() -> None:
    async def check(bench: Bench) -> None:
        bench.guessing.begin(PROMPT, time.monotonic())
        bench.guessing.doubt()
        bench.guessing.paused()
        await asyncio.sleep(DOUBT_S + 0.1)
        assert bench.guessing.begin(PROMPT, time.monotonic())
        assert len(bench.model.generations) == 1
        assert bench.discarded == []

    run(check)


def test_a_caller_who_goes_on_ends_the_guess() -> None:
    async def check(bench: Bench) -> None:
        bench.guessing.begin(PROMPT, time.monotonic())
        bench.guessing.doubt()
        await until(lambda: bool(bench.discarded))
        assert bench.model.generations[0]._on_end is None, "its generation was cancelled"

    run(check)


def test_a_busy_box_guesses_nothing() -> None:
    async def check(bench: Bench) -> None:
        bench.model.busy = 0.9
        assert not bench.guessing.begin(PROMPT, time.monotonic())
        assert bench.model.generations == []
        bench.guessing.take(PROMPT)
        assert [g.guess for g in bench.model.generations] == [False]

    run(check)


def test_a_rented_model_is_asked_nothing_in_vain() -> None:
    async def check(bench: Bench) -> None:
        bench.model.device = "remote"
        guessing = Guessing(
            bench.engines, cast(Conversation, bench.model), Sampling(), bench.discarded.append
        )
        assert not guessing.begin(PROMPT, time.monotonic())
        assert bench.model.generations == []

    run(check)


def test_an_answer_without_words_and_one_that_fails_say_so() -> None:
    async def check(bench: Bench) -> None:
        silent = bench.guessing.take(PROMPT)
        bench.model.generations[0].end()
        with pytest.raises(EngineError, match="no words to speak"):
            await silent.next()
        broken = bench.guessing.take(PROMPT)
        bench.model.generations[1].end("error", EngineError("out of memory"))
        with pytest.raises(EngineError, match="out of memory"):
            await broken.next()

    run(check)


def test_a_fixed_phrase_costs_the_synthesiser_nothing() -> None:
    async def check(bench: Bench) -> None:
        bench.guessing.begin(PROMPT, time.monotonic())
        bench.model.generations[0].on_text("Ready. ")
        bench.model.generations[0].end()
        await asyncio.sleep(0)
        answering = bench.guessing.take(PROMPT)
        clause = await answering.next()
        assert clause is not None and clause.voice is not None
        assert await clause.voice.next(time.monotonic()) is CHUNK
        assert await clause.voice.next(time.monotonic()) is None
        assert bench.voice.made == 0
        assert await answering.settled() == pytest.approx(0.25)

    run(check)


def test_a_guess_that_is_dropped_synthesises_nothing_more() -> None:
    async def check(bench: Bench) -> None:
        bench.guessing.begin(PROMPT, time.monotonic())
        bench.model.generations[0].on_text("It is half past")
        await asyncio.sleep(0)
        bench.guessing.drop()
        [wasted] = bench.discarded
        assert await wasted.settled() == pytest.approx(0.25)
        await asyncio.sleep(0.1)
        assert bench.voice.made == 0 and wasted.voice is None

    run(check)


def test_a_voice_that_fails_in_a_guess_fails_for_who_speaks_it_too() -> None:
    async def check(bench: Bench) -> None:
        def broken(text: str, ahead_s: float = 0.0) -> Iterator[AudioChunk]:
            raise EngineError("the voice is broken")
            yield CHUNK

        bench.voice.synthesize = broken  # type: ignore[method-assign]
        bench.guessing.begin(PROMPT, time.monotonic())
        bench.model.generations[0].on_text("It is noon. ")
        await asyncio.sleep(0.1)
        answering = bench.guessing.take(PROMPT)
        clause = await answering.next()
        assert clause is not None and clause.voice is not None
        for _ in range(2):
            with pytest.raises(EngineError, match="the voice is broken"):
                await clause.voice.next(time.monotonic())

    run(check)
