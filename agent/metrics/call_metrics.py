"""What the box's calls come to: a watcher of calls, which adds each turn and each call up."""

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from prometheus_client.metrics_core import Metric

from agent.cost.breakdown import sum_usd
from agent.cost.owned import LINES, View
from agent.metrics.histogram import DURATION_S, LATENCY_S
from agent.metrics.tally import Histograms, Tally
from agent.usage import STAGES, Usage

if TYPE_CHECKING:
    from agent.call import Call
    from agent.cost.bill import Bill
    from agent.records.record import CallRecord, Lines, TurnRecord

OWN = "agent"
"""The profile of a call that [agent] itself answers."""
NONE = "none"
"""The outcome of a call of which nobody said what came of it."""


class CallMetrics:
    """Told of every call; lives on the box's event loop.

    Usage is counted turn by turn, so that a long call shows while it goes on. Dollars are counted
    once a call is over, since bills round by the call. A call with a price that nobody knows adds
    nothing to that bill, neither dollars nor seconds, and is counted as unpriced: dollars over
    seconds stay true of the calls that they are of.
    """

    def __init__(self) -> None:
        call, profile = ("door", "direction"), "profile"
        self.calls_started = Tally("offhook_calls_started", "Calls connected.", (*call, profile))
        self.calls_ended = Tally(
            "offhook_calls_ended", "Calls over, by cause.", (*call, profile, "cause")
        )
        self.outcomes = Tally(
            "offhook_call_outcomes",
            "Calls over, by what came of them.",
            (profile, "workflow", "outcome"),
        )
        self.outcome_value = Tally(
            "offhook_call_outcome_value_usd",
            "What outcomes are worth to the business, as whoever set them said.",
            (profile, "workflow", "outcome"),
        )
        self.duration = Histograms(
            "offhook_call_duration_seconds", "Connected time of calls.", ("door",), DURATION_S
        )
        self.turns = Tally(
            "offhook_turns", "Turns of calls, the greeting not counted.", (profile, "interrupted")
        )
        self.v2v = Histograms(
            "offhook_voice_to_voice_seconds",
            "End of the caller's speech to the answer's first packet, as seen from inside.",
            ("door", profile),
            LATENCY_S,
        )
        self.stages = Histograms(
            "offhook_turn_stage_seconds",
            "What each step of a turn added to that; the steps of a turn sum to it.",
            ("stage",),
            LATENCY_S,
        )
        self.busy = Tally(
            "offhook_stage_busy_seconds",
            "Engine-seconds of calls, work that was thrown away included.",
            ("stage",),
        )
        self.wasted = Tally(
            "offhook_stage_wasted_seconds",
            "Of these, those whose result nobody used: guesses, and speech never heard.",
            ("stage",),
        )
        self.tokens = Tally(
            "offhook_tokens",
            "Tokens of the language model; cached ones are among those of the prompt.",
            ("kind",),
        )
        self.characters = Tally("offhook_characters", "Characters synthesised.", ())
        self.audio = Tally(
            "offhook_audio_seconds",
            "Sound: recognised (in), synthesised (out), and of this what was sent (heard).",
            ("kind",),
        )
        self.media = Tally("offhook_media_bytes", "Media over the wire.", ("direction",))
        self.machine = Tally(
            "offhook_machine_seconds",
            "Processor and GPU seconds that calls caused; idle ones are nobody's.",
            ("device",),
        )
        self.energy = Tally(
            "offhook_energy_joules", "Joules above idle that a counter measured for calls.", ()
        )
        self.owned = Tally(
            "offhook_owned_usd",
            "What calls that are over cost here, in each view, by line.",
            ("view", "line"),
        )
        self.owned_s = Tally(
            "offhook_owned_call_seconds", "Connected time of the calls in it.", ("view",)
        )
        self.rented = Tally(
            "offhook_rented_usd",
            "What the same calls would have cost on rented stacks, by part.",
            ("stack", "part"),
        )
        self.rented_s = Tally(
            "offhook_rented_call_seconds", "Connected time of the calls in it.", ("stack",)
        )
        self.unpriced = Tally(
            "offhook_calls_unpriced",
            "Calls with a price that nobody knows, which are in no bill of that view or stack.",
            ("bill", "name"),
        )
        self._expects = False
        self._counted: WeakKeyDictionary[Call, Usage] = WeakKeyDictionary()

    def counts(self) -> list[Tally | Histograms]:
        """All of it as it is now: copies, which may be written on another thread."""
        return [each.copy() for each in vars(self).values() if isinstance(each, Tally | Histograms)]

    def families(self) -> list[Metric]:
        """All of it, as Prometheus' client has it."""
        return [each.family() for each in self.counts()]

    def expect(self, bill: "Bill") -> None:
        """Has every bill's series begin at 0: Prometheus counts no rise to a first value."""
        if self._expects:
            return
        self._expects = True
        for view in View:
            for line in LINES:
                self.owned.add(view.value, line, by=0)
            self.owned_s.add(view.value, by=0)
            self.unpriced.add("owned", view.value, by=0)
        for stack, cost in bill.rented(Usage()).items():
            for part in cost.lines_usd:
                self.rented.add(stack, part, by=0)
            self.rented_s.add(stack, by=0)
            self.unpriced.add("rented", stack, by=0)

    # -- CallWatcher

    def began(self, call: "Call") -> None:
        """A call was connected."""
        self._counted[call] = Usage()
        origin = call.origin
        self.calls_started.add(call.door, origin.direction, origin.profile or OWN)

    def turn_over(self, call: "Call", turn: "TurnRecord") -> None:
        """A turn was measured and recorded."""
        profile = call.origin.profile or OWN
        if turn.turn:
            self.turns.add(profile, str(turn.interrupted).lower())
            total_ms = turn.trace.total_ms
            if total_ms is not None and total_ms >= 0:
                self.v2v.observe(call.door, profile, value=total_ms / 1000)
                for stage, ms in turn.trace.stages_ms().items():
                    self.stages.observe(stage, value=ms / 1000)
        self._count(call, call.usage)

    def ended(self, call: "Call", record: "CallRecord") -> None:
        """A call is over and recorded."""
        self._count(call, record.usage)
        self._counted.pop(call, None)
        profile = record.profile or OWN
        cause = record.cause or "unknown"
        self.calls_ended.add(record.door, record.direction, profile, cause)
        outcome = (profile, record.workflow, record.outcome or NONE)
        self.outcomes.add(*outcome)
        if record.outcome_value_usd is not None:
            self.outcome_value.add(*outcome, by=float(record.outcome_value_usd))
        self.duration.observe(record.door, value=record.usage.call_s)
        for view, lines in record.owned_lines.items():
            self._bill("owned", view, lines, record.usage.call_s)
        for stack, lines in record.rented_lines.items():
            self._bill("rented", stack, lines, record.usage.call_s)

    # -- own affairs

    def _count(self, call: "Call", usage: Usage) -> None:
        """Adds what ``call`` has consumed since it was last counted."""
        before = self._counted.get(call, Usage())
        self._counted[call] = usage
        busy, was_busy = usage.busy_s, before.busy_s
        wasted, was_wasted = usage.wasted_s, before.wasted_s
        for stage in STAGES:
            self.busy.add(stage, by=busy[stage] - was_busy[stage])
            self.wasted.add(stage, by=wasted[stage] - was_wasted[stage])
        for tally, label, name in (
            (self.tokens, "prompt", "prompt_tokens"),
            (self.tokens, "cached", "cached_tokens"),
            (self.tokens, "generated", "generated_tokens"),
            (self.tokens, "discarded", "discarded_tokens"),
            (self.audio, "in", "audio_in_s"),
            (self.audio, "out", "audio_out_s"),
            (self.audio, "heard", "audio_heard_s"),
            (self.media, "in", "bytes_in"),
            (self.media, "out", "bytes_out"),
            (self.machine, "cpu", "cpu_s"),
            (self.machine, "gpu", "gpu_s"),
        ):
            tally.add(label, by=getattr(usage, name) - getattr(before, name))
        self.characters.add(by=usage.characters - before.characters)
        self.energy.add(by=usage.energy_j - before.energy_j)

    def _bill(self, bill: str, name: str, lines: "Lines | None", call_s: float) -> None:
        dollars, seconds = (
            (self.owned, self.owned_s) if bill == "owned" else (self.rented, self.rented_s)
        )
        if lines is None or sum_usd(lines.values()) is None:
            self.unpriced.add(bill, name)
            return
        for line, usd in _known(lines).items():
            dollars.add(name, line, by=float(usd))
        seconds.add(name, by=call_s)


def _known(lines: Mapping[str, Decimal | None]) -> dict[str, Decimal]:
    return {line: usd for line, usd in lines.items() if usd is not None}
