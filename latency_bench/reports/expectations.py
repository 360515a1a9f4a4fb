"""What should have been true of the agent, and what was, in words. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from latency_bench.figures import CallFigures, Verdict
from latency_bench.reports.wording import NOTHING, number, plain, spoken_name

_RULES = {
    "answer_within_s": "answers within {} s",
    "answers": "answers",
    "not_before_s": "does not begin to answer before {} s",
    "words": "says {}",
    "any_word": "says one of {}",
    "stops_within_ms": "stops within {} ms of the caller's first sound over it",
    "does_not_stop": "goes on speaking",
    "waits": "waits for the end of the caller's turn",
    "no_answer": "says nothing",
    "transferred": "hands the caller over",
    "greeting_within_s": "greets within {} s",
    "answered_within_s": "takes the call within {} s",
    "dead_air_under_s": "leaves no silence of {} s",
    "hangs_up": "ends the call",
}
OUTCOMES = {
    "completed": "the caller did all it had to",
    "limit": "the call took too long",
    "remote": "the agent hung up",
    "failed": "the connection broke, or the agent died",
    "stopped": "stopped by the user",
    "refused": "refused",
    "unanswered": "it rang and nobody answered",
    "unreachable": "nobody there",
    "no_audio": "answered without sound",
    "bad_codec": "sound that cannot be decoded",
}


@dataclass(frozen=True, slots=True)
class RuleRow:
    """One expectation over all turns that it was had of."""

    expected: str
    measured: str
    met: int
    of: int


def expected(verdict: Verdict) -> str:
    """The rule as a sentence without its subject."""
    form = _RULES.get(verdict.rule)
    if form is None:
        return plain(f"{spoken_name(verdict.rule)}: {number(verdict.limit)}", 200)
    return plain(form.format(number(verdict.limit)), 200)


def measured(verdict: Verdict) -> str:
    """What was measured, with the rule's unit."""
    if verdict.value is None:
        return "nothing"
    unit = {"s": " s", "ms": " ms"}.get(verdict.rule.rpartition("_")[2], "")
    return plain(number(verdict.value), 200) + (
        unit if isinstance(verdict.value, int | float) and verdict.value is not True else ""
    )


def unmet(call: CallFigures) -> list[str]:
    """Why the call did not pass."""
    reasons = []
    verdicts = [*call.verdicts, *(verdict for turn in call.turns for verdict in turn.verdicts)]
    hung_up_well = call.outcome == "remote" and any(
        verdict.rule in ("hangs_up", "transferred") and verdict.met for verdict in verdicts
    )
    if call.outcome != "completed" and not hung_up_well:
        reasons.append(plain(call.reason, 400) or OUTCOMES[call.outcome])
    for verdict in call.verdicts:
        if not verdict.met:
            reasons.append(f"expected: {expected(verdict)}; measured: {measured(verdict)}")
    for turn in call.turns:
        for verdict in turn.verdicts:
            if not verdict.met:
                reasons.append(
                    f"turn {turn.part}, expected: {expected(verdict)}; "
                    f"measured: {measured(verdict)}"
                )
    return reasons


def rule_rows(calls: Sequence[CallFigures]) -> list[RuleRow]:
    """Every expectation of these calls, with how often it was met."""
    found: dict[str, list[Verdict]] = {}
    for call in calls:
        for verdict in [*call.verdicts, *(v for turn in call.turns for v in turn.verdicts)]:
            found.setdefault(expected(verdict), []).append(verdict)
    return [
        RuleRow(words, _over_all(verdicts), sum(v.met for v in verdicts), len(verdicts))
        for words, verdicts in found.items()
    ]


def _over_all(verdicts: Sequence[Verdict]) -> str:
    figures = [
        float(v.value)
        for v in verdicts
        if isinstance(v.value, int | float) and not isinstance(v.value, bool)
    ]
    unit = {"s": "s", "ms": "ms"}.get(verdicts[0].rule.rpartition("_")[2], "")
    if figures:
        middle = f"{number(round(float(np.median(figures)), 3))} {unit}".strip()
        worst = f"{number(round(max(figures), 3))} {unit}".strip()
        nothing = sum(v.value is None for v in verdicts)
        return f"median {middle}, most {worst}" + (f", {nothing} without" if nothing else "")
    told = list(dict.fromkeys(measured(v) for v in verdicts))
    return plain("; ".join(told[:3]), 160) + ("…" if len(told) > 3 else "") if told else NOTHING
