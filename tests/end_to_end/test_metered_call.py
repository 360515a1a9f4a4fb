"""Whole calls with the meter on: engine work is counted once, wherever a call breaks off."""

import asyncio
from types import MappingProxyType

import pytest
from boxes import OpenBox
from loopback_caller import LoopbackCaller
from spoken import Question

from agent.box import Box
from agent.engines import Engines
from agent.metering.meter import metering
from agent.records.record import CallRecord, TurnRecord
from agent.usage import Usage

RATE_HZ = 8000
NO_VARIABLES = MappingProxyType[str, str]({})


class Recorded:
    """Keeps what the box tells its watchers."""

    def __init__(self, box: Box) -> None:
        self.calls: list[CallRecord] = []
        self.turns: list[TurnRecord] = []
        box.watchers.append(self)

    def began(self, call: object) -> None:
        """Nothing yet."""

    def turn_over(self, call: object, turn: TurnRecord) -> None:
        self.turns.append(turn)

    def ended(self, call: object, record: CallRecord) -> None:
        self.calls.append(record)


def engine_s(engines: Engines) -> dict[str, float]:
    """What the engines' threads worked, by kind of job."""
    return {kind: figures.busy_s for kind, figures in engines.schedule.figures().items()}


async def test_a_call_bears_its_part_of_the_machine_and_so_does_each_turn(
    open_box: OpenBox, engines: Engines, question: Question
) -> None:
    before_s = engine_s(engines)
    settings = {"OFFHOOK_AGENT__GREETING": "Hello.", "OFFHOOK_LLM__MAX_TOKENS": "8"}
    async with open_box(**settings) as box, metering(box, NO_VARIABLES):
        recorded = Recorded(box)
        async with LoopbackCaller(box, RATE_HZ) as caller:
            await caller.turn(0)
            await caller.say(question.at(RATE_HZ))
            await caller.turn(1)
            call = caller.run.call if caller.run else None
            sent = len(b"".join(caller.heard))
    assert call is not None
    (record,) = recorded.calls
    usage = record.usage
    # Busy seconds are wall time and grow where others take the processor; these do not.
    assert usage.cpu_s > 0.1
    assert record.peak_memory_bytes > 100 * 2**20
    assert usage.bytes_in >= 16_000 and usage.bytes_out >= sent - 16_000
    # Each turn bears what came since the one before; what follows the last is the call's alone.
    parts = sum((turn.usage for turn in recorded.turns), Usage())
    assert all(turn.usage.cpu_s > 0 and turn.usage.bytes_in > 0 for turn in recorded.turns)
    assert parts.cpu_s <= usage.cpu_s + 1e-6 and parts.bytes_in <= usage.bytes_in
    # The engines say the same, from their side.
    assert usage.llm_busy_s == pytest.approx(call.conversation.busy_s)
    after_s = engine_s(engines)
    worked_s = {kind: after_s[kind] - before_s.get(kind, 0.0) for kind in after_s}
    assert 0.6 * worked_s["stt"] <= usage.stt_busy_s <= worked_s["stt"] + 1e-6
    assert 0.6 * worked_s["turn"] <= usage.turn_busy_s <= worked_s["turn"] + 1e-6
    assert 0 < usage.tts_busy_s <= worked_s["tts"] + 1e-6


async def test_a_caller_who_hangs_up_in_the_middle_leaves_nothing_uncounted(
    open_box: OpenBox, engines: Engines, question: Question
) -> None:
    async with open_box(OFFHOOK_AGENT__GREETING="") as box, metering(box, NO_VARIABLES):
        recorded = Recorded(box)
        before_s = engine_s(engines)
        async with LoopbackCaller(box, RATE_HZ) as caller:
            await caller.say(question.at(RATE_HZ))
            # What was said is being understood, and perhaps answered already.
            started = engines.schedule.figures
            await caller.until(lambda: started()["stt"].runs > 0 and engine_s(engines) != before_s)
        call = caller.run.call if caller.run else None
    assert call is not None
    usage = recorded.calls[0].usage
    after_s = engine_s(engines)
    worked_s = after_s["stt"] - before_s.get("stt", 0.0)
    assert 0.6 * worked_s <= usage.stt_busy_s <= worked_s + 1e-6
    assert usage.llm_busy_s == pytest.approx(call.conversation.busy_s)
    assert usage.llm_wasted_s <= usage.llm_busy_s + 1e-9
    assert usage.stt_wasted_s <= usage.stt_busy_s + 1e-9
    if not recorded.turns:
        # No turn came of any of it.
        assert usage.stt_wasted_s == pytest.approx(usage.stt_busy_s)
        assert usage.turn_wasted_s == pytest.approx(usage.turn_busy_s)


async def test_speech_that_nobody_hears_is_thrown_away(
    open_box: OpenBox, engines: Engines, question: Question
) -> None:
    settings = {"OFFHOOK_LLM__MAX_TOKENS": "64", "OFFHOOK_AGENT__GREETING": ""}
    async with open_box(**settings) as box, metering(box, NO_VARIABLES):
        recorded = Recorded(box)
        before_s = engine_s(engines).get("tts", 0.0)
        async with LoopbackCaller(box, RATE_HZ) as caller:
            await caller.say(question.at(RATE_HZ))
            run = caller.run
            assert run is not None
            await caller.until(lambda: run.call.agent_speaking)
    usage = recorded.calls[0].usage
    worked_s = engine_s(engines)["tts"] - before_s
    assert recorded.turns[-1].interrupted
    assert 0 < usage.tts_wasted_s <= usage.tts_busy_s + 1e-9
    assert usage.tts_busy_s <= worked_s + 1e-6
    assert usage.tts_wasted_s > 0.5 * usage.tts_busy_s


async def test_two_callers_share_the_machine_and_neither_bears_it_twice(
    open_box: OpenBox, question: Question
) -> None:
    async def talk(box: Box) -> None:
        async with LoopbackCaller(box, RATE_HZ) as caller:
            await caller.say(question.at(RATE_HZ))
            await caller.turn(1)

    async def listen(box: Box) -> None:
        async with LoopbackCaller(box, RATE_HZ):
            await talking

    settings = {"OFFHOOK_AGENT__GREETING": "", "OFFHOOK_LLM__MAX_TOKENS": "8"}
    async with open_box(**settings) as box, metering(box, NO_VARIABLES) as meter:
        recorded = Recorded(box)
        first = (await meter._read()).process_s
        talking = asyncio.create_task(talk(box))
        await listen(box)
        await talking
        await box.drain()
        spent_s = (await meter._read()).process_s - first
    by_turns = sorted(recorded.calls, key=lambda call: call.turns)
    assert [call.turns for call in by_turns] == [0, 1]
    listened, talked = (call.usage.cpu_s for call in by_turns)
    assert 0 < listened < talked
    assert listened + talked <= spent_s + 0.05
