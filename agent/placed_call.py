"""A call that the box places: what was asked for, and what has become of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from agent.records.record import CallRecord, TurnRecord, to_text
from telephony.causes import cause_of
from telephony.transport import CallOutcome, Dialled


class CallState(StrEnum):
    """How far a placed call is."""

    DIALLING = "dialling"
    ANSWERED = "answered"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class CallRequest:
    """A call to place."""

    to: str
    """A telephone number, or a SIP address."""
    trunk: str = ""
    """Empty: the only one that may dial the number."""
    profile: str = ""
    """Who speaks; empty: [agent] itself."""
    caller_id: str = ""
    """The number to show; empty: the trunk's own."""
    answer_limit_s: float = 30.0
    """How long it may ring."""


@dataclass(slots=True)
class PlacedCall:
    """One placed call, as it goes on."""

    call_id: str
    to: str
    """The number or SIP address that is dialled."""
    trunk: str = ""
    profile: str = ""
    state: CallState = CallState.DIALLING
    outcome: CallOutcome | None = None
    """None while it is dialled."""
    status: int | None = None
    """The SIP status that decided."""
    reason: str = ""
    """The outcome in words."""
    cause: str | None = None
    """Why an answered call ended."""
    placed_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    answered_at: datetime | None = None
    ended_at: datetime | None = None

    def settle(self, dialled: Dialled) -> None:
        """Takes what became of the dialling."""
        self.outcome, self.status = dialled.outcome, dialled.status
        self.reason = reason_of(dialled)
        now = datetime.now(UTC)
        if dialled.outcome is CallOutcome.ANSWERED:
            self.state, self.answered_at = CallState.ANSWERED, now
        else:
            self.state, self.ended_at = CallState.ENDED, now

    def end(self, cause: str | None) -> None:
        """The answered call is over."""
        self.state, self.cause, self.ended_at = CallState.ENDED, cause, datetime.now(UTC)

    @property
    def talked_s(self) -> float:
        """From answer to end, in seconds; 0.0 where it was not answered or is not over."""
        if self.answered_at is None or self.ended_at is None:
            return 0.0
        return (self.ended_at - self.answered_at).total_seconds()

    def to_json(self) -> dict[str, Any]:
        """JSON types only; times as ISO 8601 in UTC."""
        return {
            "call_id": self.call_id,
            "to": self.to,
            "trunk": self.trunk,
            "profile": self.profile,
            "state": self.state.value,
            "outcome": self.outcome.value if self.outcome else None,
            "status": self.status,
            "reason": self.reason,
            "cause": self.cause,
            "placed_at": to_text(self.placed_at),
            "answered_at": to_text(self.answered_at) if self.answered_at else None,
            "ended_at": to_text(self.ended_at) if self.ended_at else None,
        }

    @classmethod
    def from_record(cls, record: CallRecord, turns: Sequence[TurnRecord] = ()) -> "PlacedCall":
        """What the record of a placed call still tells.

        A call whose process died has no usage on record: that it spoke shows that it was answered.
        """
        talked = bool(record.usage.call_s) or bool(turns)
        call = cls(
            record.call_id,
            record.dialled,
            record.trunk,
            record.profile,
            placed_at=record.started_at,
            ended_at=record.ended_at,
        )
        outcomes: Mapping[str, CallOutcome] = {o.value: o for o in CallOutcome}
        if talked:
            call.outcome, call.cause = CallOutcome.ANSWERED, record.cause
            call.state = CallState.ENDED if record.cause else CallState.ANSWERED
        elif record.cause:
            # Any other cause is that of a call whose process died before an answer.
            call.state = CallState.ENDED
            call.outcome = outcomes.get(record.cause, CallOutcome.FAILED)
            call.reason = "" if record.cause in outcomes else record.cause
        return call


def reason_of(dialled: Dialled) -> str:
    """Why a call was or was not answered, in words, with the SIP status where there is one."""
    if dialled.status is None:
        return dialled.reason
    said = f"{dialled.status} {dialled.reason}".rstrip()
    return f"{cause_of(dialled.status).meaning} ({said})"
