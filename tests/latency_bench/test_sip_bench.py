"""What the SIP bench makes of packets, and one round against a real agent."""

import argparse
import json
import socket
from pathlib import Path

import numpy as np
import pytest

from latency_bench import sip_bench
from latency_bench.sip.call import SipCall
from latency_bench.sip.g711 import encode
from latency_bench.sip.rtp_wire import FRAME_S
from latency_bench.sip.scripted_call import (
    FRAME_SAMPLES,
    SILENCE,
    Heard,
    ScriptedAudio,
    ScriptedCall,
    ScriptedEvents,
)
from latency_bench.sip_bench import bursts, measure, summary
from latency_bench.target import Target

LOUD = encode(np.full(FRAME_SAMPLES, 9000, np.int16))


def _call(delay_s: float, lost: frozenset[int] = frozenset()) -> ScriptedCall:
    """A caller whose bursts come back ``delay_s`` later, and half a frame into a packet."""
    frames = bursts(5)
    half = FRAME_SAMPLES // 2
    late = SILENCE[:half] + LOUD[:half]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unused:
        audio = ScriptedAudio(unused, frames)
    for index, frame in enumerate(frames):
        at_s = 1000 + index * FRAME_S
        audio.sent.append(at_s)
        begins = frame != SILENCE and frames[index - 1] == SILENCE
        payload = late if begins else (LOUD if frame != SILENCE else SILENCE)
        if index not in lost:
            arrival_s = at_s + delay_s - FRAME_S / 2
            audio.heard.append(Heard(arrival_s, (65000 + index) & 0xFFFF, payload))
    signalling = SipCall(Target("sip", "sip:agent@127.0.0.1"), ScriptedEvents())
    return ScriptedCall(audio, 3.0, 1000.0, signalling)


def test_the_delay_is_known_to_the_sample() -> None:
    measured = measure(_call(0.05))
    assert measured.added_delay_ms == pytest.approx([50.0] * 4, abs=0.2)
    assert measured.bursts == 4
    assert measured.lost == 0
    assert measured.gaps_ms == pytest.approx([20.0] * 249, abs=0.001)
    assert measured.first_sound_ms == pytest.approx(550, abs=0.2)


def test_lost_packets_are_counted_over_the_wrap_of_their_numbers() -> None:
    measured = measure(_call(0.05, frozenset({10, 11, 60, 200, 206})))
    assert measured.lost == 5
    assert max(measured.gaps_ms) == pytest.approx(60.0)


def test_a_round_without_an_echo_says_none_and_not_zero() -> None:
    call = _call(0.05)
    call.audio.heard.clear()
    found = summary([measure(call)], None)
    assert found["added_delay_ms"] == {"p50": None, "p99": None, "max": None}
    assert found["bursts_unanswered"] == 4
    assert found["cpu_per_call"] is None


def test_a_round_against_a_real_agent(tmp_path: Path) -> None:
    report = tmp_path / "sip.json"
    args = argparse.Namespace(target=None, calls=[2], seconds=4, json=report, echo=False)
    assert sip_bench.run(args) == 0
    row = json.loads(report.read_text())["calls"]["2"]
    assert row["answer_ms"]["p50"] > 0
    assert row["gap_ms"]["p50"] == pytest.approx(20, abs=4)
    # Answered at all, and by what was said: not how fast.
    assert row["added_delay_ms"]["p50"] > 0
    assert row["cpu_per_call"] > 0


def test_an_agent_that_is_not_there_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("latency_bench.sip.call.SILENCE_LIMIT_S", 1.0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind(("127.0.0.1", 0))
        target = f"sip:agent@127.0.0.1:{deaf.getsockname()[1]}"
        args = argparse.Namespace(target=target, calls=[1], seconds=4, json=None, echo=False)
        assert sip_bench.run(args) == 1
    assert "no answer to INVITE within 1 s" in capsys.readouterr().err.replace("\n", " ")
