"""The measurement itself, over real WebRTC, against an agent whose delay is known."""

import asyncio
import threading
from collections.abc import Callable

import numpy as np
import pytest
from stand_in_agent import StandInAgent, offer_server, tone

from latency_bench import caller_webrtc
from latency_bench.caller_webrtc import place_call
from latency_bench.conversation import Conversation, Pace
from latency_bench.leg import Leg
from latency_bench.measures.measure import turns_of
from latency_bench.part import Part, spoken_part
from latency_bench.recording import CallFailed, CallRecording
from latency_bench.target import Target
from latency_bench.utterance import WIRE_RATE_HZ, Utterance
from latency_bench.webrtc_stamps import OPUS_LOOKAHEAD_S
from latency_bench.wire import Stream

SPEECH_S = 0.6
QUICK = Pace(
    greeting_silence_s=0.2,
    greeting_limit_s=0.3,
    answer_silence_s=0.3,
    answer_limit_s=1.5,
    pause_s=0.1,
)


def beeps(count: int) -> list[Part]:
    """0.6 s of tone between 50 ms and 150 ms of silence, each."""
    pcm = np.concatenate((np.zeros(2400, np.int16), tone(SPEECH_S), np.zeros(7200, np.int16)))
    beep = Utterance(pcm, 2400, 2400 + round(SPEECH_S * WIRE_RATE_HZ) - 1, None, "beep")
    return [spoken_part(beep, number) for number in range(count)]


async def place(
    url: str, turns: int, limit_s: float = 20, stop: asyncio.Event | None = None, **options: float
) -> CallRecording:
    placed = place_call(
        Target("webrtc", url),
        lambda rate_hz: Conversation(beeps(turns), rate_hz, QUICK),
        limit_s=limit_s,
        stop=stop,
        **options,
    )
    return await asyncio.wait_for(placed, 60)


async def call(
    agent: StandInAgent, turns: int, limit_s: float = 20, stop: asyncio.Event | None = None
) -> CallRecording:
    async with offer_server(agent) as url:
        return await place(url, turns, limit_s, stop)


@pytest.mark.parametrize("delay_s", [0.0, 0.8])
async def test_voice_to_voice_is_what_the_agent_logged(delay_s: float) -> None:
    agent = StandInAgent(speech_s=SPEECH_S, delay_s=delay_s, greeting=tone(0.4))
    recording = await call(agent, turns=2)
    assert recording.end == "completed" and recording.missed == ()
    turns = turns_of(recording)
    assert len(turns) == len(agent.answer_onsets_s) == 2
    errors_ms = []
    for turn, said, onset_s in zip(turns, recording.said, agent.answer_onsets_s, strict=True):
        truth_ms = (onset_s - recording.sent.time_s(said.last)) * 1000
        assert turn.v2v_ms is not None
        errors_ms.append(turn.v2v_ms - truth_ms - OPUS_LOOKAHEAD_S * 1000)
    # A packet cannot arrive before it is sent. The stand-in's clock is that of its track, before
    # its encoder and its loop; a busy machine adds to both, which is no error of the caller.
    assert -5 < np.median(errors_ms) < 60
    assert recording.notes == ()


async def test_packets_are_stamped_at_the_socket_and_frames_as_their_packets() -> None:
    agent = StandInAgent(speech_s=SPEECH_S, delay_s=0.1)
    recording = await call(agent, turns=1)
    packets, received, sent = recording.packets, recording.received, recording.sent
    assert packets.clock_hz == WIRE_RATE_HZ and recording.codec == "opus/48000"
    assert set(np.diff(packets.sequence)) == {1} and set(np.diff(packets.timestamp)) == {960}
    assert np.all(np.diff(packets.at_s) > 0)
    # Each frame has its own packet's arrival, the first one's for the first.
    at_s = dict(zip(packets.timestamp.tolist(), packets.at_s.tolist(), strict=True))
    first = next(t for t, at in at_s.items() if at == received.at_s[0])
    for start, arrived_s in zip(received.frame_start, received.at_s, strict=True):
        assert at_s[first + int(start)] == arrived_s
    assert recording.dialled_s < recording.answered_s < sent.at_s[0] < recording.ended_s


