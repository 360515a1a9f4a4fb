"""The windows of a sentence: all frames once, the first short, none but the last of odd length."""

from hypothesis import given
from hypothesis import strategies as st

from models.tts.windows import FIRST_FRAMES, LONGEST_FRAMES, flow_reach, windows


@given(st.integers(0, 5000))
def test_every_frame_once_in_order(frames: int) -> None:
    cuts = list(windows(frames))
    edges = [0, *(end for _, end in cuts)]
    assert [start for start, _ in cuts] == edges[:-1]
    assert edges[-1] == frames
    assert all(end - start <= LONGEST_FRAMES + FIRST_FRAMES for start, end in cuts)
    assert all(end - start >= min(frames, FIRST_FRAMES) for start, end in cuts)


@given(st.integers(60, 5000))
def test_no_window_is_more_than_twice_what_was_heard_before_it(frames: int) -> None:
    (_, first), *later = windows(frames)
    assert first == FIRST_FRAMES
    assert all(end - start <= 2 * start + FIRST_FRAMES for start, end in later)


@given(st.integers(1, 3000), st.integers(0, 40))
def test_the_flow_is_ahead_of_the_decoder_and_inside_the_sentence(
    frames: int, overlap: int
) -> None:
    for start, end in windows(frames):
        reach = flow_reach(start, end, overlap, frames)
        assert min(frames, end + overlap) <= reach <= frames
        if not start:
            assert reach == min(frames, end + overlap)
