"""A comparison's arithmetic on made-up trials: rows, ratios, skipping, capacity, gaps."""

import json
from collections.abc import Sequence
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from latency_bench.compare_peers.gaps import audible_gaps, long_holes, stalls
from latency_bench.compare_peers.picture import write_picture
from latency_bench.compare_peers.ratios import ratios_of, sentence
from latency_bench.compare_peers.rows import (
    capacities,
    discarded_fraction,
    hopeless,
    row_of,
    skipped_row,
)
from latency_bench.compare_peers.told import Told, told_of
from latency_bench.compare_peers.trial import Trial
from latency_bench.compare_peers.view import show
from latency_bench.figures import CallFigures, Outcome, TurnFigures
from latency_bench.load.callers import Window
from latency_bench.load.saturation import Usage
from latency_bench.target import Door
from latency_bench.wire import Stream

RATE_HZ = 16_000


def turn(v2v_ms: float | None = 500.0, **changes: Any) -> TurnFigures:
    made = TurnFigures(
        part=0, step=0, kind="speech", said=None, source="", over_agent=False, continues=False,
        owes_answer=True, began_s=4.0, ended_s=5.0, v2v_ms=v2v_ms, missed=v2v_ms is None,
        answer_ended_s=None if v2v_ms is None else 8.0,
    )  # fmt: skip
    return replace(made, **changes)


def call(
    number: int, *turns: TurnFigures, outcome: Outcome = "completed", duration_s: float = 10.0
) -> CallFigures:
    return CallFigures(
        call=number, scenario="compare", door="webrtc", outcome=outcome, answer_ms=0.0,
        began_s=10.0, duration_s=duration_s, turns=turns,
    )  # fmt: skip


def usage(cores: float | None, rss_mb: float | None) -> Usage:
    return Usage(2, 1.5, 0.2, 8000.0, 4000.0, box_cores=cores, rss_mb=rss_mb)


def trial(*made: CallFigures, **changes: Any) -> Trial:
    base = Trial(
        "self", "webrtc", 1, 0, made=made, asked={one.call: len(one.turns) for one in made},
        window=Window(10.0, 100.0), usage=usage(0.8, 900.0),
    )  # fmt: skip
    return replace(base, **changes)


def answers(*v2v_ms: float | None) -> list[CallFigures]:
    """Calls of one question each."""
    return [call(number, turn(value)) for number, value in enumerate(v2v_ms)]


def test_a_row_pools_its_rounds_and_takes_a_filler_for_no_answer() -> None:
    filler = turn(300.0, first_answer_ms=1300.0, filler=True)
    first = trial(call(0, turn(500.0), filler), gaps={0: 2})
    second = trial(call(0, turn(700.0)), round=1, usage=usage(1.0, 950.0))
    row = row_of([first, second])
    assert row["v2v_ms"]["p50"] == 700 and row["v2v_ms"]["n"] == 3
    assert row["first_sound_ms"]["p50"] == 500 and row["fillers"] == 1
    assert row["questions"] == 3 and row["missed_turns"] == row["broken_turns"] == 0
    assert row["gaps"] == 2 and row["rounds"] == 2
    assert row["cpu"] == 0.9 and row["rss_mb"] == 950
    assert [one["v2v_ms"]["p50"] for one in row["by_round"]] == [900, 700]
    assert row["discarded_fraction"] is None and row["stages_ms"] == {}
    assert {"peer", "door", "calls", "v2v_ms", "missed_turns", "false_cutoffs", "gaps", "cpu",
            "rss_mb", "discarded_fraction"} <= set(row)  # fmt: skip


def test_a_false_cut_off_is_counted_and_is_no_latency() -> None:
    row = row_of([trial(call(0, turn(-400.0, cut_in=True), turn(600.0)))])
    assert row["false_cutoffs"] == 1
    assert row["v2v_ms"]["n"] == 1 and row["v2v_ms"]["p50"] == 600


