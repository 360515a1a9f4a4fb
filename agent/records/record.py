"""What is kept of a call and of each of its turns. Pure."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from agent.latency import TurnTrace
from agent.usage import Usage

BOX_STOPPED = "box stopped"
"""The cause of a call whose end nobody recorded."""


Lines = Mapping[str, Decimal | None]
"""Line of a bill -> dollars; None: not known."""


@dataclass(frozen=True, slots=True)
class EventRecord:
    """Something that happened in a call, besides its turns."""

    call_id: str
    at: datetime
    """UTC."""
    kind: str
    detail: Mapping[str, Any]
    """JSON types only."""

    def to_json(self) -> dict[str, Any]:
        """JSON types only; time as ISO 8601 in UTC."""
        return {
            "call_id": self.call_id,
            "at": to_text(self.at),
            "kind": self.kind,
            "detail": dict(self.detail),
        }

    @classmethod
    def from_json(cls, written: Mapping[str, Any]) -> "EventRecord":
        """The reverse of ``to_json``. Raises KeyError, TypeError or ValueError."""
        return cls(**{**written, "at": datetime.fromisoformat(written["at"])})


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One call, from answer to hang-up."""

    call_id: str
    started_at: datetime
    """UTC."""
    door: str
    """How it came in, such as ``webrtc``."""
    caller: str
    agent: str
    ended_at: datetime | None = None
    """None: under way, or the box stopped before the end."""
    cause: str | None = None
    """Why it ended; None: under way."""
    usage: Usage = field(default_factory=Usage)
    owned_usd: Decimal | None = None
    """What it cost here; None: not known."""
    rented_usd: Mapping[str, Decimal | None] = field(default_factory=dict)
    """What it would have cost on each rented stack; None: not known."""
    turns: int = 0
    latencies_ms: tuple[float, ...] = ()
    """End of speech to first packet of each answered turn, in order, as seen from inside."""
    direction: str = "inbound"
    """``inbound``, or ``outbound`` where the box placed it."""
    dialled: str = ""
    """The number or name that was dialled; empty: the door knows none."""
    trunk: str = ""
    """The trunk that carried it; empty: none."""
    profile: str = ""
    """The profile that answered; empty: [agent] itself."""
    workflow: str = ""
    """What the agent was there for, as its settings name it."""
    tenant: str = ""
    """Whose call it is, where several share the box."""
    outcome: str = ""
    """What came of it, such as ``resolved``; empty: nobody said."""
    outcome_value_usd: Decimal | None = None
    owned_lines: Mapping[str, Lines | None] = field(default_factory=dict)
    """View -> line -> dollars, as they were reckoned at its end; None: that was not measured."""
    rented_lines: Mapping[str, Lines] = field(default_factory=dict)
    """Stack -> part -> dollars."""
    recording: str = ""
    """The file with its sound; empty: there is none."""
    devices: Mapping[str, str] = field(default_factory=dict)
    """Stage -> where its engine ran."""
    peak_memory_bytes: int = 0
    """The most that the box held while the call lasted, models and other calls included; 0: not
    measured."""

    def latency_ms(self, percent: float) -> float | None:
        """The nearest-rank percentile of the turns' latencies; None without any."""
        ordered = sorted(self.latencies_ms)
        rank = -(-len(ordered) * percent // 100)
        return ordered[max(0, int(rank) - 1)] if ordered else None

    def to_json(self) -> dict[str, Any]:
        """JSON types only; dollars as strings, exact; times as ISO 8601 in UTC."""
        return {
            "call_id": self.call_id,
            "started_at": to_text(self.started_at),
            "door": self.door,
            "caller": self.caller,
            "agent": self.agent,
            "ended_at": to_text(self.ended_at) if self.ended_at else None,
            "cause": self.cause,
            "usage": asdict(self.usage),
            "owned_usd": _usd_text(self.owned_usd),
            "rented_usd": {stack: _usd_text(usd) for stack, usd in self.rented_usd.items()},
            "turns": self.turns,
            "latencies_ms": list(self.latencies_ms),
            "direction": self.direction,
            "dialled": self.dialled,
            "trunk": self.trunk,
            "profile": self.profile,
            "workflow": self.workflow,
            "tenant": self.tenant,
            "outcome": self.outcome,
            "outcome_value_usd": _usd_text(self.outcome_value_usd),
            "owned_lines": {
                view: None if lines is None else _lines_text(lines)
                for view, lines in self.owned_lines.items()
            },
            "rented_lines": {
                stack: _lines_text(lines) for stack, lines in self.rented_lines.items()
            },
            "recording": self.recording,
            "devices": dict(self.devices),
            "peak_memory_bytes": self.peak_memory_bytes,
        }

    @classmethod
    def from_json(cls, written: Mapping[str, Any]) -> "CallRecord":
        """The reverse of ``to_json``; what an older record lacks has its default.

        Raises KeyError, TypeError or ValueError.
        """
        return cls(
            **{
                **written,
                "started_at": datetime.fromisoformat(written["started_at"]),
                "ended_at": _time(written["ended_at"]),
                "usage": Usage.from_json(written["usage"]),
                "owned_usd": _usd(written["owned_usd"]),
                "rented_usd": {k: _usd(v) for k, v in written["rented_usd"].items()},
                "latencies_ms": tuple(written["latencies_ms"]),
                "outcome_value_usd": _usd(written.get("outcome_value_usd")),
                "owned_lines": {
                    view: None if lines is None else _lines(lines)
                    for view, lines in written.get("owned_lines", {}).items()
                },
                "rented_lines": {
                    stack: _lines(lines) for stack, lines in written.get("rented_lines", {}).items()
                },
            }
        )


@dataclass(frozen=True, slots=True)
class TurnRecord:
    """One turn of a call: what was heard, what was said, how fast, for how much."""

    call_id: str
    turn: int
    """0 for the greeting."""
    heard: str
    answer: str
    """The words of the agent that the caller heard."""
    interrupted: bool
    trace: TurnTrace
    usage: Usage
    owned_usd: Decimal | None = None
    """What the turn's work cost here, without idle time; None: not known."""

    def to_json(self) -> dict[str, Any]:
        """JSON types only; dollars as strings, exact."""
        return {
            "call_id": self.call_id,
            "turn": self.turn,
            "heard": self.heard,
            "answer": self.answer,
            "interrupted": self.interrupted,
            "trace": asdict(self.trace),
            "usage": asdict(self.usage),
            "owned_usd": _usd_text(self.owned_usd),
        }

    @classmethod
    def from_json(cls, written: Mapping[str, Any]) -> "TurnRecord":
        """The reverse of ``to_json``. Raises KeyError, TypeError or ValueError."""
        return cls(
            **{
                **written,
                "trace": TurnTrace(**written["trace"]),
                "usage": Usage.from_json(written["usage"]),
                "owned_usd": _usd(written["owned_usd"]),
            }
        )


def to_text(at: datetime) -> str:
    """A moment in UTC, always of the same length, so that text sorts as time does."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _usd_text(usd: Decimal | None) -> str | None:
    return None if usd is None else format(usd, "f")


def _usd(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _lines_text(lines: Lines) -> dict[str, str | None]:
    return {line: _usd_text(usd) for line, usd in lines.items()}


def _lines(written: Mapping[str, str | None]) -> dict[str, Decimal | None]:
    return {line: _usd(usd) for line, usd in written.items()}
