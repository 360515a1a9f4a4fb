"""Whole calls over the loopback door at telephone bandwidth, with the real default models."""

import asyncio
import threading
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from boxes import OpenBox
from loopback_caller import LoopbackCaller, word_error_rate
from numpy.typing import NDArray
from spoken import SPEECH, Question, load

from agent.admission import BoxFull
from agent.call import Origin
from agent.engines import APOLOGY, Engines
from models.errors import EngineError
from models.llm.base import (
    Conversation,
    Generation,
    LanguageModel,
    Message,
    OnEnd,
    OnText,
    Sampling,
)
from telephony.loopback import LoopbackLine

RATE_HZ = 8000
MINUTE = 60 * RATE_HZ


async def test_a_question_is_heard_answered_and_heard_back(
    open_box: OpenBox, engines: Engines, questions: list[Question]
) -> None:
    async with open_box() as box, LoopbackCaller(box, RATE_HZ) as caller:
        greeting = await caller.turn(0)
        assert greeting["answer"] == box.config.agent.greeting
        said = engines.stt.transcribe(caller.audio(), RATE_HZ).text
        assert word_error_rate("hello this is off hook how can i help you", said) < 0.6, said
        assert "how can i help you" in said.lower()
        for number, question in enumerate(questions, 1):
            before = len(caller.heard)
            await caller.say(question.at(RATE_HZ))
            turn = await caller.turn(number)
            assert word_error_rate(question.text, turn["heard"]) <= 0.5, turn["heard"]
            assert turn["answer"]
            assert not turn["interrupted"]
            back = np.frombuffer(b"".join(caller.heard[before:]), np.int16)
            returned = engines.stt.transcribe(back, RATE_HZ).text
            assert word_error_rate(turn["answer"], returned) < 0.5, (turn["answer"], returned)
            assert turn["total_ms"] == pytest.approx(sum(turn["stages_ms"].values()))
            assert turn["usage"]["generated_tokens"] > 0
            assert turn["usage"]["stt_busy_s"] > 0
    record, turns = box_records(caller, open_box_path(box))
    assert record.cause == "caller hung up"
    assert [turn.turn for turn in turns] == list(range(len(questions) + 1))
    assert record.usage.audio_heard_s > 0


def open_box_path(box):  # type: ignore[no-untyped-def]
    return box.config.records.path


def box_records(caller: LoopbackCaller, path):  # type: ignore[no-untyped-def]
    """What a new process would read of the call."""
    from agent.records.store import CallStore

    call_id = next(e["call_id"] for e in caller.events if e["type"] == "call.started")
    store = CallStore(path)
    try:
        return store.call(call_id)
    finally:
        store.close()


async def test_three_callers_at_once_each_hear_their_own_answer(
    open_box: OpenBox, questions: list[Question]
) -> None:
    async def one(question: Question) -> tuple[Question, dict, list]:
        async with LoopbackCaller(box, RATE_HZ) as caller:
            await caller.turn(0)
            await caller.say(question.at(RATE_HZ))
            return question, await caller.turn(1), caller.events

    async with open_box() as box:
        results = await asyncio.gather(*(one(question) for question in questions))
    for question, turn, events in results:
        assert word_error_rate(question.text, turn["heard"]) <= 0.5, turn["heard"]
        assert turn["answer"]
        words = [e for e in events if e["type"] == "words" and e["who"] == "caller"]
        assert [e["text"] for e in words if e["final"]] == [turn["heard"]]
    assert len({turn["heard"] for _, turn, _ in results}) == len(questions)


async def test_barge_in_silences_the_agent_and_history_keeps_what_was_heard(
    open_box: OpenBox, question: Question
) -> None:
    greeting = "Welcome to Offhook. " + "We are open every day from nine to five. " * 6
    async with (
        open_box(OFFHOOK_AGENT__GREETING=greeting) as box,
        LoopbackCaller(box, RATE_HZ) as caller,
    ):
        await caller.until(lambda: caller.voiced_at_s > 0)
        await asyncio.sleep(1.5)
        await caller.say(question.at(RATE_HZ))
        cut = await caller.turn(0)
        assert cut["interrupted"]
        assert 0 < len(cut["answer"]) < len(greeting) / 2
        assert greeting.startswith(cut["answer"])
        assert cut["usage"]["audio_heard_s"] < cut["usage"]["audio_out_s"]
        answered = await caller.turn(1)
        assert word_error_rate(question.text, answered["heard"]) <= 0.5
        messages = caller.run.call.dialogue.messages
        assert messages[1].content == cut["answer"] + ("" if cut["answer"][-1] in ".!?" else "...")
        order = [e["type"] for e in caller.events if e["type"] in ("interrupted", "turn")]
        assert order[:2] == ["interrupted", "turn"]


