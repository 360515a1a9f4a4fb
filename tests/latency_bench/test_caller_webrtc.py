"""The measurement itself, over real WebRTC, against an agent whose delay is known."""

import asyncio
import threading
from collections.abc import Callable

import numpy as np
import pytest
from stand_in_agent import StandInAgent, offer_server, tone

from latency_bench.analysis import turns_of
from latency_bench.caller_webrtc import CallFailed, place_call
from latency_bench.recording import CallRecording
from latency_bench.script import Pace
from latency_bench.utterance import WIRE_RATE_HZ, Utterance
from latency_bench.wire import Stream

SPEECH_S = 0.6
QUICK = Pace(
    greeting_silence_s=0.2,
    greeting_limit_s=0.3,
    answer_silence_s=0.3,
    answer_limit_s=1.5,
    pause_s=0.1,
)


def beep() -> Utterance:
    """0.6 s of tone between 50 ms and 150 ms of silence."""
    pcm = np.concatenate((np.zeros(2400, np.int16), tone(SPEECH_S), np.zeros(7200, np.int16)))
    return Utterance(pcm, 2400, 2400 + round(SPEECH_S * WIRE_RATE_HZ) - 1, None, "beep")


async def call(
    agent: StandInAgent, turns: int, limit_s: float = 20, stop: asyncio.Event | None = None
) -> CallRecording:
    async with offer_server(agent) as url:
        placed = place_call(url, [beep()] * turns, limit_s=limit_s, pace=QUICK, stop=stop)
        return await asyncio.wait_for(placed, 60)


@pytest.mark.parametrize("delay_s", [0.0, 0.2, 0.8])
async def test_voice_to_voice_is_what_the_agent_logged(delay_s: float) -> None:
    agent = StandInAgent(speech_s=SPEECH_S, delay_s=delay_s, greeting=tone(0.4))
    recording = await call(agent, turns=3)
    assert recording.end == "completed" and recording.missed == ()
    turns = turns_of(recording)
    assert len(turns) == len(agent.answer_onsets_s) == 3
    errors_ms = []
    for turn, spoken, onset_s in zip(turns, recording.spoken, agent.answer_onsets_s, strict=True):
        truth_ms = (onset_s - recording.sent.time_s(spoken.last_voiced)) * 1000
        assert turn.v2v_ms is not None
        errors_ms.append(turn.v2v_ms - truth_ms)
    # A packet cannot arrive before it is sent. Opus looks 6.5 ms ahead, the loopback and a
    # quiet machine add 1 ms; a busy one adds more, which is no error of the arithmetic.
    assert -5 < np.median(errors_ms) < 60


async def test_streams_are_whole_and_pings_and_hang_up_are_sent() -> None:
    agent = StandInAgent(speech_s=SPEECH_S, delay_s=0.1)
    recording = await call(agent, turns=1)
    (spoken,) = recording.spoken
    heard_back = recording.sent.pcm[spoken.first_sample :][: len(spoken.utterance.pcm)]
    assert np.array_equal(heard_back, spoken.utterance.pcm)
    for stream in (recording.sent, recording.received):
        assert isinstance(stream, Stream) and stream.rate_hz == WIRE_RATE_HZ
        assert set(np.diff(stream.frame_start)) == {960}
    assert np.all(np.diff(recording.sent.at_s) > 0)
    assert agent.messages[0] == "ping" and '"hangup"' in agent.messages[-1]
    assert [e.body["type"] for e in recording.events] == ["turn", "call.ended"]
    (turn,) = turns_of(recording)
    assert turn.heard == "what time is it" and turn.stages_ms["first_packet"] == 30.0


async def test_an_agent_that_never_answers_is_a_missed_turn() -> None:
    recording = await call(StandInAgent(speech_s=SPEECH_S, delay_s=None), turns=1)
    assert recording.end == "completed" and recording.missed == (0,)
    assert [turn.missed for turn in turns_of(recording)] == [True]


async def test_an_agent_that_hangs_up_ends_the_call() -> None:
    agent = StandInAgent(speech_s=SPEECH_S, delay_s=0.1, hang_up_after=1)
    recording = await call(agent, turns=3)
    assert recording.end == "remote" and len(recording.spoken) == 1


async def test_silent_calls_last_until_the_limit_and_stop_ends_them_early() -> None:
    silent = await call(StandInAgent(speech_s=SPEECH_S, delay_s=0.1), turns=0, limit_s=0.5)
    assert silent.end == "limit" and silent.spoken == ()
    assert not np.any(silent.sent.pcm)
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(0.5, stop.set)
    stopped = await call(StandInAgent(speech_s=SPEECH_S, delay_s=0.1), 3, limit_s=50, stop=stop)
    assert stopped.end == "stopped"


async def test_nothing_is_left_running() -> None:
    tasks, threads = asyncio.all_tasks(), threading.active_count()
    await call(StandInAgent(speech_s=SPEECH_S, delay_s=0.1), turns=0, limit_s=0.3)
    await _until(lambda: asyncio.all_tasks() == tasks and not _media_threads())
    # The loop's own pool (the offer, the encoder) stays, and is bounded.
    assert threading.active_count() <= threads + 16


async def _until(true: Callable[[], bool], limit_s: float = 10.0) -> None:
    for _ in range(round(limit_s / 0.02)):
        if true():
            return
        await asyncio.sleep(0.02)
    assert true(), f"not so within {limit_s} s"


def _media_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if "decoder" in thread.name]


async def test_a_cancelled_call_frees_all() -> None:
    agent = StandInAgent(speech_s=SPEECH_S, delay_s=None)
    async with offer_server(agent) as url:
        task = asyncio.create_task(place_call(url, [beep()], limit_s=60, pace=QUICK))
        await asyncio.sleep(0.7)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 20)
    await _until(lambda: not _media_threads())


async def test_refusals_carry_the_agents_reason() -> None:
    async with offer_server(StandInAgent(speech_s=1, delay_s=None), refusal="no place") as url:
        with pytest.raises(CallFailed, match="refused the call: 503 no place"):
            await asyncio.wait_for(place_call(url, [], limit_s=5), 30)


async def test_an_address_where_nobody_answers_is_named() -> None:
    with pytest.raises(CallFailed, match="http://127.0.0.1:1/api/offer cannot be called"):
        await asyncio.wait_for(place_call("http://127.0.0.1:1/api/offer", [], limit_s=5), 30)


async def test_an_answer_that_is_no_sdp_is_named() -> None:
    class Garbled(StandInAgent):
        async def answer(self, offer: dict[str, str]) -> dict[str, str]:
            return {"type": "answer", "pc_id": "1"}

    async with offer_server(Garbled(speech_s=1, delay_s=None)) as url:
        with pytest.raises(CallFailed, match="no usable SDP answer"):
            await asyncio.wait_for(place_call(url, [], limit_s=5), 30)
