"""The measurement itself, over real WebRTC, against an agent whose delay is known."""

import asyncio

import numpy as np
import pytest
from stand_in_agent import StandInAgent, offer_server, tone

from latency_bench.analysis import turns_of
from latency_bench.caller_webrtc import place_call
from latency_bench.script import Pace
from latency_bench.utterance import WIRE_RATE_HZ, Utterance

SPEECH_S = 0.6
QUICK = Pace(
    greeting_silence_s=0.2,
    greeting_limit_s=0.3,
    answer_silence_s=0.3,
    answer_limit_s=2.5,
    pause_s=0.1,
)


def beep() -> Utterance:
    """0.6 s of tone between 50 ms and 150 ms of silence."""
    pcm = np.concatenate((np.zeros(2400, np.int16), tone(SPEECH_S), np.zeros(7200, np.int16)))
    return Utterance(pcm, 2400, 2400 + round(SPEECH_S * WIRE_RATE_HZ) - 1, None, "beep")


@pytest.mark.parametrize("delay_s", [0.0, 0.2, 0.8])
async def test_voice_to_voice_is_what_the_agent_logged(delay_s: float) -> None:
    agent = StandInAgent(speech_s=SPEECH_S, delay_s=delay_s, greeting=tone(0.4))
    async with offer_server(agent) as url:
        recording = await asyncio.wait_for(
            place_call(url, [beep()] * 4, limit_s=20, pace=QUICK), 40
        )
    assert recording.end == "completed"
    turns = turns_of(recording)
    assert len(turns) == len(agent.answer_onsets_s) == 4
    errors_ms = []
    for turn, spoken, onset_s in zip(turns, recording.spoken, agent.answer_onsets_s, strict=True):
        truth_ms = (onset_s - recording.sent.time_s(spoken.last_voiced)) * 1000
        assert turn.v2v_ms is not None
        errors_ms.append(turn.v2v_ms - truth_ms)
    print(f"delay {delay_s}: errors", [round(e, 1) for e in errors_ms])
    # A packet cannot arrive before it is sent; encoder, loopback and a busy machine add some.
    assert -7 < np.median(errors_ms) < 30