async def test_a_frame_is_sent_when_its_packet_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller's own encoder is no part of what is measured."""
    handed, left = [], []
    next_frame, departed = Leg.next_frame, Leg.departed

    def noted(leg: Leg, now_s: float) -> np.ndarray:
        handed.append(now_s)
        return next_frame(leg, now_s)

    def noted_too(leg: Leg, pts: int, at_s: float) -> None:
        left.append((pts, at_s))
        departed(leg, pts, at_s)

    monkeypatch.setattr(Leg, "next_frame", noted)
    monkeypatch.setattr(Leg, "departed", noted_too)
    recording = await call(StandInAgent(speech_s=SPEECH_S, delay_s=0.1), turns=0, limit_s=0.6)
    assert len(left) >= 20
    # What was on its way at the call's end left after the recording.
    for pts, at_s in left[: len(recording.sent.at_s)]:
        index = pts // 960
        assert recording.sent.at_s[index] == at_s
        assert handed[index] < at_s < handed[index] + 5


async def test_streams_are_whole_and_pings_and_hang_up_are_sent() -> None:
    agent = StandInAgent(speech_s=SPEECH_S, delay_s=0.1)
    recording = await call(agent, turns=1)
    (said,) = recording.said
    (part,) = beeps(1)
    heard_back = recording.sent.pcm[said.first - part.first :][: len(part.pcm)]
    assert np.array_equal(heard_back, part.pcm)
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
    assert recording.end == "remote" and len(recording.said) == 1


async def test_silent_calls_last_until_the_limit_and_stop_ends_them_early() -> None:
    silent = await call(StandInAgent(speech_s=SPEECH_S, delay_s=0.1), turns=0, limit_s=0.5)
    assert silent.end == "limit" and silent.said == ()
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
        task = asyncio.create_task(place(url, turns=1, limit_s=60))
        await asyncio.sleep(0.7)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 20)
    await _until(lambda: not _media_threads())


async def test_refusals_carry_the_agents_reason() -> None:
    async with offer_server(StandInAgent(speech_s=1, delay_s=None), refusal="no place") as url:
        with pytest.raises(CallFailed, match="refused the call: 503 no place") as failure:
            await place(url, 0)
    assert failure.value.outcome == "refused"


async def test_an_address_where_nobody_answers_is_named() -> None:
    with pytest.raises(
        CallFailed, match="http://127.0.0.1:1/api/offer cannot be called"
    ) as failure:
        await place("http://127.0.0.1:1/api/offer", 0)
    assert failure.value.outcome == "unreachable"


async def test_an_answer_that_is_no_sdp_is_named() -> None:
    class Garbled(StandInAgent):
        async def answer(self, offer: dict[str, str]) -> dict[str, str]:
            return {"type": "answer", "pc_id": "1"}

    async with offer_server(Garbled(speech_s=1, delay_s=None)) as url:
        with pytest.raises(CallFailed, match="no usable SDP answer"):
            await place(url, 0)


async def test_an_agent_without_opus_has_no_common_codec() -> None:
    class Deaf(StandInAgent):
        async def answer(self, offer: dict[str, str]) -> dict[str, str]:
            answer = await super().answer(offer)
            return {**answer, "sdp": answer["sdp"].replace("opus/48000/2", "speex/48000/2")}

    async with offer_server(Deaf(speech_s=1, delay_s=None)) as url:
        with pytest.raises(CallFailed) as failure:
            await place(url, 0)
    assert failure.value.outcome == "bad_codec"


async def test_an_agent_that_never_answers_the_offer_rings_for_ever() -> None:
    class Ringing(StandInAgent):
        async def answer(self, offer: dict[str, str]) -> dict[str, str]:
            await asyncio.sleep(3)
            return {}

    async with offer_server(Ringing(speech_s=1, delay_s=None)) as url:
        with pytest.raises(CallFailed, match="did not answer within") as failure:
            await place(url, 0, answer_limit_s=0.3)
        assert failure.value.outcome == "unanswered"
        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(0.3, stop.set)
        recording = await place(url, 0, stop=stop)
    assert recording.end == "stopped" and not len(recording.sent.pcm)


