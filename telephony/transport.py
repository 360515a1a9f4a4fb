"""What every door offers: a call as two streams of PCM16 mono, and why it ended."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable

FRAME_S = 0.02
"""Seconds of audio a frame holds."""


class HangupCause(StrEnum):
    """Why a call ended, as records and the page name it."""

    CALLER_HUNG_UP = "caller hung up"
    CALLER_VANISHED = "caller vanished"
    AGENT_HUNG_UP = "agent hung up"
    TRANSFERRED = "transferred"
    SILENCE = "silence"
    TIME_LIMIT = "time limit"
    BOX_STOPPED = "box stopped"
    FAILED = "failed"


class CallOutcome(StrEnum):
    """What became of a call that the box placed."""

    ANSWERED = "answered"
    BUSY = "busy"
    NO_ANSWER = "no answer"
    REJECTED = "rejected"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Digit:
    """A key the far end pressed: ``0``-``9``, ``A``-``D``, ``*`` or ``#``."""

    key: str
    duration_ms: int = 0


@dataclass(frozen=True, slots=True)
class Held:
    """The far end put the call on hold, or took it back."""

    on: bool


LineEvent = Digit | Held


class TransferFailed(Exception):
    """The far end did not take a transfer; the call goes on."""


class ControlFailed(Exception):
    """The far end, or the state of the call, did not let it happen; the call goes on."""


class LineControl(Protocol):
    """What can be done to a call besides speaking, where the door can."""

    async def send_digits(self, digits: str) -> None:
        """Presses keys towards the far end. Raises ControlFailed; ValueError on what is no key."""
        ...

    async def hold(self) -> None:
        """Puts the far end on hold. Raises ControlFailed."""
        ...

    async def resume(self) -> None:
        """Takes it back. Raises ControlFailed."""
        ...

    async def transfer(self, target: str) -> None:
        """Hands the far end over to ``target`` (RFC 3515); the call is over once it is taken.

        Raises TransferFailed.
        """
        ...


class Line(Protocol):
    """One call's audio, at the rate its codec has."""

    door: str
    """Which door it came through, such as ``loopback``."""
    caller: str
    """Who is at the far end, as far as the door knows."""
    dialled: str
    """The number or name that was dialled (the DID); empty where the door knows none."""
    sample_rate_hz: int
    cause: HangupCause
    """Why the far end's audio ended; holds once ``receive`` gave None."""
    control: LineControl | None
    """None where the door carries audio alone."""

    async def receive(self) -> bytes | LineEvent | None:
        """The next 20 ms, or what happened in between; None once the call is over."""
        ...

    async def send(self, pcm: bytes) -> None:
        """Sends 20 ms; returns when the line is ready for more, which paces the sender."""
        ...

    @property
    def ahead_s(self) -> float:
        """Seconds of what was sent that wait for the wire, as far as the door knows."""
        ...

    def flush(self) -> bytes:
        """Takes back what was sent and is not yet on the wire, as far as the door can.

        Gives it, in whole frames, to whoever wants it sent later.
        """
        ...

    async def hang_up(self) -> None:
        """Ends the call from this side. Harmless when it is over."""
        ...


@runtime_checkable
class CountsBytes(Protocol):
    """What counts the media that a call's wire carried; the headers of RTP and below are not
    counted."""

    @property
    def carried_bytes(self) -> tuple[int, int]:
        """So far: from the far end, and to it. Holds after the call's end too."""
        ...


@dataclass(frozen=True, slots=True)
class Dial:
    """A call to place."""

    target: str
    """A SIP URI."""
    trunk: str = ""
    """The trunk that carries it; empty: straight to the target's host."""
    caller_id: str = ""
    """The SIP URI to show in P-Preferred-Identity (RFC 3325); empty: From alone says who calls."""
    answer_limit_s: float = 30.0
    """How long it may ring."""


@dataclass(frozen=True, slots=True)
class Dialled:
    """What became of a `Dial`."""

    outcome: CallOutcome
    line: Line | None = None
    """The call, where it was answered."""
    status: int | None = None
    """The SIP status that decided; None where none came."""
    reason: str = ""


class CallTransport(Protocol):
    """A door for telephone calls in both directions."""

    async def open(self, on_call: Callable[["Ringing"], Awaitable[None]]) -> None:
        """Begins to listen; ``on_call`` is awaited, in a task of its own, for every call."""
        ...

    async def dial(self, dial: Dial) -> Dialled:
        """Places a call and waits for what becomes of it."""
        ...

    async def close(self) -> None:
        """Ends what is under way and stops listening."""
        ...


class Ringing(Protocol):
    """A call that waits to be answered."""

    caller: str
    dialled: str
    source: str
    """The address it came from, as ``host:port``."""
    trunk: str
    """The trunk it came over; empty: none."""

    async def answer(self) -> Line:
        """Answers it. Raises CallGone where the caller gave up."""
        ...

    async def reject(self, status: int, reason: str, retry_after_s: int | None = None) -> None:
        """Refuses it with a SIP status of 300 to 699. Harmless when it is over.

        ``retry_after_s``: when the caller may try again (RFC 3261, 20.33).
        """
        ...


class CallGone(Exception):
    """The far end gave up before the call was answered."""


def frame_bytes(sample_rate_hz: int) -> int:
    """Bytes of one 20 ms frame of PCM16 mono."""
    return int(sample_rate_hz * FRAME_S) * 2
