"""What `offhook bench quality` found -> its tables and its summary. Pure."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from latency_bench.quality.answer_rules import RULES, Checked
from latency_bench.quality.cells import Row, Table, table, value_of, with_interval
from latency_bench.quality.endpointing import Endpoint
from latency_bench.quality.false_barge_in import Alarms, Barged
from latency_bench.quality.turns import (
    alarm_tables,
    barge_summary,
    barge_table,
    curve_table,
    end_summary,
    end_table,
)
from latency_bench.quality.word_errors import share
from latency_bench.quality.word_quality import Hearing
from latency_bench.quality.words import word_summary, word_tables

HEADLINES = (
    "wer",
    "wer_g711",
    "wer_noise_10db",
    "false_end_rate",
    "end_wait_p50_ms",
    "false_barge_in_per_min",
    "barge_in_missed_rate",
    "answers_ok_rate",
)
"""Come first in the summary: pages show the first few."""


@dataclass(slots=True)
class Results:
    """Everything that was found so far, part by part."""

    hearings: list[Hearing] = field(default_factory=list)
    endpoints: list[Endpoint] = field(default_factory=list)
    alarms: list[Alarms] = field(default_factory=list)
    barged: list[Barged] = field(default_factory=list)
    backchannels: list[Barged] = field(default_factory=list)
    answers: list[Checked] = field(default_factory=list)
    took_s: dict[str, float] = field(default_factory=dict)
    """How long each part took."""


def tables(results: Results) -> list[Table]:
    """Those of the parts that ran."""
    made = [
        *word_tables(results.hearings),
        end_table(results.endpoints),
        curve_table(results.endpoints),
        *alarm_tables(results.alarms),
        barge_table(results.barged, results.backchannels),
        _answer_table(results.answers),
    ]
    return [one for one in made if one["rows"]]


def summary(results: Results) -> dict[str, float | None]:
    """Flat figures by name, as docs/quality.md explains them; None: not measured."""
    found = {
        **word_summary(results.hearings),
        **end_summary(results.endpoints),
        **barge_summary(results.alarms, results.barged, results.backchannels),
        **_answer_summary(results.answers),
    }
    return {name: found[name] for name in (*HEADLINES, *found)}


def structured(results: Results) -> dict[str, Any]:
    """Every single finding, for whoever wants to count otherwise."""
    return {
        "hearing": [
            {
                "set": h.group,
                "clip": h.clip,
                "codec": h.condition.codec.name,
                "noise": h.condition.noise,
                "snr_db": h.condition.snr_db,
                "loss": h.condition.loss,
                "loss_kind": h.condition.loss_kind if h.condition.loss else None,
                "concealment": h.condition.concealment if h.condition.loss else None,
                "by_ear": h.condition.by_ear,
                "expected": h.expected,
                "heard": h.heard,
                "errors": h.count.errors,
                "words": h.count.words,
            }
            for h in results.hearings
        ],
        "end_of_turn": [
            {
                "set": e.case.clip.group,
                "clip": e.case.clip.name,
                "kind": e.case.kind,
                "pause_s": e.case.pause_s,
                "false_ends": e.false_ends,
                "wait_ms": _in_ms(e.wait_s),
                "judged": e.judged,
            }
            for e in results.endpoints
        ],
        "false_barge_in": [asdict(alarm) for alarm in results.alarms],
        "barge_in": [
            {
                "clip": b.clip.name,
                "behind": b.behind,
                "backchannel": b in results.backchannels,
                "hold_ms": _in_ms(b.hold_s),
                "stop_ms": _in_ms(b.stop_s),
                "stopped_before": b.stopped_before,
            }
            for b in [*results.barged, *results.backchannels]
        ],
        "answers": [asdict(answer) for answer in results.answers],
        "took_s": {part: round(took_s, 1) for part, took_s in results.took_s.items()},
    }


def _answer_table(answers: Sequence[Checked]) -> Table:
    if not answers:
        return table("Answers", "", [], [])
    rows: list[Row] = []
    for rule, title in RULES.items():
        kept = sum(rule not in answer.broken for answer in answers)
        rows.append([title, with_interval(share(kept, len(answers)))])
    facts = [answer for answer in answers if answer.right is not None]
    rows += [
        ["all of these", with_interval(share(sum(a.ok for a in answers), len(answers)))],
        [
            "not cut off in a sentence",
            with_interval(share(sum(a.finished for a in answers), len(answers))),
        ],
        [
            f"the expected word is in it ({len(facts)} facts)",
            with_interval(share(sum(bool(a.right) for a in facts), len(facts))),
        ],
    ]
    return table(
        "Answers",
        f"To {len(answers)} questions, checked by rules.",
        ["rule", "share of answers"],
        rows,
    )


def _answer_summary(answers: Sequence[Checked]) -> dict[str, float | None]:
    facts = [answer for answer in answers if answer.right is not None]
    return {
        "answers_ok_rate": value_of(share(sum(a.ok for a in answers), len(answers))),
        "answers_finished_rate": value_of(share(sum(a.finished for a in answers), len(answers))),
        "answers_right_rate": value_of(share(sum(bool(a.right) for a in facts), len(facts))),
    }


def _in_ms(seconds: float | None) -> float | None:
    return round(seconds * 1000, 1) if seconds is not None else None
