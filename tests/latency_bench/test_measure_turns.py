"""Figures from recordings whose delays are known to the sample."""

from typing import Any

import numpy as np
import pytest

from latency_bench.analysis import cost_of, spread, stage_spreads, turns_of
from latency_bench.findings import Findings
from latency_bench.recording import (
    CallRecording,
    Event,
    Frame,
    Spoken,
    lost_frames,
    stream_of,
)
from latency_bench.utterance import Utterance

RATE_HZ = 48_000
FRAME = 960
START_S = 50.0
SPEECH = 24_000
"""Half a second of speech in each utterance, after 2,400 samples of silence."""


def tone(samples: int) -> np.ndarray:
    t = np.arange(samples) / RATE_HZ
    return (np.cos(2 * np.pi * 440 * t) * 9000).astype(np.int16)


def frames(pcm: np.ndarray, late_s: float = 0.0) -> list[Frame]:
    """20 ms frames, each handed over on the dot, or arriving ``late_s`` after that."""
    return [
        Frame(pcm[at : at + FRAME], START_S + at / RATE_HZ + late_s, at)
        for at in range(0, len(pcm), FRAME)
    ]


def utterance(expected: str) -> Utterance:
    pcm = np.concatenate((np.zeros(2_400, np.int16), tone(SPEECH), np.zeros(2_400, np.int16)))
    return Utterance(pcm, 2_400, 2_400 + SPEECH - 1, expected, "test")


def call(
    asked_at: list[int],
    answers: list[tuple[int, int]],
    *,
    duration_s: float = 20.0,
    late_s: float = 0.0,
    events: tuple[Event, ...] = (),
) -> CallRecording:
    """Questions at these samples of what is sent, answers (start, length) of what comes."""
    total = round(duration_s * RATE_HZ)
    sent, received = np.zeros(total, np.int16), np.zeros(total, np.int16)
    spoken = []
    for turn, at in enumerate(asked_at):
        said = utterance(f"question {turn}")
        sent[at : at + len(said.pcm)] = said.pcm
        spoken.append(Spoken(turn, said, at))
    for at, length in answers:
        received[at : at + length] = tone(length)
    return CallRecording(
        sent=stream_of(frames(sent), RATE_HZ),
        received=stream_of(frames(received, late_s), RATE_HZ),
        spoken=tuple(spoken),
        missed=(),
        events=events,
        connected_s=START_S,
        ended_s=START_S + duration_s,
        end="completed",
        lost_frames=0,
    )


def end_of(asked_at: int) -> int:
    """The last voiced sample of a question."""
    return asked_at + 2_400 + SPEECH - 1


def turn_event(at_s: float, turn: int, **body: Any) -> Event:
    return Event(at_s, {"type": "turn", "turn": turn, **body})


@pytest.mark.parametrize("delay_ms", [1, 200, 523, 2500])
@pytest.mark.parametrize("late_s", [0.0, 0.013])
def test_latency_is_the_gap_between_the_voices_and_the_way(delay_ms: int, late_s: float) -> None:
    asked_at = 100_000
    answer_at = end_of(asked_at) + round(delay_ms * RATE_HZ / 1000)
    (turn,) = turns_of(call([asked_at], [(answer_at, 48_000)], late_s=late_s))
    assert turn.v2v_ms == pytest.approx(delay_ms + late_s * 1000, abs=2)
    assert not turn.missed and not turn.cut_in
    assert abs(turn.answer_from - answer_at) <= 100
    assert abs(turn.answer_to - (answer_at + 48_000)) <= 100


def test_the_greeting_is_no_answer_and_silence_is_a_missed_turn() -> None:
    (turn,) = turns_of(call([200_000], [(10_000, 96_000)]))
    assert turn.missed and turn.v2v_ms is None and turn.answer_to == 0


def test_an_answer_before_the_end_is_a_cut_in() -> None:
    asked_at = 100_000
    (turn,) = turns_of(call([asked_at], [(end_of(asked_at) - 9_600, 48_000)]))
    assert turn.cut_in and turn.v2v_ms == pytest.approx(-200, abs=2)


def test_each_turn_gets_its_own_answer_and_clauses_belong_together() -> None:
    first, second = 100_000, 500_000
    recording = call(
        [first, second],
        [
            (end_of(first) + 24_000, 48_000),
            (end_of(first) + 24_000 + 48_000 + 24_000, 48_000),
            (end_of(second) + 48_000, 48_000),
        ],
    )
    one, two = turns_of(recording)
    assert one.v2v_ms == pytest.approx(500, abs=2)
    assert one.answer_to - one.answer_from == pytest.approx(120_000, abs=300)
    assert two.v2v_ms == pytest.approx(1000, abs=2)


