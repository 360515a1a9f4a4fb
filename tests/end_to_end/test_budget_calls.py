"""Calls under a budget, over the loopback door with the real models."""

import asyncio
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from boxes import OpenBox
from loopback_caller import LoopbackCaller
from spoken import Question

from agent.admission import OverBudget
from agent.box import Box
from agent.budgets.opening import budgeted
from agent.records.record import CallRecord

LIMIT_TOKENS = 100
GOODBYE = "That was all for today. Goodbye."
END = f"""
[[budgets]]
name = "words"
unit = "tokens"
limit = {LIMIT_TOKENS}
action = "end"
message = "{GOODBYE}"
"""
CHEAPER = """
[[budgets]]
name = "words"
unit = "tokens"
limit = 1
action = "cheaper"
cheaper_llm = "smollm2-135m-instruct"
"""
SILENCE = f"""
[[budgets]]
name = "time"
unit = "minutes"
limit = 0.01
action = "end"
message = "{GOODBYE}"
"""
SECOND = {"OFFHOOK_CALLS__MAX_CALLS": "4", "OFFHOOK_AGENT__GREETING": ""}


async def talk_until_ended(caller: LoopbackCaller, question: Question) -> None:
    """Asks again and again, as long as it is answered."""
    while caller.ended is None and not goodbyes(caller):
        turns = len(caller.turns())
        saying = asyncio.create_task(caller.say(question.at(8000)))
        try:
            await caller.until(
                lambda turns=turns: (
                    caller.ended is not None
                    or (caller.run.call.agent_busy is False and len(caller.turns()) > turns)
                )
            )
        finally:
            saying.cancel()
    await caller.until(lambda: caller.ended is not None)


def goodbyes(caller: LoopbackCaller) -> list[dict[str, Any]]:
    """The turns in which the sentence was heard that ends the call; a caller may interrupt it."""
    return [turn for turn in caller.turns() if turn["answer"].startswith("That was all")]


def tokens(record: CallRecord) -> int:
    return record.usage.prompt_tokens + record.usage.generated_tokens


async def spent(box: Box) -> Decimal:
    assert box.budgets is not None
    (standing,) = box.budgets.standings(datetime.now(UTC))
    return standing.spent


async def test_callers_at_once_overspend_by_a_turn_each_at_most_and_are_told(
    open_box: OpenBox, question: Question
) -> None:
    async with open_box(END, **SECOND) as box, budgeted(box, {}):
        callers = [LoopbackCaller(box), LoopbackCaller(box), LoopbackCaller(box)]
        async with callers[0], callers[1], callers[2]:
            async with asyncio.timeout(100):
                await asyncio.gather(*(talk_until_ended(each, question) for each in callers))
        assert [caller.ended for caller in callers] == ["agent hung up"] * 3
        one_turn_each = 0
        for caller in callers:
            assert goodbyes(caller)
            assert all(not turn["usage"]["generated_tokens"] for turn in goodbyes(caller))
            used = [turn["usage"] for turn in caller.turns()]
            one_turn_each += max(u["prompt_tokens"] + u["generated_tokens"] for u in used)
        total = await spent(box)
        assert LIMIT_TOKENS <= total <= LIMIT_TOKENS + one_turn_each
        with pytest.raises(OverBudget, match="the budget words is spent until"):
            await box.answer(LoopbackCaller(box).line)
        assert await asyncio.to_thread(box.store.flush, 10)
        assert total == sum(map(tokens, box.store.recent_calls(10)))

        # The next process begins where this one is.
        async with open_box(END, **SECOND) as other, budgeted(other, {}):
            assert await spent(other) == total
            with pytest.raises(OverBudget):
                await other.answer(LoopbackCaller(other).line)


async def test_the_next_turn_is_the_cheaper_models(open_box: OpenBox, question: Question) -> None:
    async with open_box(CHEAPER, **SECOND) as box, budgeted(box, {}), LoopbackCaller(box) as caller:
        assert caller.run is not None
        own = caller.run.call.conversation
        await caller.say(question.at(8000))
        await caller.turn(1)
        assert caller.run.call.conversation is own
        await caller.say(question.at(8000))
        turn = await caller.turn(2)
        assert turn["answer"] and turn["usage"]["generated_tokens"] > 0
        assert caller.run.call.conversation is not own
        (event,) = [event for event in caller.events if event["type"] == "budget"]
        assert (event["action"], event["model"]) == ("cheaper", "smollm2-135m-instruct")


async def test_a_caller_who_says_nothing_is_told_before_the_line_goes_down(
    open_box: OpenBox,
) -> None:
    async with open_box(SILENCE, **SECOND) as box, budgeted(box, {}), LoopbackCaller(box) as caller:
        await caller.until(lambda: caller.ended is not None)
        assert caller.ended == "agent hung up"
        assert [turn["answer"] for turn in caller.turns()] == [GOODBYE]
        assert caller.voiced_at_s > 0
