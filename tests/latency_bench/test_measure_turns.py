"""Turns from recordings whose delays are known to the sample."""

from dataclasses import replace

import numpy as np
import pytest
from constructed_call import (
    ANSWERED_S,
    FRAME,
    RATE_HZ,
    call,
    event,
    frames,
    packets,
    tone,
    turn_event,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from latency_bench.conversation import Conversation, Pace
from latency_bench.findings import Findings
from latency_bench.leg import Leg
from latency_bench.measures.measure import cost_of, measure_call, outcome_of, turns_of, unplaced
from latency_bench.measures.summary import stage_spreads
from latency_bench.part import Part
from latency_bench.recording import CallEnd, CallFailed, stream_of

MS = 1.1
"""A tone's first and last voiced samples are found to within this."""


def ms(value: float) -> object:
    return pytest.approx(value, abs=MS)


@given(delay_ms=st.integers(1, 4000), late_ms=st.integers(0, 90))
@settings(max_examples=30, deadline=None)
def test_latency_is_the_gap_between_the_voices_and_the_way(delay_ms: int, late_ms: int) -> None:
    recording = call([(2, 1)], [(3 + delay_ms / 1000, 1)], late_s=late_ms / 1000, duration_s=9)
    (turn,) = turns_of(recording)
    assert turn.v2v_ms == ms(delay_ms + late_ms)
    assert turn.first_answer_ms is None and turn.counts
    assert not turn.missed and not turn.cut_in and turn.stopped is None and turn.stop_ms is None
    assert turn.answer_from == pytest.approx((3 + delay_ms / 1000) * RATE_HZ, abs=8)
    assert turn.answer_to == pytest.approx((4 + delay_ms / 1000) * RATE_HZ, abs=8)
    assert turn.answer_began_s == pytest.approx(3 + (delay_ms + late_ms) / 1000, abs=0.0011)
    assert turn.answer_ended_s == pytest.approx(4 + (delay_ms + late_ms) / 1000, abs=0.0011)
    assert (turn.began_s, turn.ended_s) == (pytest.approx(2), pytest.approx(3, abs=0.001))


def test_the_greeting_is_no_answer_and_silence_is_a_missed_turn() -> None:
    recording = call([(4, 1)], [(0.25, 2)], duration_s=15)
    (turn,) = turns_of(recording)
    assert turn.missed and turn.v2v_ms is None and turn.answer_to == 0
    assert turn.answer_began_s is None and not turn.counts
    # Nobody spoke until the call's end.
    assert turn.dead_air_ms == ms(10_000)
    assert measure_call(recording, call=0, scenario="s", began_s=0).greeting_ms == ms(250)


def test_the_tail_of_what_the_agent_was_saying_is_no_answer() -> None:
    (turn,) = turns_of(call([(4, 1)], [(2.5, 1.6), (5.7, 1)]))
    assert turn.v2v_ms == ms(700) and not turn.cut_in
    assert turn.talk_over_ms == ms(100)


def test_a_part_that_owes_nothing_is_not_missed_and_has_no_dead_air() -> None:
    (turn,) = turns_of(call([(2, 1, {"owes_answer": False})]))
    assert not turn.missed and turn.dead_air_ms == 0 and not turn.counts


@given(early_ms=st.integers(5, 950))
@settings(max_examples=15, deadline=None)
def test_an_answer_before_the_end_is_a_cut_in(early_ms: int) -> None:
    (turn,) = turns_of(call([(2, 1)], [(3 - early_ms / 1000, 2)], duration_s=8))
    assert turn.cut_in and turn.v2v_ms == ms(-early_ms) and not turn.counts
    assert turn.talk_over_ms == ms(early_ms)


def test_noise_is_no_turn_that_an_agent_could_cut_in_on() -> None:
    noise = {"kind": "noise", "owes_answer": False}
    (turn,) = turns_of(call([(2, 3, noise)], [(3, 1)]))
    assert not turn.cut_in and turn.v2v_ms == ms(-2000)
    assert turn.talk_over_ms == 0


def test_keys_are_answered_like_words() -> None:
    (turn,) = turns_of(call([(2, 0.5, {"kind": "keys", "text": "12"})], [(2.9, 1)]))
    assert turn.v2v_ms == ms(400) and turn.said == "12" and turn.talk_over_ms == 0


def test_each_turn_gets_its_own_answer_and_clauses_belong_together() -> None:
    one, two = turns_of(call([(2, 1), (9, 1)], [(3.5, 1), (5, 1), (11, 1)]))
    assert one.v2v_ms == ms(500) and two.v2v_ms == ms(1000)
    assert one.answer_to - one.answer_from == pytest.approx(2.5 * RATE_HZ, abs=16)
    # The longest silence is the wait, or the pause between the clauses.
    assert one.dead_air_ms == ms(500) and two.dead_air_ms == ms(1000)


def test_a_pause_inside_an_answer_is_dead_air() -> None:
    (turn,) = turns_of(call([(2, 1)], [(3.2, 1), (6.7, 1)]))
    assert turn.v2v_ms == ms(200) and turn.dead_air_ms == ms(2500)


def test_the_answer_is_owed_to_the_last_part_of_a_turn() -> None:
    first, last = turns_of(call([(2, 1, {"continues": True}), (4, 1)], [(5.6, 1)]))
    assert first.v2v_ms is None and not first.missed and not first.cut_in
    assert last.v2v_ms == ms(600) and last.counts


def test_an_agent_that_speaks_in_a_pause_cuts_in_on_the_part_before() -> None:
    first, last = turns_of(call([(2, 1, {"continues": True}), (4, 1)], [(3.4, 0.3), (5.6, 1)]))
    # From the turn's end, not the part's.
    assert first.cut_in and first.v2v_ms == ms(-1600)
    assert not last.cut_in and last.v2v_ms == ms(600)


def test_an_agent_that_talks_on_after_a_pause_is_spoken_over() -> None:
    said = [(2, 1, {"continues": True}), (4, 1, {"over_agent": True})]
    first, last = turns_of(call(said, [(3.4, 0.9), (5.6, 1)]))
    assert first.cut_in and not last.cut_in
    assert last.stopped and last.stop_ms == ms(300) and last.v2v_ms == ms(600)
    assert last.talk_over_ms == ms(300)


def test_what_the_agent_says_is_found_by_time() -> None:
    stages = {"end_of_turn": 210.0, "first_packet": 12, "odd": "x", "flag": True}
    recording = call(
        [(2, 1), (9, 1)],
        [(3.5, 1), (10.5, 1)],
        events=(
            turn_event(1, 0, heard="", answer="Hello."),
            turn_event(5, 1, heard="one", answer="eins", stages_ms=stages),
            turn_event(12, 2, heard="two", answer="", total_ms=None),
            event(12.1, "cost", owned={"total_usd": "0.1"}),
            event(25, "cost", owned={"total_usd": "0.2"}),
            turn_event(25, 3, heard="too", answer="zwei", total_ms=400),
        ),
    )
    one, two = turns_of(recording)
    assert (one.heard, one.answer) == ("one", "eins")
    assert one.stages_ms == {"end_of_turn": 210.0, "first_packet": 12.0}
    assert (two.heard, two.answer, two.inside_ms) == ("two too", "zwei", 400.0)
    assert two.outside_gap_ms == ms(100)
    assert cost_of(recording) == {"owned": {"total_usd": "0.2"}}
    assert cost_of(call()) == {}


def test_a_turn_told_twice_holds_the_last_word_where_it_was_told_first() -> None:
    events = (turn_event(5, 1, heard="one"), turn_event(12, 1, heard="won"))
    one, two = turns_of(call([(2, 1), (9, 1)], [(3.5, 1), (10.5, 1)], events=events))
    assert (one.heard, two.heard) == ("won", "")


def test_an_interrupted_turn_is_told_after_the_next_one_began_and_belongs_before() -> None:
    recording = call(
        [(2, 1), (5, 1, {"over_agent": True})],
        [(3.5, 1.8), (6.5, 1)],
        events=(
            turn_event(5.4, 1, heard="first", answer="cut", interrupted=True),
            turn_event(8, 2, heard="second", answer="whole", interrupted=False),
        ),
    )
    one, two = turns_of(recording)
    assert (one.heard, one.answer) == ("first", "cut")
    assert (two.heard, two.answer) == ("second", "whole")


def test_an_agent_that_says_nothing_of_itself_is_measured_all_the_same() -> None:
    (turn,) = turns_of(call([(2, 1)], [(3.1, 1)]))
    assert turn.v2v_ms == ms(100)
    assert (turn.heard, turn.answer, turn.stages_ms, turn.inside_ms) == ("", "", {}, None)


def test_frames_are_put_in_order_and_what_never_came_is_silence() -> None:
    made = frames(tone(FRAME * 5))
    stream = stream_of([made[1], made[0], made[4]], RATE_HZ)
    assert np.array_equal(stream.pcm[: FRAME * 2], tone(FRAME * 2))
    assert not stream.pcm[FRAME * 2 : FRAME * 4].any()
    assert stream.time_s(FRAME * 4) == made[4].at_s
    assert len(stream_of([], RATE_HZ).pcm) == 0 and stream_of([], RATE_HZ).segments == []


def test_a_caller_that_stalls_still_knows_what_it_sent_when() -> None:
    pcm = tone(RATE_HZ)
    part = Part(0, "speech", pcm, RATE_HZ, 0, len(pcm) - 1)
    leg = Leg(Conversation([part], RATE_HZ, Pace(greeting_limit_s=0.1, pause_s=0)), lambda: None)
    leg.answered(ANSWERED_S)
    now_s = ANSWERED_S
    for number in range(100):
        # Half a second late, in the middle of the words.
        now_s += 0.5 if number == 30 else 0.02
        leg.next_frame(now_s)
    leg.end("completed", now_s)
    recording = leg.recording("sip", "PCMU/8000", RATE_HZ)
    (said,) = recording.said
    assert np.array_equal(recording.sent.pcm[said.first : said.last + 1], pcm)
    (turn,) = turns_of(recording)
    assert turn.ended_s - turn.began_s == pytest.approx(1.48, abs=0.001)


def test_a_call_is_measured_from_dialling_to_its_end() -> None:
    recording = call([(4, 1)], [(0.5, 1), (5.5, 1)], duration_s=8, reason="bye", notes=("odd",))
    figures = measure_call(recording, call=3, scenario="order", began_s=1.5, repeat=2)
    assert (figures.call, figures.scenario, figures.repeat, figures.began_s) == (3, "order", 2, 1.5)
    assert (figures.outcome, figures.reason, figures.notes) == ("completed", "bye", ("odd",))
    assert figures.answer_ms == pytest.approx(500) and figures.duration_s == pytest.approx(8)
    assert figures.greeting_ms == ms(500) and figures.passed
    assert figures.wire.packets == 400 and len(figures.turns) == 1
    assert figures.to_json()["turns"][0]["outside_gap_ms"] is None


def test_an_agent_that_speaks_only_when_spoken_to_has_no_greeting() -> None:
    figures = measure_call(call([(2, 1)], [(3.5, 1)]), call=0, scenario="s", began_s=0)
    assert figures.greeting_ms is None


def test_a_greeting_before_the_answer_was_not_waited_for() -> None:
    recording = call([(4, 1)], [(0.0, 2)], answered_s=ANSWERED_S + 0.1)
    assert measure_call(recording, call=0, scenario="s", began_s=0).greeting_ms == 0


@pytest.mark.parametrize("end", ["failed", "remote", "completed"])
def test_an_answered_call_without_sound_is_no_call(end: CallEnd) -> None:
    nothing = stream_of([], RATE_HZ)
    silent = replace(call(end=end, packets=packets([])), received=nothing)
    assert outcome_of(silent) == ("no_audio", "answered, and no packet of sound came")
    unknown = replace(silent, packets=packets([ANSWERED_S]), notes=("payload type 111",))
    outcome, reason = outcome_of(unknown)
    assert outcome == "bad_codec" and "payload type 111" in reason
    figures = measure_call(unknown, call=0, scenario="s", began_s=0)
    assert figures.outcome == "bad_codec" and not figures.passed
    assert outcome_of(call(end=end))[0] == end


def test_a_call_that_the_user_stopped_is_not_blamed_on_the_agent() -> None:
    nothing = stream_of([], RATE_HZ)
    recording = replace(call(end="stopped", packets=packets([])), received=nothing)
    assert outcome_of(recording)[0] == "stopped"


def test_a_call_that_was_never_placed_says_why() -> None:
    error = CallFailed("486 Busy Here", "refused")
    figures = unplaced(2, "order", "sip", error, 1.5, repeat=1)
    assert (figures.call, figures.repeat, figures.outcome) == (2, 1, "refused")
    assert figures.reason == "486 Busy Here" and not figures.passed and figures.turns == ()


def test_the_quick_report_counts_what_went_wrong_apart() -> None:
    recording = call(
        [(2, 1), (8, 1), (14, 1)],
        [(3.5, 1), (8.9, 2)],
        events=(
            turn_event(5, 1, heard="Question 0!", answer="yes", stages_ms={"a": 100}),
            turn_event(11, 2, heard="question two", answer="no", stages_ms={"a": 300}),
        ),
    )
    turns = turns_of(recording)
    report = Findings(speech="made up", turns=turns, calls=1).report({"cpu": "x"})
    assert (report["n"], report["asked"], report["missed_turns"], report["cut_ins"]) == (1, 3, 1, 1)
    assert report["v2v_ms"]["p50"] == report["v2v_ms"]["max"] == ms(500)
    assert report["stages_ms"] == {"a": {"p50": 100.0, "p95": 100.0}}
    # Expected: question zero, question one, question two; one wrong word and two missing.
    assert report["wer"] == pytest.approx(3 / 6)
    assert report["turns"][2] == {
        "turn": 2,
        "expected": "question 2",
        "heard": "",
        "answer": "",
        "v2v_ms": None,
        "cut_in": False,
        "stages_ms": {},
        "inside_ms": None,
        "missed": True,
    }
    assert stage_spreads(turns)["a"].n == 2


def test_a_quick_report_of_nothing_is_still_a_report() -> None:
    report = Findings(speech="none").report({})
    assert report["n"] == 0 and report["v2v_ms"]["p50"] is None and report["wer"] is None