def test_what_a_broken_call_kept_from_being_asked_or_answered_is_broken() -> None:
    cut = call(0, turn(), turn(answer_ended_s=9.9), outcome="failed")
    refused = call(1, outcome="refused", duration_s=0.0)
    fine = call(2, turn(), turn())
    row = row_of([trial(cut, refused, fine, asked={0: 4, 1: 3, 2: 5})])
    # Two unasked and one cut off, three refused; whoever hung up at the end broke nothing.
    assert row["broken_turns"] == 6 and row["questions"] == 9
    assert row["outcomes"] == {"failed": 1, "refused": 1, "completed": 1}


def test_calls_under_way_when_the_agent_died_are_broken() -> None:
    cut_short = call(0, turn(), outcome="stopped")
    assert row_of([trial(cut_short, asked={0: 3})])["broken_turns"] == 0
    died = row_of([trial(cut_short, asked={0: 3}, error="the box ended with exit status 1")])
    assert died["broken_turns"] == 2
    assert died["errors"] == ["round 1: the box ended with exit status 1"]
    assert died["broken_limits"], "who dies carries nothing"


def test_an_agent_that_never_came_up_is_a_row() -> None:
    row = row_of([Trial("self", "sip", 4, 0, error="not ready after 120 s")])
    assert row["v2v_ms"] is None and row["questions"] == 0 and row["cpu"] is None
    assert row["gaps"] is None
    assert row["broken_limits"] == ["round 1: not ready after 120 s"]
    assert hopeless(row) == "at 4 calls round 1: not ready after 120 s"


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (answers(*[1000.0] * 20), ""),
        (answers(*[3000.0] * 20), ""),
        (answers(*[5000.0] * 20), "at 2 calls P95 was 5,000 ms already"),
        (answers(600.0, None, None), "at 2 calls 67% of questions were missed or broken already"),
    ],
)
def test_who_failed_badly_is_not_asked_for_more(made: list[CallFigures], why: str) -> None:
    assert hopeless(row_of([trial(*made, calls=2)])) == why
    assert not why or hopeless(skipped_row("self", "webrtc", 8, why)) == why


def test_the_capacity_ends_at_the_first_level_that_is_not_carried() -> None:
    def row(peer: str, calls: int, made: Sequence[CallFigures], **more: Any) -> dict[str, Any]:
        return row_of([trial(*made, peer=peer, calls=calls, **more)])

    good, slow = answers(*[900.0] * 9), answers(*[1300.0] * 9)
    rows = [
        row("self", 1, good), row("self", 2, good), row("self", 4, slow), row("self", 8, good),
        row("other", 1, good, gaps={0: 1}), row("other", 2, good),
        row("third", 1, answers(*[900.0] * 99, None)),
        row("fourth", 1, answers(*[900.0] * 101, None)),
        row("fifth", 1, good), skipped_row("fifth", "webrtc", 2, "hopeless"),
    ]  # fmt: skip
    found = {name: doors["webrtc"] for name, doors in capacities(rows).items()}
    assert found == {"self": 2, "other": 0, "third": 0, "fourth": 1, "fifth": 1}


def compared(ours: Trial, theirs: Trial) -> tuple[dict[str, Any], str]:
    """The ratios, and what is said of them."""
    rows = row_of([ours]), row_of([theirs])
    figures = ratios_of(*rows, [ours], [theirs])
    return figures, sentence(*rows, figures)


def test_a_ratio_is_ours_by_theirs_and_says_whether_it_is_real() -> None:
    rng = np.random.default_rng(3)
    ours = trial(*answers(*rng.normal(450, 30, 30).tolist()), calls=2)
    theirs = trial(
        *answers(*rng.normal(1500, 90, 30).tolist(), None), usage=usage(1.6, 1800.0), peer="stock"
    )
    found, said = compared(ours, theirs)
    p50 = found["v2v_p50"]
    assert p50["ratio"] == pytest.approx(0.3, rel=0.05)
    assert p50["ci95"][0] < p50["ratio"] < p50["ci95"][1] < 0.4
    assert found["cpu"] == {"ours": 0.8, "theirs": 1.6, "ratio": 0.5}
    assert found["rss_mb"]["ratio"] == 0.5
    assert said.startswith("2 calls over webrtc: self answers sooner, and the difference is real")
    assert said.endswith("; stock lost 3% of its questions).")
    assert "stock answers later" in compared(theirs, ours)[1]
    assert compared(ours, theirs)[0] == found


