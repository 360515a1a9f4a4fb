"""Keys pressed in a call, as RTP events (RFC 4733). Pure."""

import struct
from collections import deque
from dataclasses import dataclass

KEYS = "0123456789*#ABCD"
"""Their place is their event code (RFC 4733, table 3)."""
FRAME_MS = 20
PRESS_FRAMES = 5
PAUSE_FRAMES = 5
PRESS_S = PRESS_FRAMES * FRAME_MS / 1000
PAUSE_S = PAUSE_FRAMES * FRAME_MS / 1000
"""Between two keys; sound is sent in it."""
END_COPIES = 3
_VOLUME_DBM0 = 10
_EVENT = struct.Struct("!BBH")
_END = 0x80


@dataclass(frozen=True, slots=True)
class KeyPacket:
    """One packet of an event."""

    payload: bytes
    marker: bool
    began: int
    """RTP timestamp of the key's beginning, which all its packets carry."""


class KeySender:
    """Turns keys into packets, a frame of 20 ms at a time; ``clock_hz``: of the event format."""

    def __init__(self, clock_hz: int) -> None:
        self._step = clock_hz * FRAME_MS // 1000
        self._waiting: deque[str] = deque()
        self._frame = 0
        self._began = 0

    def press(self, keys: str) -> None:
        """Adds keys; what is none of the sixteen is left out."""
        self._waiting.extend(key for key in keys.upper() if key in KEYS)

    def packets(self, timestamp: int) -> list[KeyPacket]:
        """What goes out in place of the frame of sound at ``timestamp``; empty: the sound does."""
        if not self._waiting:
            return []
        if self._frame == 0:
            self._began = timestamp
        self._frame += 1
        if self._frame > PRESS_FRAMES:
            if self._frame == PRESS_FRAMES + PAUSE_FRAMES:
                self._waiting.popleft()
                self._frame = 0
            return []
        ends = self._frame == PRESS_FRAMES
        payload = _EVENT.pack(
            KEYS.index(self._waiting[0]),
            _VOLUME_DBM0 | (_END if ends else 0),
            self._frame * self._step,
        )
        copies = END_COPIES if ends else 1
        return [KeyPacket(payload, self._frame == 1, self._began)] * copies
