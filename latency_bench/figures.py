"""What was measured of a turn, of a call. Data only; docs/bench-report.md is the schema."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from latency_bench.part import PartKind

SCHEMA = "offhook-bench/1"
Outcome = Literal[
    "completed",
    "limit",
    "remote",
    "failed",
    "stopped",
    "refused",
    "unanswered",
    "unreachable",
    "no_audio",
    "bad_codec",
]
"""How a call went: the ends of `recording.CallEnd`, and the refusals of `recording.Refusal`."""


@dataclass(frozen=True, slots=True)
class Spread:
    """How a figure is spread. Percentiles interpolate linearly between the two nearest ranks."""

    n: int
    p50: float
    p95: float
    min: float
    max: float


def spread(values: Sequence[float]) -> Spread | None:
    """The spread of ``values``; None of nothing."""
    if not values:
        return None
    p50, p95 = np.percentile(values, [50, 95])
    return Spread(len(values), float(p50), float(p95), float(min(values)), float(max(values)))


@dataclass(frozen=True, slots=True)
class Verdict:
    """One thing that should have been true of a turn."""

    rule: str
    """As the scenario names it, such as ``answer_within_s``."""
    limit: float | str | bool
    value: float | str | bool | None
    """What was measured; None where nothing was."""
    met: bool


@dataclass(frozen=True, slots=True)
class TurnFigures:
    """One part of what the caller said and what came back, from the caller's side of the wire.

    Milliseconds unless named otherwise; ``*_s`` are seconds since the call was answered.
    """

    part: int
    step: int
    kind: PartKind
    said: str | None
    """The words or keys, where known."""
    source: str
    over_agent: bool
    continues: bool
    owes_answer: bool
    began_s: float
    ended_s: float
    """First and last voiced sample that the caller sent."""
    v2v_ms: float | None = None
    """Last voiced sample sent to the first voiced sample received: the first sound. Negative
    where the agent cut in; None where nothing came."""
    first_answer_ms: float | None = None
    """The same to the first sound that is no filler; None where nobody listened."""
    filler: bool = False
    """The first sound was a filler such as "one moment", or held no words."""
    stop_ms: float | None = None
    """Of an interruption: first voiced sample over the agent to the agent's last one."""
    stopped: bool | None = None
    """Of a part over the agent: whether the agent fell silent because of it."""
    missed: bool = False
    """An answer was owed and no voice came."""
    cut_in: bool = False
    """The agent began to speak before the caller had finished the turn."""
    talk_over_ms: float = 0.0
    """Both voiced at once, from this part's start to the next one's."""
    dead_air_ms: float = 0.0
    """The longest silence of both while the agent's answer was owed or under way."""
    answer_from: int = 0
    """The answer's samples in the received stream; both 0 where there is none."""
    answer_to: int = 0
    answer_began_s: float | None = None
    answer_ended_s: float | None = None
    heard: str = ""
    """What the agent says it understood."""
    answer: str = ""
    """What the agent says it answered."""
    recognised: str | None = None
    """The answer's words as recognised in the received audio; None where nobody listened."""
    stages_ms: Mapping[str, float] = field(default_factory=dict)
    """What the agent says each stage took."""
    inside_ms: float | None = None
    """The agent's own end of speech to first packet."""
    verdicts: tuple[Verdict, ...] = ()

    @property
    def outside_gap_ms(self) -> float | None:
        """By how much the caller waited longer than the agent says."""
        if self.v2v_ms is None or self.inside_ms is None:
            return None
        return self.v2v_ms - self.inside_ms

    @property
    def counts(self) -> bool:
        """Whether its latency counts: an answer owed, come, and not before the question's end."""
        return (
            self.owes_answer
            and not self.continues
            and not self.missed
            and not self.cut_in
            and self.v2v_ms is not None
        )


@dataclass(frozen=True, slots=True)
class WireFigures:
    """The agent's packets and sound as they came."""

    packets: int = 0
    lost: int = 0
    late: int = 0
    """Packets that came after one that was sent after them."""
    gap_max_ms: float | None = None
    gap_p99_ms: float | None = None
    jitter_ms: float | None = None
    """Interarrival jitter at the call's end (RFC 3550, 6.4.1)."""
    concealed: float = 0.0
    """Share of the agent's packets that a player with a fixed 60 ms buffer would have to make
    up."""
    mos: float | None = None
    """Listening quality by the E-model (ITU-T G.107), from codec, loss and delay, behind a player
    whose buffer is as long as 99 of 100 packets need, from 20 to 200 ms."""
    level_dbfs: float | None = None
    """Of the agent's voice."""
    peak_dbfs: float | None = None
    clipped: float = 0.0
    """Share of the agent's voiced samples that sit at full scale in runs."""
    broken: int = 0
    """Silences of 5 to 60 ms with hard edges inside the agent's voice: a robotic sound."""
    echo_db: float | None = None
    """The caller's own voice in the received sound, relative to it; None: not found."""


@dataclass(frozen=True, slots=True)
class CallFigures:
    """One call."""

    call: int
    """Its number in the run, from 0."""
    scenario: str
    door: str
    outcome: Outcome
    reason: str = ""
    codec: str = ""
    began_s: float = 0.0
    """Since the run's start."""
    duration_s: float = 0.0
    """Answered to ended."""
    answer_ms: float | None = None
    """Dialled to answered."""
    greeting_ms: float | None = None
    """Answered to the first voiced sample."""
    transferred_to: str | None = None
    wire: WireFigures = field(default_factory=WireFigures)
    turns: tuple[TurnFigures, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    """Of the call as a whole."""
    notes: tuple[str, ...] = ()
    audio: str | None = None
    """The stereo WAV (caller left, agent right), relative to the report; None: not kept."""
    repeat: int = 0
    """Which run of several it belongs to."""

    @property
    def passed(self) -> bool:
        """Whether it took place and all that should be true was.

        It may be the agent that hangs up where that is expected, or where it had handed the caller
        over.
        """
        verdicts = [*self.verdicts, *(v for turn in self.turns for v in turn.verdicts)]
        may_hang_up = any(v.rule in ("hangs_up", "transferred") and v.met for v in verdicts)
        took_place = self.outcome == "completed" or (self.outcome == "remote" and may_hang_up)
        return took_place and all(verdict.met for verdict in verdicts)

    def to_json(self) -> dict[str, Any]:
        """As the report holds it."""
        return {
            **asdict(self),
            "passed": self.passed,
            "turns": [
                {**asdict(turn), "outside_gap_ms": turn.outside_gap_ms} for turn in self.turns
            ],
        }
