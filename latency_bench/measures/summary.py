"""The calls of a run -> what its report holds of them all. Pure.

docs/bench-report.md is the schema, and docs/measuring.md says what each figure is.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from latency_bench.figures import CallFigures, Spread, TurnFigures, spread
from latency_bench.words import word_error_rate

UNPLACED = ("refused", "unanswered", "unreachable", "no_audio", "bad_codec")


def run_report(calls: Sequence[CallFigures]) -> dict[str, Any]:
    """``summary``, ``spreads``, ``by_scenario``, ``repeats`` and ``calls`` of the report."""
    spreads = _spreads(calls)
    repeats = _repeats(calls)
    return {
        "summary": _summary(calls, spreads, repeats),
        "spreads": {name: _json(found) for name, found in spreads.items()},
        "by_scenario": _by_scenario(calls),
        "repeats": repeats,
        "calls": [call.to_json() for call in calls],
    }


def is_interruption(turn: TurnFigures) -> bool:
    """Whether the agent, which was speaking, should have stopped for this part."""
    asked = any(verdict.rule == "stops_within_ms" for verdict in turn.verdicts)
    return turn.stopped is not None and (turn.owes_answer or asked)


def is_false_stop(turn: TurnFigures) -> bool:
    """Whether the agent stopped for something that was no interruption."""
    return turn.stopped is True and not is_interruption(turn)


def caller_turns(turns: Sequence[TurnFigures]) -> list[Sequence[TurnFigures]]:
    """The parts of each turn of the caller, in order."""
    found: list[Sequence[TurnFigures]] = []
    first = 0
    for place, turn in enumerate(turns):
        if not turn.continues or place + 1 == len(turns):
            found.append(turns[first : place + 1])
            first = place + 1
    return found


def stage_spreads(turns: Sequence[TurnFigures]) -> dict[str, Spread]:
    """The spread of each stage over all turns that passed it, in the order of the stages."""
    found: dict[str, list[float]] = {}
    # A turn that skipped stages does not know where they belong.
    for turn in sorted(turns, key=lambda turn: -len(turn.stages_ms)):
        for stage, took_ms in turn.stages_ms.items():
            found.setdefault(stage, []).append(took_ms)
    return {stage: figure for stage, took in found.items() if (figure := spread(took))}


def _turns(calls: Iterable[CallFigures]) -> list[TurnFigures]:
    return [turn for call in calls for turn in call.turns]


def _v2v(calls: Iterable[CallFigures]) -> Spread | None:
    return spread(_known(turn.v2v_ms for turn in _turns(calls) if turn.counts))


def _stops(calls: Iterable[CallFigures]) -> Spread | None:
    return spread(_known(turn.stop_ms for turn in _turns(calls) if is_interruption(turn)))


def _spreads(calls: Sequence[CallFigures]) -> dict[str, Spread | None]:
    counted = [turn for turn in _turns(calls) if turn.counts]
    return {
        "v2v_ms": _v2v(calls),
        "first_answer_ms": spread(_known(turn.first_answer_ms for turn in counted)),
        "inside_ms": spread(_known(turn.inside_ms for turn in counted)),
        "outside_gap_ms": spread(_known(turn.outside_gap_ms for turn in counted)),
        "stop_ms": _stops(calls),
        "greeting_ms": spread(_known(call.greeting_ms for call in calls)),
        "answer_ms": spread(_known(call.answer_ms for call in calls)),
        **{f"stage.{stage}": found for stage, found in stage_spreads(counted).items()},
    }


def _summary(
    calls: Sequence[CallFigures],
    spreads: Mapping[str, Spread | None],
    repeats: Sequence[Mapping[str, Any]],
) -> dict[str, float | None]:
    turns = _turns(calls)
    said = [parts for call in calls for parts in caller_turns(call.turns)]
    owed = [parts for parts in said if parts[-1].owes_answer and not parts[-1].continues]
    missed = sum(parts[-1].missed for parts in owed)
    cut_ins = sum(any(part.cut_in for part in parts) for parts in said)
    heard = [call for call in calls if call.wire.packets]
    packets = sum(call.wire.packets + call.wire.lost for call in heard)
    voiced = [call.wire for call in calls if call.wire.level_dbfs is not None]
    mos = spread(_known(call.wire.mos for call in calls))
    jitter = spread(_known(call.wire.jitter_ms for call in calls))
    level = spread(_known(wire.level_dbfs for wire in voiced))
    return {
        "calls": len(calls),
        "calls_failed": sum(not call.passed for call in calls),
        "calls_unplaced": sum(call.outcome in UNPLACED for call in calls),
        "turns": len(owed),
        "turns_missed": missed,
        "missed_rate": missed / len(owed) if owed else None,
        "cut_ins": cut_ins,
        "cut_in_rate": cut_ins / len(said) if said else None,
        "false_stops": sum(map(is_false_stop, turns)),
        "not_stopped": sum(is_interruption(turn) and turn.stopped is False for turn in turns),
        **_percentiles(
            spreads, "v2v", "first_answer", "inside", "outside_gap", "answer", "greeting", "stop"
        ),
        "talk_over_ms": _mean([sum(t.talk_over_ms for t in call.turns) for call in heard]),
        "dead_air_max_ms": max((parts[-1].dead_air_ms for parts in owed), default=None),
        "mos_min": mos.min if mos else None,
        "mos_p50": mos.p50 if mos else None,
        "gap_max_ms": max(_known(call.wire.gap_max_ms for call in calls), default=None),
        "jitter_p95_ms": jitter.p95 if jitter else None,
        "lost_share": sum(call.wire.lost for call in heard) / packets if packets else None,
        "concealed_share": sum(
            call.wire.concealed * (call.wire.packets + call.wire.lost) for call in heard
        )
        / packets
        if packets
        else None,
        "clipped_share": _mean([wire.clipped for wire in voiced]),
        "broken": sum(wire.broken for wire in voiced) if voiced else None,
        "level_p50_dbfs": level.p50 if level else None,
        "echo_max_db": max(_known(call.wire.echo_db for call in calls), default=None),
        "wer": _wer(owed),
        "returned_wer": _returned_wer(turns),
        "repeat_spread": _repeat_spread(repeats),
    }


def _percentiles(spreads: Mapping[str, Spread | None], *names: str) -> dict[str, float | None]:
    figures: dict[str, float | None] = {}
    for name in names:
        found = spreads[f"{name}_ms"]
        figures[f"{name}_p50_ms"] = found.p50 if found else None
        figures[f"{name}_p95_ms"] = found.p95 if found else None
    return figures


def _wer(owed: Sequence[Sequence[TurnFigures]]) -> float | None:
    """Word errors of what the agent says it heard; None where it does not say."""
    known = [parts for parts in owed if all(p.kind == "speech" and p.said for p in parts)]
    heard = [" ".join(part.heard for part in parts) for parts in known]
    if not any(text.strip() for text in heard):
        return None
    return word_error_rate([" ".join(p.said or "" for p in parts) for parts in known], heard)


def _returned_wer(turns: Sequence[TurnFigures]) -> float | None:
    """Word errors of a recogniser in the agent's sound, by the words that it says it spoke."""
    known = [turn for turn in turns if turn.answer and turn.recognised is not None]
    return word_error_rate([turn.answer for turn in known], [t.recognised or "" for t in known])


