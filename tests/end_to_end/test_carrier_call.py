"""Whole calls as each carrier streams them, with the real default models."""

import asyncio
from typing import Any

import jiwer
import numpy as np
import pytest
from boxes import OpenBox, web
from carrier_caller import CALLER, CARRIERS, DIALLED, SETTINGS, Carrier, CarrierCaller
from loopback_caller import word_error_rate, words
from spoken import SYNTHESISED, Question, recorded, synthesised

from agent.box import Box
from agent.call import Origin
from agent.engines import Engines
from agent.pipeline import CallRun
from agent.records.record import CallRecord, TurnRecord
from telephony.transport import FRAME_S, Line

GREETING = "Good morning, how can I help you?"
SHORT_GREETING = {"OFFHOOK_AGENT__GREETING": "Hello."}

Event = dict[str, Any]


def watch(box: Box, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Event]]:
    """The events of the calls that the box answers, by their door."""
    events: dict[str, list[Event]] = {name: [] for name in CARRIERS}
    answer = box.answer

    async def answering(line: Line, origin: Origin, *, waited: bool = False) -> CallRun:
        return await answer(line, emit=events[line.door].append, origin=origin, waited=waited)

    monkeypatch.setattr(box, "answer", answering)
    return events


def said(events: list[Event], kind: str) -> list[Event]:
    return [event for event in events if event["type"] == kind]


def heard_back(engines: Engines, caller: CarrierCaller, begin: int = 0) -> str:
    """The words of what the caller heard from a sample on, and of the silence after it."""
    silence = np.zeros(caller.carrier.rate_hz // 2, np.int16)
    pcm = np.concatenate([caller.audio()[begin:], silence])
    return engines.stt.transcribe(pcm, caller.carrier.rate_hz).text


def share_heard(expected: str, got: str) -> float:
    """How much of ``expected`` is in ``got``; the recogniser may say things twice at the end."""
    found = jiwer.process_words(words(expected), words(got) or "-")
    return found.hits / (found.hits + found.substitutions + found.deletions)


async def recorded_calls(box: Box) -> dict[str, tuple[CallRecord, list[TurnRecord]]]:
    """What is kept of the calls, by their door."""
    async with asyncio.timeout(10):
        while box.active_calls:
            await asyncio.sleep(0.02)
    await asyncio.to_thread(box.store.flush, 5)
    records = box.store.recent_calls(len(CARRIERS))
    return {record.door: box.store.call(record.call_id) for record in records}


@pytest.mark.parametrize("source", ["recorded", "synthesised"])
async def test_questions_over_every_carrier_at_once_are_answered_in_sound_and_recorded(
    open_box: OpenBox, engines: Engines, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    if source == "recorded":
        questions = recorded("s2i", len(CARRIERS))
    else:
        questions = [synthesised(engines, text) for text in (*SYNTHESISED, SYNTHESISED[0])]

    async def one(carrier: Carrier, question: Question) -> None:
        told = events[carrier.name]
        async with CarrierCaller(server.port, carrier) as caller:
            await caller.until(lambda: len(said(told, "turn")) == 1)
            await asyncio.sleep(0.2)  # what was sent last is on its way
            before = len(caller.audio())
            greeting = await asyncio.to_thread(heard_back, engines, caller)
            assert share_heard(GREETING, greeting) > 0.65, greeting
            await caller.say(question.at(carrier.rate_hz))
            await caller.until(lambda: len(said(told, "turn")) == 2)
            await asyncio.sleep(0.2)
            after = len(caller.audio())
            returned = await asyncio.to_thread(heard_back, engines, caller, before)
            await caller.press("5")
            await caller.until(lambda: said(told, "key"))
        first, turn = said(told, "turn")[:2]
        for samples, sent in ((before, first), (after - before, turn)):
            sent_s = sent["usage"]["audio_heard_s"]
            assert samples / carrier.rate_hz == pytest.approx(sent_s, abs=2 * FRAME_S)
        assert word_error_rate(question.text, turn["heard"]) <= 0.5, turn["heard"]
        assert share_heard(turn["answer"], returned) > 0.5, (turn["answer"], returned)
        assert not turn["interrupted"]
        assert [event["key"] for event in said(told, "key")] == ["5"]

    settings = {**SETTINGS, "OFFHOOK_AGENT__GREETING": GREETING}
    async with open_box(**settings) as box, web(box) as server:
        events = watch(box, monkeypatch)
        await asyncio.gather(*map(one, CARRIERS.values(), questions))
        kept = await recorded_calls(box)
    assert set(kept) == set(CARRIERS)
    for record, turns in kept.values():
        assert (record.caller, record.dialled) == (CALLER, DIALLED)
        assert record.cause == "caller hung up"
        assert [turn.turn for turn in turns][:2] == [0, 1]
        assert record.usage.audio_heard_s > 0


async def test_barge_in_clears_what_the_carrier_has_not_played(
    open_box: OpenBox, question: Question, monkeypatch: pytest.MonkeyPatch
) -> None:
    greeting = "Welcome to Offhook. " + "We are open every day from nine to five. " * 6

    async def one(carrier: Carrier) -> None:
        told = events[carrier.name]
        async with CarrierCaller(server.port, carrier) as caller:
            await caller.until(lambda: caller.voiced_at_s > 0)
            await asyncio.sleep(1.5)
            await caller.say(question.at(carrier.rate_hz))
            await caller.until(lambda: caller.cleared)
            await caller.until(lambda: said(told, "turn"))
        cut = said(told, "turn")[0]
        assert cut["interrupted"]
        assert 0 < len(cut["answer"]) < len(greeting) / 2
        assert greeting.startswith(cut["answer"])

    settings = {**SETTINGS, "OFFHOOK_AGENT__GREETING": greeting}
    async with open_box(**settings) as box, web(box) as server:
        events = watch(box, monkeypatch)
        await asyncio.gather(*map(one, CARRIERS.values()))


async def test_the_box_ends_a_silent_call_and_the_carrier_learns_it(open_box: OpenBox) -> None:
    settings = {**SETTINGS, **SHORT_GREETING, "OFFHOOK_CALLS__SILENCE_HANGUP_S": "2"}
    async with open_box(**settings) as box, web(box) as server:
        async with CarrierCaller(server.port, CARRIERS["telnyx"]) as caller:
            await caller.until(caller.closed.is_set)
        assert caller.close_code == 1000
        record, _ = (await recorded_calls(box))["telnyx"]
    assert record.cause == "silence"


async def test_a_carrier_that_sends_no_audio_has_lost_its_caller(
    open_box: OpenBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    from agent import pipeline

    monkeypatch.setattr(pipeline, "VANISHED_S", 1.5)
    async with open_box(**SETTINGS, **SHORT_GREETING) as box, web(box) as server:
        async with CarrierCaller(server.port, CARRIERS["plivo"]) as caller:
            await caller.until(lambda: caller.voiced_at_s > 0)
            caller.fall_silent()
            await caller.until(caller.closed.is_set)
        record, _ = (await recorded_calls(box))["plivo"]
    assert record.cause == "caller vanished"


async def test_stopping_the_box_ends_its_carriers_calls(open_box: OpenBox) -> None:
    async with open_box(**SETTINGS, **SHORT_GREETING) as box, web(box) as server:
        async with CarrierCaller(server.port, CARRIERS["vonage"]) as caller:
            await caller.until(lambda: caller.voiced_at_s > 0)
            await box.drain()
            await caller.until(caller.closed.is_set)
        assert caller.close_code == 1000
        record, _ = (await recorded_calls(box))["vonage"]
    assert record.cause == "box stopped"