def test_no_difference_is_claimed_without_grounds() -> None:
    rng = np.random.default_rng(4)
    one = trial(*answers(*rng.normal(800, 200, 8).tolist()))
    other = trial(*answers(*rng.normal(800, 200, 8).tolist()), peer="stock")
    assert "no difference can be shown" in compared(one, other)[1]
    found, said = compared(trial(*answers(400.0, 410.0)), other)
    assert found["v2v_p50"]["ci95"] is None and found["v2v_p50"]["ratio"] is not None
    assert "too few calls to say" in said
    found, said = compared(trial(*answers(None, None, None)), other)
    assert found["v2v_p50"]["ratio"] is None and "self answered nothing" in said
    # Quick where it answered at all: that says nothing.
    few = trial(*answers(*[300.0] * 5, *[None] * 7))
    assert "nothing to compare" in compared(few, other)[1]
    assert "self lost 58% of its questions" in compared(few, other)[1]


def test_engine_time_thrown_away_is_summed_over_the_calls() -> None:
    def body(discarded_s: float | None, at: str | None, stage_ms: float) -> dict[str, Any]:
        used = {"stt_busy_s": 1.0, "llm_busy_s": 2.0, "tts_busy_s": 1.0, "vad_busy_s": 9.0}
        if discarded_s is not None:
            used["stt_wasted_s"] = discarded_s
        greeting = {"turn": 0, "at": at, "stages_ms": {"first_audio": 1.0}}
        answered = {"turn": 1, "at": at, "stages_ms": {"transcript": stage_ms}}
        return {"call": {"usage": used}, "turns": [greeting, answered]}

    began = "2026-11-22T10:00:00+00:00"
    from_s = 1795341600.0
    told = told_of([body(1.0, began, 100.0), body(None, None, 7.0), body(0.5, began, 300.0)],
                   from_s, from_s + 1)  # fmt: skip
    assert told == Told([{"transcript": 100.0}, {"transcript": 300.0}], 12.0, 1.5, 3)
    two = [trial(*answers(500.0), told=told), trial(*answers(500.0), told=Told((), 8.0, 1.0, 1))]
    assert discarded_fraction(two) == pytest.approx(2.5 / 20)
    row = row_of(two)
    assert row["stages_ms"] == {"transcript": 200.0}
    with pytest.raises(KeyError):
        told_of([{"call": {}, "turns": []}], 0, 1)


def report(*trials: tuple[str, Door, int, Sequence[float | None]]) -> dict[str, Any]:
    rows, by_key = [], {}
    for peer, door, calls, values in trials:
        by_key[peer, door, calls] = made = trial(
            *answers(*values), peer=peer, door=door, calls=calls
        )
        rows.append(row_of([made]))
    rows.append(skipped_row("stock", "webrtc", 4, "at 2 calls P95 was 5,000 ms already"))
    ratios: dict[str, Any] = {"webrtc": {}}
    for calls in (1, 2):
        sides = [by_key[name, "webrtc", calls] for name in ("self", "stock")]
        figures, said = compared(*sides)
        figures["sentence"] = said
        ratios["webrtc"][str(calls)] = figures
    return {
        "rows": rows, "ratios": {"stock": ratios}, "capacity": capacities(rows),
        "settings": {"limits": {"v2v_p95_ms": 1200.0, "lost_share": 0.01}},
    }  # fmt: skip