async def test_an_agent_that_answers_and_is_not_there_is_unreachable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(caller_webrtc, "CONNECT_LIMIT_S", 1.0)

    class Gone(StandInAgent):
        async def answer(self, offer: dict[str, str]) -> dict[str, str]:
            answer = await super().answer(offer)
            await self.close()
            return answer

    async with offer_server(Gone(speech_s=1, delay_s=None)) as url:
        with pytest.raises(CallFailed, match="answered, but") as failure:
            await place(url, 0)
    assert failure.value.outcome == "unreachable"


async def test_an_agent_that_closes_its_connection_hung_up() -> None:
    agent = StandInAgent(speech_s=SPEECH_S, delay_s=None)
    async with offer_server(agent) as url:
        placed = asyncio.create_task(place(url, turns=0))
        await _until(lambda: bool(agent.messages))
        await agent.close()
        recording = await placed
    assert recording.end == "remote" and recording.reason


async def test_an_agent_that_dies_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caller_webrtc, "DEAD_S", 1.0)
    agent = StandInAgent(speech_s=SPEECH_S, delay_s=None)
    async with offer_server(agent) as url:
        placed = asyncio.create_task(place(url, turns=0))
        await _until(lambda: bool(agent.messages))
        agent.die()
        recording = await placed
    assert recording.end == "failed" and "nothing came from the agent" in recording.reason


async def test_an_agent_that_answers_and_sends_no_sound_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(caller_webrtc, "NO_AUDIO_S", 0.5)
    agent = StandInAgent(speech_s=SPEECH_S, delay_s=None, mute=True)
    recording = await call(agent, turns=0)
    assert recording.end == "failed" and "no sound came" in recording.reason
    assert not len(recording.packets.at_s) and not len(recording.received.pcm)


async def test_hostile_messages_are_noted_and_the_call_goes_on() -> None:
    agent = StandInAgent(speech_s=SPEECH_S, delay_s=None)
    async with offer_server(agent) as url:
        placed = asyncio.create_task(place(url, turns=0))
        await _until(lambda: bool(agent.messages))
        agent._channel.send("[" * 50_000)
        agent.tell({"type": "turn", "text": "\ud800"})
        agent.tell({"type": "call.ended", "cause": "enough \ud800"})
        recording = await placed
    assert (recording.end, recording.reason) == ("remote", "enough \ufffd")
    assert recording.events[0].body["text"] == "\ufffd"
    assert recording.notes == ("the agent sent a message that is too deep to read",)


@pytest.mark.parametrize("part", ["packet", "heard", "told", "next_frame"])
async def test_a_call_whose_part_breaks_has_failed(
    part: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise KeyError("a fault of its own")

    monkeypatch.setattr(Leg, part, fail)
    agent = StandInAgent(speech_s=SPEECH_S, delay_s=None)
    async with offer_server(agent) as url:
        placed = asyncio.create_task(place(url, turns=0))
        if part == "told":
            await _until(lambda: bool(agent.messages))
            agent.tell({"type": "turn"})
        recording = await placed
    assert recording.end == "failed" and "a fault of its own" in recording.reason


async def test_pipecats_own_goodbye_ends_the_call() -> None:
    agent = StandInAgent(speech_s=SPEECH_S, delay_s=None)
    async with offer_server(agent) as url:
        placed = asyncio.create_task(place(url, turns=0))
        await _until(lambda: bool(agent.messages))
        agent.tell({"label": "rtvi-ai", "type": "bot-started-speaking"})
        agent.tell({"type": "signalling", "message": {"type": "peerLeft"}})
        recording = await placed
    assert (recording.end, recording.reason) == ("remote", "the agent left")
    assert [event.body.get("label") for event in recording.events][:2] == ["rtvi-ai", None]


async def test_without_the_inside_of_the_loop_calls_are_measured_with_a_note(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("latency_bench.webrtc_stamps.stamp_transport", lambda *_: None)
    agent = StandInAgent(speech_s=SPEECH_S, delay_s=0.1)
    recording = await call(agent, turns=1)
    assert recording.end == "completed" and len(turns_of(recording)) == 1
    assert any("event loop" in note for note in recording.notes)
    assert np.all(np.diff(recording.sent.at_s) > 0)
