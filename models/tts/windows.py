"""Which frames of a sentence are turned into sound in one go. Frames are 11.6 ms at 22,050 Hz."""

from collections.abc import Iterator

FIRST_FRAMES = 12
"""140 ms of sound to begin with. A shorter one is made a little sooner, but is played out,
silent beginning and all, before the next is ready."""
LONGEST_FRAMES = 96
"""1.1 s: a barge-in, or another caller's job, waits for a window at most."""


def first_frames(ahead_s: float, frame_s: float) -> int:
    """The first window's length when so much speech is still to be played before it.

    Half of that is kept in hand: even a box that is no faster than real time is not late.
    Half the longest at most: text and flow are in the same piece of work.
    """
    return min(max(FIRST_FRAMES, int(ahead_s / 2 / frame_s)), LONGEST_FRAMES // 2)


def windows(frames: int, first: int = FIRST_FRAMES) -> Iterator[tuple[int, int]]:
    """The windows of a sentence, ``(start, end)`` in order, without gap or overlap.

    Each is as long as all before it: they double, since each costs its neighbours' frames
    again, and yet none keeps the caller waiting longer than what plays meanwhile gives it.
    A rest shorter than ``FIRST_FRAMES`` goes with the window before it.
    """
    start = 0
    while start < frames:
        end = start + min(max(start, first), LONGEST_FRAMES)
        if end + FIRST_FRAMES > frames:
            end = frames
        yield start, end
        start = end


def flow_reach(start: int, end: int, overlap: int, frames: int) -> int:
    """Up to which frame the latent is made when the decoder needs it for ``start`` to ``end``.

    The next window's part is made with it: the flow pays for its neighbours at every start.
    """
    ahead = min(end, LONGEST_FRAMES)
    return min(frames, end + overlap + ahead)