def _by_scenario(calls: Sequence[CallFigures]) -> dict[str, Any]:
    found: dict[str, list[CallFigures]] = {}
    for call in calls:
        found.setdefault(call.scenario, []).append(call)
    return {
        scenario: {
            "calls": len(its),
            "passed": sum(call.passed for call in its),
            "failed": sum(not call.passed for call in its),
            "v2v_ms": _json(_v2v(its)),
            "stop_ms": _json(_stops(its)),
        }
        for scenario, its in found.items()
    }


def _repeats(calls: Sequence[CallFigures]) -> list[dict[str, Any]]:
    """Each run of several by itself; empty of a single one."""
    numbers = sorted({call.repeat for call in calls})
    if len(numbers) < 2:
        return []
    rows = []
    for number in numbers:
        found = _v2v([call for call in calls if call.repeat == number])
        rows.append(
            {
                "v2v_p50_ms": found.p50 if found else None,
                "v2v_p95_ms": found.p95 if found else None,
                "n": found.n if found else 0,
            }
        )
    return rows


def _repeat_spread(repeats: Sequence[Mapping[str, Any]]) -> float | None:
    """(Largest P50 - smallest) / median P50, of runs that have one."""
    middles = _known(row["v2v_p50_ms"] for row in repeats)
    if len(middles) < 2 or not statistics.median(middles):
        return None
    return (max(middles) - min(middles)) / statistics.median(middles)


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None


def _json(found: Spread | None) -> dict[str, float] | None:
    return asdict(found) if found else None
