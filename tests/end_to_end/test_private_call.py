"""What is kept of a call: sound from when the caller was told on, and words without numbers."""

import asyncio
import time
import wave
from pathlib import Path

import numpy as np
import pytest
from boxes import OpenBox, web
from loopback_caller import LoopbackCaller, word_error_rate
from numpy.typing import NDArray
from spoken import Question

from agent.box import Box
from agent.engines import Engines
from agent.records.history import events as events_of
from agent.records.record import CallRecord, TurnRecord
from agent.redaction import CARD, KEY
from latency_bench.caller_webrtc import place_call
from latency_bench.conversation import Conversation
from latency_bench.part import spoken_part
from latency_bench.target import Target
from latency_bench.utterance import prepare
from telephony import recording

CONSENT = "This call is recorded."
RATE_HZ = 8000
LIMIT_S = 20.0
BEEP = (np.sin(np.arange(RATE_HZ) * 0.5) * 9000).astype(np.int16)
"""A second at 640 Hz."""


def both_sides(path: Path) -> NDArray[np.int16]:
    """The caller's samples and the agent's, once what waits is on the disk."""
    recording._disk.submit(lambda: None).result(LIMIT_S)
    with wave.open(str(path)) as file:
        pcm = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    return pcm.reshape(-1, 2)


def recorded(box: Box, call_id: str) -> tuple[CallRecord, list[TurnRecord]]:
    assert box.store.flush(LIMIT_S)
    found = box.store.call(call_id)
    assert found is not None
    return found


def settings(folder: Path, **more: str) -> dict[str, str]:
    return {"OFFHOOK_RECORDS__AUDIO": str(folder), **more}


async def test_nothing_is_kept_of_what_came_before_the_caller_was_told(
    open_box: OpenBox, engines: Engines, tmp_path: Path
) -> None:
    folder = tmp_path / "sound"
    async with open_box(**settings(folder)) as box, LoopbackCaller(box, RATE_HZ) as caller:
        # Over the announcement the caller makes a sound, which neither stops it nor is kept.
        await caller.say(BEEP.tobytes())
        assert not folder.exists()
        greeting = await caller.turn(0)
        heard = engines.stt.transcribe(caller.audio(), RATE_HZ).text
        began = [event for event in caller.events if event["type"] == "recording"]
        assert caller.run is not None
        path = Path(caller.run.call.recording)
        call_id = caller.run.call.call_id
        after = BEEP // 2
        await caller.say(after.tobytes())
    assert began == [{"type": "recording", "announced": CONSENT}]
    assert greeting["answer"] == f"{CONSENT} {box.config.agent.greeting}"
    assert not greeting["interrupted"]
    assert word_error_rate(greeting["answer"].replace("Offhook", "off hook"), heard) < 0.5, heard
    assert path == folder / f"{call_id}.wav"
    mode = await asyncio.to_thread(lambda: path.stat().st_mode)
    assert mode & 0o777 == 0o600
    both = both_sides(path)
    kept = engines.stt.transcribe(np.ascontiguousarray(both[:, 1]), RATE_HZ).text
    assert "recorded" not in kept.lower() and "help you" in kept.lower(), kept
    # The louder sound was made before, the quieter one after.
    loudest = int(np.abs(both[:, 0].astype(np.int32)).max())
    assert 4000 < loudest < 5000, loudest
    assert recorded(box, call_id)[0].recording == str(path)


async def test_a_caller_who_leaves_before_is_not_recorded(
    open_box: OpenBox, tmp_path: Path
) -> None:
    folder = tmp_path / "sound"
    async with open_box(**settings(folder)) as box, LoopbackCaller(box, RATE_HZ) as caller:
        await caller.until(lambda: any(e["type"] == "speaking" for e in caller.events))
        await caller.line.hang_up()
        await caller.until(lambda: caller.ended is not None)
        assert caller.run is not None
        call = caller.run.call
    assert call.recording == ""
    assert not folder.exists()


