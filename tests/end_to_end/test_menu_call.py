"""Press or say: keys and words of the menu, over the loopback door with the real models."""

from boxes import OpenBox
from loopback_caller import LoopbackCaller, word_error_rate
from spoken import Question, synthesised

from agent.engines import Engines
from agent.menu import CONNECTING, GOODBYE, NOT_REACHED

MENU = """
[agent]
menu = [
    { key = "1", say = ["sales"], transfer = "sip:sales@127.0.0.1" },
    { key = "2", say = ["hours", "open"], answer = "We are open from nine to five." },
    { key = "9", hang_up = true },
]
"""


async def test_a_key_of_the_menu_interrupts_and_is_answered(
    open_box: OpenBox, engines: Engines
) -> None:
    async with open_box(MENU) as box, LoopbackCaller(box) as caller:
        await caller.until(lambda: any(e["type"] == "speaking" for e in caller.events))
        caller.line.press("2")
        turn = await caller.turn(1)
        assert turn["answer"] == "We are open from nine to five."
        assert turn["heard"] == "I pressed 2 on my telephone."
        assert (await caller.turn(0))["interrupted"]
        assert turn["usage"]["generated_tokens"] == 0
        assert {"type": "key", "who": "caller", "key": "2"} in caller.events
        back = engines.stt.transcribe(caller.audio(), 8000).text
        assert word_error_rate("we are open from nine to five", back[-40:]) < 0.6, back


async def test_saying_it_does_the_same_as_pressing(open_box: OpenBox, engines: Engines) -> None:
    asks = synthesised(engines, "When are you open on Monday?")
    async with open_box(MENU) as box, LoopbackCaller(box) as caller:
        await caller.turn(0)
        await caller.say(asks.at(8000))
        turn = await caller.turn(1)
        assert "open" in turn["heard"].lower()
        assert turn["answer"] == "We are open from nine to five."


async def test_the_agent_hangs_up_when_its_goodbye_was_heard(open_box: OpenBox) -> None:
    async with open_box(MENU) as box, LoopbackCaller(box) as caller:
        await caller.turn(0)
        caller.line.press("9")
        assert (await caller.turn(1))["answer"] == GOODBYE
        await caller.until(lambda: caller.ended is not None)
        assert caller.ended == "agent hung up"


async def test_a_transfer_that_cannot_be_made_is_told_and_the_call_goes_on(
    open_box: OpenBox, question: Question
) -> None:
    async with open_box(MENU) as box, LoopbackCaller(box) as caller:
        await caller.turn(0)
        caller.line.press("1")
        assert (await caller.turn(1))["answer"] == CONNECTING
        assert (await caller.turn(2))["answer"] == NOT_REACHED
        errors = [event["message"] for event in caller.events if event["type"] == "error"]
        assert errors == ["the loopback door cannot transfer calls"]
        await caller.say(question.at(8000))
        assert (await caller.turn(3))["answer"]


async def test_keys_outside_the_menu_reach_the_model_as_one_number(open_box: OpenBox) -> None:
    async with open_box(MENU) as box, LoopbackCaller(box) as caller:
        await caller.turn(0)
        for key in "4711#":
            caller.line.press(key)
        turn = await caller.turn(1)
        assert turn["heard"] == "I pressed 4 7 1 1 on my telephone."
        assert turn["usage"]["generated_tokens"] > 0