def test_the_table_holds_both_rows_and_the_ratio_and_all_is_json(tmp_path: Path) -> None:
    made = report(
        ("self", "webrtc", 1, [400.0] * 5), ("stock", "webrtc", 1, [1600.0] * 5),
        ("self", "webrtc", 2, [500.0] * 5), ("stock", "webrtc", 2, [None] * 5),
    )  # fmt: skip
    json.dumps(made, allow_nan=False)
    out = StringIO()
    show(Console(file=out, width=200), made)
    text = out.getvalue()
    assert "0.25 x" in text and "ours / stock" in text
    assert "1,600" in text and "the difference is real" in text
    assert "stock answered nothing" in text
    assert "not tried: at 2 calls P95 was 5,000 ms already" in text
    assert "self: 2 over webrtc" in text and "stock: 0 over webrtc" in text
    show(Console(file=out, width=200), {"rows": []})
    assert "Nothing was measured." in out.getvalue()
    pictures = write_picture(made, tmp_path)
    assert [path.name for path in pictures] == ["compare.png", "compare-dark.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in pictures)
    assert write_picture({"rows": made["rows"][-1:]}, tmp_path) == []


def voice(seconds: float) -> np.ndarray[Any, np.dtype[np.int16]]:
    at = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return (8000 * np.sin(2 * np.pi * 220 * at)).astype(np.int16)


def silence(seconds: float) -> np.ndarray[Any, np.dtype[np.int16]]:
    return np.zeros(round(seconds * RATE_HZ), np.int16)


def faded(pcm: np.ndarray[Any, np.dtype[np.int16]]) -> np.ndarray[Any, np.dtype[np.int16]]:
    """Dies away over 60 ms, as a word does."""
    length = round(0.06 * RATE_HZ)
    shape = np.ones(len(pcm))
    shape[-length:] = np.linspace(1, 0, length) ** 2
    shape[:length] = np.linspace(0, 1, length) ** 2
    return (pcm * shape).astype(np.int16)


@pytest.mark.parametrize("seconds", [0.08, 0.3, 1.2])
def test_a_voice_that_is_cut_off_and_back_as_suddenly_has_a_gap(seconds: float) -> None:
    cut = np.concatenate([voice(0.8), silence(seconds), voice(0.8)])
    assert long_holes(cut, RATE_HZ) == 1
    twice = np.concatenate([cut, silence(seconds), voice(0.5)])
    assert long_holes(twice, RATE_HZ) == 2


def test_a_pause_that_dies_away_and_one_between_clauses_are_no_gaps() -> None:
    said = np.concatenate([faded(voice(0.8)), silence(0.3), faded(voice(0.8))])
    assert long_holes(said, RATE_HZ) == 0
    apart = np.concatenate([voice(0.8), silence(1.8), voice(0.8)])
    assert long_holes(apart, RATE_HZ) == 0
    assert long_holes(voice(2.0), RATE_HZ) == long_holes(silence(1.0), RATE_HZ) == 0
    assert long_holes(voice(0.01), RATE_HZ) == 0


def test_a_frame_that_comes_too_late_for_any_player_is_a_stall() -> None:
    frame = RATE_HZ // 50
    pcm = np.concatenate([voice(1.0), silence(0.4), voice(1.0)])
    starts = np.arange(0, len(pcm), frame)

    def held(at_sample: int, seconds: float) -> int:
        at_s = starts / RATE_HZ + np.where(starts >= at_sample, seconds, 0.0)
        return stalls(Stream(pcm, starts, at_s, RATE_HZ), 0, len(pcm))

    assert held(RATE_HZ // 2, 0.3) == 1
    assert held(RATE_HZ // 2, 0.1) == 0, "a player waits as long"
    assert held(round(1.2 * RATE_HZ), 0.5) == 0, "it was silent"


def test_only_the_answers_that_count_are_looked_at() -> None:
    holed = np.concatenate([voice(0.5), silence(0.03), voice(0.5), silence(0.3), voice(0.5)])
    pcm = np.concatenate([silence(0.5), holed, silence(2.0), holed, silence(0.5)])
    stream = Stream(pcm, starts := np.arange(0, len(pcm), 320), starts / RATE_HZ, RATE_HZ)
    first = round(0.5 * RATE_HZ)
    counted = turn(answer_from=first, answer_to=first + len(holed))
    assert audible_gaps(stream, [counted], lost=False) == 2
    unanswered = turn(None)
    assert audible_gaps(stream, [unanswered], lost=False) == 0
