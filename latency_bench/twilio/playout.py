"""What a carrier plays of the media it is sent, and when: Twilio's buffer. Pure.

A carrier's WebSocket takes audio as fast as an agent likes to send it, and plays it at the pace
of speech, each piece after the one before; ``clear`` empties what was not played yet, and a mark
comes back once all before it was played (twilio.com/docs/voice/media-streams/websocket-messages).
The caller hears a sample when it is played, whenever it arrived.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from latency_bench.recording import SILENT_PATH_S

FRAME_S = 0.02
QUEUE_LIMIT_S = 900.0
PIECES_LIMIT = 100_000
MARKS_LIMIT = 4096
NAME_LIMIT = 1024
"""Characters of a mark's name."""


@dataclass(frozen=True, slots=True)
class Played:
    """Up to 20 ms of sound."""

    pcm: NDArray[np.int16]
    at_s: float
    """When its first sample was played."""
    pts: int
    """That sample's place on the line's clock, counted from the first one played."""


class Playout:
    """The buffer of one call. Times are of one clock, in seconds, and never go back."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._frame = round(FRAME_S * rate_hz)
        self._queue: deque[tuple[NDArray[np.int16], float]] = deque()
        """What was not heard out yet, and when each piece begins."""
        self._marks: deque[tuple[str, float]] = deque()
        self._end_s: float | None = None
        """When all that is queued will have been played."""
        self._origin_s: float | None = None
        self._next_pts = 0
        self._cleared_s: float | None = None

    def media(self, pcm: NDArray[np.int16], at_s: float) -> bool:
        """Audio arrived, shape (samples,); False where the buffer is full and it is dropped."""
        if not len(pcm):
            return True
        begins_s = self._free_s(at_s)
        if begins_s - at_s > QUEUE_LIMIT_S or len(self._queue) >= PIECES_LIMIT:
            return False
        self._queue.append((pcm, begins_s))
        self._end_s = begins_s + len(pcm) / self._rate_hz
        return True

    def mark(self, name: str, at_s: float) -> bool:
        """Asks to be told when all that came before was played; False where it is dropped, as
        too many are waited for or the name is too long."""
        if len(self._marks) >= MARKS_LIMIT or len(name) > NAME_LIMIT:
            return False
        self._marks.append((name, self._free_s(at_s)))
        return True

    def clear(self, at_s: float) -> None:
        """Drops what was not played by ``at_s``; marks for it come back now."""
        self._cleared_s = at_s
        kept: deque[tuple[NDArray[np.int16], float]] = deque()
        for pcm, begins_s in self._queue:
            heard = pcm[: max(0, round((at_s - begins_s) * self._rate_hz))]
            if len(heard):
                kept.append((heard, begins_s))
        self._queue = kept
        self._marks = deque((name, min(due_s, at_s)) for name, due_s in self._marks)
        if self._end_s is not None:
            self._end_s = min(self._end_s, at_s)

    def played(self, now_s: float) -> list[Played]:
        """What was played to its end by ``now_s`` and not told of yet, in order."""
        found = []
        while self._queue:
            pcm, begins_s = self._queue[0]
            head = pcm[: self._frame]
            ends_s = begins_s + len(head) / self._rate_hz
            if ends_s > now_s:
                break
            found.append(Played(head, begins_s, self._place(begins_s, len(head))))
            rest = pcm[len(head) :]
            if len(rest):
                self._queue[0] = rest, ends_s
            else:
                self._queue.popleft()
        return found

    def marks_due(self, now_s: float) -> list[str]:
        """Marks to send back, each once, in order."""
        found = []
        while self._marks and self._marks[0][1] <= now_s:
            found.append(self._marks.popleft()[0])
        return found

    def _free_s(self, at_s: float) -> float:
        """When something that arrives at ``at_s`` can be played."""
        return at_s if self._end_s is None else max(at_s, self._end_s)

    def _place(self, begins_s: float, samples: int) -> int:
        if self._origin_s is None:
            self._origin_s = begins_s
        # A short wait for the next piece is the network's jitter, which its time tells of; as
        # silence it would cut a voice into pieces too short to be one. RTP is read the same way.
        due = round((begins_s - self._origin_s) * self._rate_hz)
        allowed = SILENT_PATH_S * self._rate_hz
        if self._cleared_s is not None and begins_s >= self._cleared_s:
            # Here the agent fell silent, for however short.
            allowed, self._cleared_s = 1.0, None
        pts = due if due - self._next_pts > allowed else self._next_pts
        self._next_pts = pts + samples
        return pts