async def test_nothing_is_left_behind_by_a_call(open_box: OpenBox, question: Question) -> None:
    async with open_box() as box:
        await talk(box, question)  # the first call may start what lives on
        await asyncio.sleep(0.2)
        tasks, threads = len(asyncio.all_tasks()), threading.active_count()
        for _ in range(3):
            await talk(box, question)
        await asyncio.sleep(0.2)
        assert len(asyncio.all_tasks()) == tasks
        assert threading.active_count() == threads
        assert box.active_calls == 0


async def talk(box, question: Question) -> None:  # type: ignore[no-untyped-def]
    """A caller who hangs up in the middle of the answer."""
    async with LoopbackCaller(box, RATE_HZ) as caller:
        await caller.turn(0)
        await caller.say(question.at(RATE_HZ))
        await caller.until(lambda: caller.voiced_at_s > time.monotonic() - 0.1)


async def test_a_caller_who_vanishes_in_mid_turn_is_noticed_and_others_go_on(
    open_box: OpenBox, question: Question
) -> None:
    async with (
        open_box() as box,
        LoopbackCaller(box, RATE_HZ) as gone,
        LoopbackCaller(box, RATE_HZ) as other,
    ):
        await gone.turn(0)
        half = question.at(RATE_HZ)
        await gone.say(half[: len(half) // 4 * 2])
        gone.vanish()
        await other.say(question.at(RATE_HZ))
        assert (await other.turn(1))["answer"]
        await gone.until(lambda: gone.ended is not None)
        assert gone.ended == "caller vanished"
        assert other.ended is None


async def test_a_silent_caller_is_hung_up_on(open_box: OpenBox) -> None:
    async with (
        open_box(OFFHOOK_CALLS__SILENCE_HANGUP_S="4") as box,
        LoopbackCaller(box, RATE_HZ) as caller,
    ):
        await caller.until(lambda: caller.ended is not None)
    assert caller.ended == "silence"


async def test_the_box_is_full_and_has_room_again(open_box: OpenBox) -> None:
    async with open_box(OFFHOOK_CALLS__MAX_CALLS="1") as box:
        async with LoopbackCaller(box) as caller:
            with pytest.raises(BoxFull, match="max_calls"):
                async with LoopbackCaller(box):
                    pass
            await caller.turn(0)
        await caller.until(lambda: box.active_calls == 0)
        async with LoopbackCaller(box) as again:
            await again.turn(0)


async def test_a_caller_holds_the_line_until_there_is_room(open_box: OpenBox) -> None:
    settings = {"OFFHOOK_CALLS__MAX_CALLS": "1", "OFFHOOK_CALLS__QUEUE": "1"}
    async with open_box(**settings) as box:
        line = LoopbackLine(RATE_HZ)
        async with LoopbackCaller(box):
            waiting = asyncio.create_task(box.take(line, Origin()))
            async with asyncio.timeout(20):
                while not box.waiting_room.waiting:  # noqa: ASYNC110 - no event tells
                    await asyncio.sleep(0.02)
            assert not box.takes_calls
            with pytest.raises(BoxFull, match="places are taken"):
                await box.take(LoopbackLine(RATE_HZ), Origin())
            assert not waiting.done()
        async with asyncio.timeout(20):
            run = await waiting
            assert box.active_calls == 1
            await line.hang_up()
            await run.over.wait()


async def test_stopping_the_box_ends_and_records_its_calls(open_box: OpenBox) -> None:
    async with open_box() as box:
        caller = LoopbackCaller(box)
        await caller.__aenter__()
        await caller.turn(0)
        await box.drain()
        assert caller.ended == "box stopped"
        await caller.__aexit__()
        box.store.flush(5)
        assert box.store.recent_calls(1)[0].cause == "box stopped"


async def test_a_minute_of_noise_and_music_gets_no_answer(open_box: OpenBox) -> None:
    """Several lines at once, a minute each; the recorded ones where they are there."""
    names = {
        "music": "hold_music/moh-manolo_camp-morning_coffee.wav",
        "rain": "noise/esc10-rain-2-81731-A.wav",
        "dishes": "noise/noise-doing_the_dishes.wav",
    }
    rng = np.random.default_rng(1)
    sounds = {"white noise": rng.normal(0, 1500, MINUTE).astype(np.int16)}
    if SPEECH.is_dir():
        for name, path in names.items():
            pcm = np.frombuffer(load(SPEECH / path).at(RATE_HZ), np.int16)
            sounds[name] = np.tile(pcm, MINUTE // len(pcm) + 1)[:MINUTE]

    async def one(name: str, pcm: NDArray[np.int16]) -> None:
        async with LoopbackCaller(box, RATE_HZ) as caller:
            await caller.say(pcm.tobytes())
            await asyncio.sleep(2)
        assert [e for e in caller.events if e["type"] == "words"] == [], name
        assert caller.turns() == [], name

    async with open_box(OFFHOOK_AGENT__GREETING="") as box:
        await asyncio.gather(*(one(name, pcm) for name, pcm in sounds.items()))


async def test_a_turn_over_the_agent_ends_the_old_answer_and_not_the_new(
    open_box: OpenBox, question: Question
) -> None:
    greeting = "Welcome to Offhook. " + "We are open every day from nine to five. " * 4
    settings = {"OFFHOOK_AGENT__GREETING": greeting}
    async with open_box(**settings) as box, LoopbackCaller(box, RATE_HZ) as caller:
        call = caller.run.call
        await caller.until(lambda: call.turn is not None and "Offhook" in call.turn.heard_answer)
        await caller.say(question.at(RATE_HZ))
        assert (await caller.turn(0))["interrupted"]
        answered = await caller.turn(1)
        assert answered["answer"]
        assert not answered["interrupted"]
        assert answered["usage"]["audio_heard_s"] > 0
        roles = [message.role for message in caller.run.call.dialogue.messages]
        assert roles == ["system", "assistant", "user", "assistant"]


class Slow:
    """The language model, which hands its first words over late."""

    def __init__(self, model: LanguageModel, late_s: float) -> None:
        self._model, self._late_s = model, late_s

    def __getattr__(self, name: str) -> object:
        return getattr(self._model, name)

    def open(self) -> object:
        return SlowConversation(self._model.open(), self._late_s)


class SlowConversation:
    def __init__(self, conversation: Conversation, late_s: float) -> None:
        self._conversation, self._late_s = conversation, late_s

    def __getattr__(self, name: str) -> object:
        return getattr(self._conversation, name)

    def generate(
        self,
        messages: Sequence[Message],
        sampling: Sampling,
        on_text: OnText,
        on_end: OnEnd,
        *,
        guess: bool = False,
    ) -> Generation:
        late = [self._late_s]

        def after_a_while(text: str) -> None:
            if late:
                time.sleep(late.pop())
            on_text(text)

        return self._conversation.generate(messages, sampling, after_a_while, on_end, guess=guess)


async def test_a_slow_answer_is_announced_and_the_filler_is_no_part_of_it(
    open_box: OpenBox, engines: Engines, question: Question
) -> None:
    async with open_box(OFFHOOK_AGENT__FILLERS="One moment.") as box:
        box.engines = replace(box.engines, llm=Slow(box.engines.llm, 3.0))  # type: ignore[arg-type]
        async with LoopbackCaller(box, RATE_HZ) as caller:
            await caller.turn(0)
            before = len(caller.heard)
            await caller.say(question.at(RATE_HZ))
            turn = await caller.turn(1)
            heard = np.frombuffer(b"".join(caller.heard[before:]), np.int16)
            history = caller.run.call.dialogue.messages
    assert turn["answer"] and not turn["interrupted"]
    assert "moment" not in turn["answer"]
    assert all("moment" not in message.content for message in history if message.role != "system")
    assert turn["at_ms"]["first_packet"] >= turn["at_ms"]["first_token"]
    assert "moment" in engines.stt.transcribe(heard, RATE_HZ).text.lower()


class Broken:
    """An engine whose one method fails; all else is the real one's."""

    def __init__(self, engine: object, method: str) -> None:
        self._engine, self._method = engine, method

    def __getattr__(self, name: str) -> object:
        if name == self._method:
            raise EngineError(f"{name} is broken on purpose")
        return getattr(self._engine, name)


@pytest.mark.parametrize(
    ("stage", "method", "part"),
    [("stt", "transcribe_batch", "recognition"), ("tts", "synthesize", "synthesis")],
)
async def test_an_engine_that_fails_is_told_and_apologised_for(
    open_box: OpenBox, question: Question, stage: str, method: str, part: str
) -> None:
    async with open_box() as box:
        box.engines = replace(box.engines, **{stage: Broken(getattr(box.engines, stage), method)})
        async with LoopbackCaller(box, RATE_HZ) as caller:
            await caller.turn(0)
            await caller.say(question.at(RATE_HZ))
            turn = await caller.turn(1)
            assert turn["usage"]["audio_heard_s"] > 0
            errors = [event["message"] for event in caller.events if event["type"] == "error"]
    assert len(errors) >= 1
    assert part in errors[0]
    assert "on purpose" in errors[0]
    assert turn["answer"] == APOLOGY
