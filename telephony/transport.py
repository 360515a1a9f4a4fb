"""What every door offers: a call as two streams of PCM16 mono, and why it ended."""

from enum import StrEnum
from typing import Protocol

FRAME_S = 0.02
"""Seconds of audio a frame holds."""


class HangupCause(StrEnum):
    """Why a call ended, as records and the page name it."""

    CALLER_HUNG_UP = "caller hung up"
    CALLER_VANISHED = "caller vanished"
    SILENCE = "silence"
    TIME_LIMIT = "time limit"
    BOX_STOPPED = "box stopped"
    FAILED = "failed"


class Line(Protocol):
    """One call's audio, at the rate its codec has."""

    door: str
    """Which door it came through, such as ``loopback``."""
    caller: str
    """Who calls, as far as the door knows."""
    sample_rate_hz: int

    async def receive(self) -> bytes | None:
        """The caller's next 20 ms, or None once the caller has hung up."""
        ...

    async def send(self, pcm: bytes) -> None:
        """Sends 20 ms; returns when the line is ready for more, which paces the sender."""
        ...

    async def hang_up(self) -> None:
        """Ends the call from this side. Harmless when it is over."""
        ...


def frame_bytes(sample_rate_hz: int) -> int:
    """Bytes of one 20 ms frame of PCM16 mono."""
    return int(sample_rate_hz * FRAME_S) * 2
