"""Which frames of a sentence are turned into sound in one go. Frames are 11.6 ms at 22,050 Hz."""

from collections.abc import Iterator

FIRST_FRAMES = 12
"""140 ms of sound to begin with. A shorter one is made a little sooner, but is played out,
silent beginning and all, before the next is ready."""
LONGEST_FRAMES = 96
"""1.1 s: a barge-in, or another caller's job, waits for a window at most."""


def windows(
    frames: int, first: int = FIRST_FRAMES, longest: int = LONGEST_FRAMES
) -> Iterator[tuple[int, int]]:
    """The windows of a sentence, ``(start, end)`` in order, without gap or overlap.

    They double, since each costs its neighbours' frames again and every one before it gives
    the next more time. A rest shorter than the first goes with the window before it.
    """
    start, length = 0, first
    while start < frames:
        end = start + length if start + length + first <= frames else frames
        yield start, end
        start, length = end, min(2 * length, longest)


def flow_reach(start: int, end: int, overlap: int, frames: int) -> int:
    """Up to which frame the latent is made when the decoder needs it for ``start`` to ``end``.

    Nothing beyond need for the first window, whose caller waits; later also that of the next,
    since the flow pays for its neighbours at every start.
    """
    ahead = min(2 * (end - start), LONGEST_FRAMES) if start else 0
    return min(frames, end + overlap + ahead)
