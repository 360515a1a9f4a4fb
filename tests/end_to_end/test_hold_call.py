"""A call on hold: nobody listens, and what comes is music or other people's words."""

import asyncio

import pytest
from boxes import OpenBox
from loopback_caller import LoopbackCaller, word_error_rate
from spoken import Question

from agent.pipeline import CannotDo


async def test_what_comes_on_hold_is_not_heard_and_the_call_goes_on_after(
    open_box: OpenBox, question: Question
) -> None:
    async with open_box() as box, LoopbackCaller(box) as caller:
        await caller.until(lambda: any(e["type"] == "speaking" for e in caller.events))
        caller.line.put_on_hold(True)
        assert (await caller.turn(0))["interrupted"]
        await caller.say(question.at(8000))
        assert caller.run is not None
        with pytest.raises(CannotDo, match="on hold"):
            await caller.run.say("Is anybody there?")
        await asyncio.sleep(2)
        assert len(caller.turns()) == 1
        caller.line.put_on_hold(False)
        await caller.until(lambda: not caller.run.call.on_hold)
        await caller.say(question.at(8000))
        turn = await caller.turn(1)
        assert word_error_rate(question.text, turn["heard"]) <= 0.5, turn["heard"]
        assert turn["answer"]


async def test_a_call_forgotten_on_hold_ends(open_box: OpenBox) -> None:
    async with open_box(OFFHOOK_CALLS__MAX_HOLD_S="1") as box, LoopbackCaller(box) as caller:
        await caller.turn(0)
        caller.line.put_on_hold(True)
        await caller.until(lambda: caller.ended is not None)
        assert caller.ended == "time limit"
