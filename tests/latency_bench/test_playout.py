import numpy as np
import pytest
from numpy.typing import NDArray

from latency_bench.twilio.playout import (
    MARKS_LIMIT,
    NAME_LIMIT,
    PIECES_LIMIT,
    QUEUE_LIMIT_S,
    Playout,
)

RATE_HZ = 8000


def sound(duration_s: float, value: int = 1) -> NDArray[np.int16]:
    return np.full(round(duration_s * RATE_HZ), value, np.int16)


def test_what_comes_at_once_is_played_end_to_end() -> None:
    playout = Playout(RATE_HZ)
    playout.media(sound(0.05, 1), 10.0)
    playout.media(sound(0.05, 2), 10.0)
    assert playout.played(10.019) == []
    first = playout.played(10.0601)
    assert [len(p.pcm) for p in first] == [160, 160, 80]
    assert [p.at_s for p in first] == pytest.approx([10.0, 10.02, 10.04])
    rest = playout.played(20.0)
    assert [p.at_s for p in rest] == pytest.approx([10.05, 10.07, 10.09])
    assert [p.pts for p in (*first, *rest)] == [0, 160, 320, 400, 560, 720]
    assert {int(p.pcm[0]) for p in rest} == {2}
    assert playout.played(30.0) == []


def test_what_comes_late_is_played_as_it_comes_with_silence_before() -> None:
    playout = Playout(RATE_HZ)
    playout.media(sound(0.02), 10.0)
    playout.media(sound(0.02), 10.5)
    one, two = playout.played(11.0)
    assert (one.at_s, two.at_s) == (10.0, 10.5)
    assert (one.pts, two.pts) == (0, 4000)


def test_pieces_of_odd_lengths_neither_overlap_nor_tear() -> None:
    playout = Playout(RATE_HZ)
    for _ in range(200):
        playout.media(sound(0.01, 1)[:67], 3.3)
    found = playout.played(100.0)
    ends = [p.pts + len(p.pcm) for p in found]
    assert [p.pts for p in found[1:]] == ends[:-1]


def test_clear_keeps_what_was_played_and_frees_the_line() -> None:
    playout = Playout(RATE_HZ)
    playout.media(sound(5.0), 10.0)
    playout.mark("end", 10.0)
    playout.clear(10.13)
    assert playout.marks_due(10.13) == ["end"]
    kept = playout.played(10.13)
    assert sum(len(p.pcm) for p in kept) == round(0.13 * RATE_HZ)
    playout.media(sound(0.02, 7), 10.2)
    (after,) = playout.played(11.0)
    assert after.at_s == 10.2 and after.pts == 1600


def test_clear_of_nothing_is_nothing() -> None:
    playout = Playout(RATE_HZ)
    playout.clear(1.0)
    playout.media(sound(0.02), 2.0)
    playout.clear(5.0)
    assert len(playout.played(5.0)) == 1 and playout.marks_due(5.0) == []


def test_marks_come_back_in_order_once_what_precedes_them_was_played() -> None:
    playout = Playout(RATE_HZ)
    playout.mark("at once", 10.0)
    playout.media(sound(0.1), 10.0)
    playout.mark("after it", 10.01)
    playout.mark("too", 10.02)
    assert playout.marks_due(10.0) == ["at once"]
    assert playout.marks_due(10.09) == []
    assert playout.marks_due(10.1001) == ["after it", "too"]
    assert playout.marks_due(99.0) == []


def test_no_sound_takes_no_time_and_too_much_is_dropped() -> None:
    playout = Playout(RATE_HZ)
    assert playout.media(sound(0.0), 1.0)
    minute = sound(60.0)
    kept = [playout.media(minute, 1.0) for _ in range(30)]
    assert kept.count(True) == QUEUE_LIMIT_S // 60 + 1 and kept[-1] is False


def test_a_voice_whose_pieces_come_late_stays_in_one_piece_with_its_times() -> None:
    playout = Playout(RATE_HZ)
    for at_s in (10.0, 10.05, 10.07):
        playout.media(sound(0.02), at_s)
    pieces = playout.played(11.0)
    assert [piece.pts for piece in pieces] == [0, 160, 320]
    assert [piece.at_s for piece in pieces] == pytest.approx([10.0, 10.05, 10.07])
    # Longer than jitter is silence.
    playout.media(sound(0.02), 10.5)
    (after,) = playout.played(11.0)
    assert after.pts == 4000


def test_marks_and_pieces_are_bounded() -> None:
    playout = Playout(RATE_HZ)
    playout.media(sound(60.0), 1.0)
    assert not playout.mark("x" * (NAME_LIMIT + 1), 1.0)
    assert all(playout.mark(str(number), 1.0) for number in range(MARKS_LIMIT))
    assert not playout.mark("one more", 1.0)
    assert len(playout.marks_due(99.0)) == MARKS_LIMIT
    assert playout.mark("again", 99.0)
    piece = np.ones(1, np.int16)
    kept = [playout.media(piece, 1.0) for _ in range(PIECES_LIMIT + 5)]
    assert kept.count(True) == PIECES_LIMIT - 1 and kept[-1] is False