async def test_put_on_hold_before_it_was_told_a_call_is_not_recorded(
    open_box: OpenBox, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "sound"
    async with open_box(**settings(folder)) as box, LoopbackCaller(box, RATE_HZ) as caller:
        await caller.until(lambda: any(e["type"] == "speaking" for e in caller.events))
        caller.line.put_on_hold(True)
        assert (await caller.turn(0))["interrupted"]
        await caller.until(lambda: "not recorded: the caller could not be told" in caplog.text)
        assert caller.run is not None and not caller.run.call.announcing
    assert not folder.exists()


async def test_without_an_announcement_it_is_kept_from_the_first_sound(
    open_box: OpenBox, tmp_path: Path
) -> None:
    folder = tmp_path / "sound"
    quiet = settings(folder, OFFHOOK_RECORDS__CONSENT="", OFFHOOK_AGENT__GREETING="")
    async with open_box(**quiet) as box, LoopbackCaller(box, RATE_HZ) as caller:
        await caller.until(lambda: any(e["type"] == "recording" for e in caller.events))
        await caller.say(BEEP.tobytes())
        began_s = time.monotonic()
        await caller.until(lambda: time.monotonic() > began_s + 0.2)
        assert caller.run is not None
        path = Path(caller.run.call.recording)
    both = both_sides(path)
    assert np.abs(both[:, 0].astype(np.int32)).max() > 8000


async def test_a_call_over_webrtc_is_kept_with_both_sides(
    open_box: OpenBox, engines: Engines, question: Question, tmp_path: Path
) -> None:
    folder = tmp_path / "sound"
    said = prepare(question.pcm, question.rate_hz, expected=question.text, source="test")
    variables = settings(
        folder,
        OFFHOOK_SERVER__PORT="0",
        OFFHOOK_AGENT__GREETING="How can I help you?",
        OFFHOOK_LLM__MAX_TOKENS="4",
    )
    async with open_box(**variables) as box, web(box) as server:
        call = await place_call(
            Target("webrtc", server.url + "api/offer"),
            lambda rate_hz: Conversation([spoken_part(said)], rate_hz),
            limit_s=60.0,
        )
    assert call.end == "completed"
    (path,) = folder.glob("*.wav")
    both = both_sides(path)
    left, right = np.ascontiguousarray(both[:, 0]), np.ascontiguousarray(both[:, 1])
    caller = engines.stt.transcribe(left, 16000).text
    agent = engines.stt.transcribe(right, 16000).text
    assert word_error_rate(question.text, caller) <= 0.5, caller
    assert "recorded" not in agent.lower() and "help you" in agent.lower(), agent
    record, turns = recorded(box, path.stem)
    assert record.recording == str(path)
    assert turns[0].answer.startswith(CONSENT)


async def test_a_card_number_that_is_pressed_is_answered_and_not_kept(
    open_box: OpenBox, caplog: pytest.LogCaptureFixture
) -> None:
    number = "4111111111111111"
    async with (
        open_box(
            OFFHOOK_RECORDS__REDACT="cards",
            OFFHOOK_AGENT__GREETING="",
            OFFHOOK_LLM__MAX_TOKENS="4",
        ) as box,
        LoopbackCaller(box, RATE_HZ) as caller,
    ):
        await caller.until(lambda: any(e["type"] == "call.started" for e in caller.events))
        for key in f"{number}#":
            caller.line.press(key)
        turn = await caller.turn(1)
        assert caller.run is not None
        call = caller.run.call
        # The model, and whoever watches the call now, are told.
        assert turn["heard"] == f"I pressed {' '.join(number)} on my telephone."
        assert turn["heard"] in [message.content for message in call.dialogue.messages]
    _, turns = recorded(box, call.call_id)
    assert turns[0].heard == f"I pressed {CARD} on my telephone."
    kept = events_of(box.store.source, call.call_id)
    assert [event.detail["key"] for event in kept if event.kind == "key"] == [*[KEY] * 16, "#"]
