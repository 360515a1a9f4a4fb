"""A recording on disk: the same again, and to be listened to on one line of time."""

import wave
from pathlib import Path

import numpy as np
import pytest

from latency_bench.recording import CallRecording, Event, Frame, Packets, Said, stream_of
from latency_bench.recording_file import load, on_timeline, save, save_stereo

RATE = 8000


def frames(begin_s: float, count: int, level: int = 5000, first_pts: int = 0) -> list[Frame]:
    return [
        Frame(np.full(160, level, np.int16), begin_s + 0.02 * n, first_pts + 160 * n)
        for n in range(count)
    ]


def recording() -> CallRecording:
    return CallRecording(
        door="sip",
        codec="PCMU/8000",
        sent=stream_of(frames(100.0, 50), RATE),
        received=stream_of(frames(100.5, 25, 900), RATE),
        packets=Packets(np.array([100.5]), np.array([7]), np.array([160]), 8000),
        said=(Said(0, 0, "speech", False, False, True, 10, 700, "hello", "made up"),),
        missed=(0,),
        events=(Event(100.7, {"type": "turn", "turn": 1}),),
        dialled_s=99.0,
        answered_s=100.0,
        ended_s=101.0,
        end="completed",
        reason="",
        transferred_to=None,
        notes=("payload type 9",),
    )


def test_it_comes_back_as_it_was(tmp_path: Path) -> None:
    made = recording()
    save(made, tmp_path / "call.npz")
    back = load(tmp_path / "call.npz")
    for stream, other in ((made.sent, back.sent), (made.received, back.received)):
        assert np.array_equal(stream.pcm, other.pcm) and np.array_equal(stream.at_s, other.at_s)
        assert stream.rate_hz == other.rate_hz
    assert (back.said, back.events, back.missed) == (made.said, made.events, made.missed)
    assert (back.notes, back.codec, back.end) == (made.notes, made.codec, made.end)
    assert np.array_equal(back.packets.sequence, made.packets.sequence)


def test_both_sides_lie_where_they_were_heard(tmp_path: Path) -> None:
    save_stereo(recording(), tmp_path / "call.wav")
    with wave.open(str(tmp_path / "call.wav")) as file:
        assert (file.getnchannels(), file.getframerate(), file.getnframes()) == (2, RATE, RATE)
        both = np.frombuffer(file.readframes(RATE), "<i2").reshape(-1, 2)
    assert (both[:, 0] == 5000).all()
    assert (both[:3999, 1] == 0).all() and (both[4001:, 1] == 900).all()


def test_silence_that_was_never_sent_is_silence() -> None:
    # An agent that sends nothing while it is silent, once with timestamps that tell, once without.
    told = frames(10.0, 5) + frames(12.0, 5, first_pts=16_000)
    untold = frames(10.0, 5) + frames(12.0, 5, first_pts=800)
    for made in (told, untold):
        stream = stream_of(made, RATE)
        assert len(stream.pcm) == pytest.approx(2.1 * RATE, abs=1)
        assert stream.time_s(len(stream.pcm) - 1) == pytest.approx(12.1, abs=0.001)
        assert not stream.pcm[800 : 2 * RATE - 1].any()


def test_packets_out_of_order_and_late_ones_keep_their_place() -> None:
    made = frames(10.0, 10)
    swapped = [*made[:4], made[5], made[4], *made[6:]]
    assert np.array_equal(stream_of(swapped, RATE).frame_start, np.arange(10) * 160)
    line = on_timeline(stream_of(made, RATE), 9.9, RATE, 4000)
    assert np.flatnonzero(line)[0] == 800 and np.count_nonzero(line) == 1600
    assert on_timeline(stream_of([], RATE), 0.0, RATE, 10).tolist() == [0] * 10