def test_what_the_box_says_is_found_by_time() -> None:
    first, second = 100_000, 500_000
    stages = {"end_of_turn": 210.0, "first_packet": 12, "odd": "x"}
    recording = call(
        [first, second],
        [(end_of(first) + 24_000, 48_000), (end_of(second) + 24_000, 48_000)],
        events=(
            turn_event(START_S + 1, 0, heard="", answer="Hello."),
            turn_event(START_S + 5, 1, heard="one", answer="eins", stages_ms=stages),
            turn_event(START_S + 12, 2, heard="two", answer="", total_ms=None),
            Event(START_S + 12.1, {"type": "cost", "owned": {"total_usd": "0.1"}}),
            Event(START_S + 25, {"type": "cost", "owned": {"total_usd": "0.2"}}),
            turn_event(START_S + 25, 3, heard="too", answer="zwei", total_ms=400),
        ),
    )
    one, two = turns_of(recording)
    assert (one.heard, one.answer) == ("one", "eins")
    assert one.stages_ms == {"end_of_turn": 210.0, "first_packet": 12.0}
    assert (two.heard, two.answer, two.inside_ms) == ("two too", "zwei", 400.0)
    assert cost_of(recording) == {"owned": {"total_usd": "0.2"}}
    assert cost_of(call([], [])) == {}


def test_an_agent_that_says_nothing_of_itself_is_measured_all_the_same() -> None:
    (turn,) = turns_of(call([100_000], [(end_of(100_000) + 4_800, 48_000)]))
    assert turn.v2v_ms == pytest.approx(100, abs=2)
    assert (turn.heard, turn.answer, turn.stages_ms, turn.inside_ms) == ("", "", {}, None)


def test_frames_are_put_in_order_and_lost_ones_counted() -> None:
    made = frames(tone(FRAME * 5))
    stream = stream_of([made[1], made[0], made[4]], RATE_HZ)
    assert np.array_equal(stream.pcm[: FRAME * 2], tone(FRAME * 2))
    assert stream.time_s(FRAME * 2) == made[4].at_s
    assert lost_frames([made[1], made[0], made[4]]) == 2
    assert lost_frames(made) == lost_frames([]) == 0
    assert len(stream_of([], RATE_HZ).pcm) == 0 and stream_of([], RATE_HZ).segments == []


def test_percentiles_interpolate_between_ranks() -> None:
    found = spread([10.0, 20.0, 30.0, 40.0])
    assert found is not None and found.n == 4
    assert (found.p50, found.p95) == (25.0, pytest.approx(38.5))
    assert (found.min, found.max) == (10.0, 40.0)
    assert spread([]) is None


def test_the_report_counts_what_went_wrong_apart() -> None:
    first, second, third = 50_000, 350_000, 650_000
    recording = call(
        [first, second, third],
        [(end_of(first) + 24_000, 48_000), (end_of(second) - 4_800, 48_000)],
        events=(
            turn_event(START_S + 4, 1, heard="Question 0!", answer="yes", stages_ms={"a": 100}),
            turn_event(START_S + 11, 2, heard="question two", answer="no", stages_ms={"a": 300}),
        ),
    )
    turns = turns_of(recording)
    findings = Findings(speech="made up", turns=turns, calls=1)
    report = findings.report({"cpu": "x"})
    assert (report["n"], report["asked"], report["missed_turns"], report["cut_ins"]) == (1, 3, 1, 1)
    assert report["v2v_ms"]["p50"] == report["v2v_ms"]["max"] == pytest.approx(500, abs=2)
    assert report["stages_ms"] == {"a": {"p50": 100.0, "p95": 100.0}}
    # Expected: question zero, question one, question two; one wrong word and two missing.
    assert report["wer"] == pytest.approx(3 / 6)
    assert len(report["turns"]) == 3 and report["turns"][2]["missed"]
    assert stage_spreads(turns)["a"].n == 2


def test_a_report_of_nothing_is_still_a_report() -> None:
    report = Findings(speech="none").report({})
    assert report["n"] == 0 and report["v2v_ms"]["p50"] is None and report["wer"] is None
