"""The windows of a sentence: all frames once, the first short, none but the last of odd length."""

from hypothesis import given
from hypothesis import strategies as st

from models.tts.windows import (
    FIRST_FRAMES,
    LONGEST_FRAMES,
    first_frames,
    flow_reach,
    windows,
)


@given(st.integers(0, 5000), st.integers(FIRST_FRAMES, LONGEST_FRAMES // 2))
def test_every_frame_once_in_order(frames: int, first: int) -> None:
    cuts = list(windows(frames, first))
    edges = [0, *(end for _, end in cuts)]
    assert [start for start, _ in cuts] == edges[:-1]
    assert edges[-1] == frames
    assert all(end - start < LONGEST_FRAMES + FIRST_FRAMES for start, end in cuts)
    assert all(end - start >= min(frames, FIRST_FRAMES) for start, end in cuts)


@given(st.floats(0, 10))
def test_the_first_window_takes_half_the_time_there_is_at_most(ahead_s: float) -> None:
    first = first_frames(ahead_s, 0.0116)
    assert first == FIRST_FRAMES or first * 0.0116 <= ahead_s / 2
    assert FIRST_FRAMES <= first <= LONGEST_FRAMES // 2


@given(st.integers(60, 5000))
def test_no_window_is_longer_than_what_was_made_before_it(frames: int) -> None:
    (_, first), *later = windows(frames)
    assert first == FIRST_FRAMES
    assert all(end - start < start + FIRST_FRAMES for start, end in later)


@given(st.integers(1, 3000), st.integers(0, 40))
def test_the_flow_is_ahead_of_the_decoder_and_inside_the_sentence(
    frames: int, overlap: int
) -> None:
    for start, end in windows(frames):
        reach = flow_reach(start, end, overlap, frames)
        assert min(frames, end + overlap) <= reach <= frames


def test_the_flow_runs_once_for_two_windows() -> None:
    runs, made = [], 0
    for start, end in windows(1000):
        if made < min(1000, end + 10):
            made = flow_reach(start, end, 10, 1000)
            runs.append((start, made))
    assert runs == [(0, 34), (24, 106), (96, 298), (288, 490), (480, 682), (672, 874), (864, 1000)]
