"""The trials of one agent, door and number of calls -> one row of the report. Pure.

The schema is in docs/bench-report.md. A voice-to-voice time is to the first answer: a filler is
none, where somebody listened (`docs/measuring.md`).
"""

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from latency_bench.compare_peers.trial import Trial
from latency_bench.figures import CallFigures, TurnFigures, spread
from latency_bench.load.callers import FAILED

P95_LIMIT_MS = 1200.0
LOST_LIMIT = 0.01
"""Share of questions that may be missed or broken."""
HOPELESS_P95_MS = 4000.0
HOPELESS_LOST = 0.5
"""Past these an agent is not asked to take more calls."""
CUT_OFF_S = 0.3
"""An answer whose voice ends so soon before a call broke was cut off by that."""


def row_of(trials: Sequence[Trial]) -> dict[str, Any]:
    """One row; ``trials``: at least one, all of one agent, door and number of calls."""
    first = trials[0]
    turns = [turn for trial in trials for turn in turns_of(trial)]
    missed = sum(turn.missed for turn in turns)
    broken, unasked = (sum(found) for found in zip(*map(_broken, trials), strict=True))
    made = [call for trial in trials for call in trial.made]
    row: dict[str, Any] = {
        "peer": first.peer,
        "door": first.door,
        "calls": first.calls,
        "rounds": len(trials),
        "v2v_ms": _percentiles(v2v_ms(turns)),
        "first_sound_ms": _percentiles(first_sound_ms(turns)),
        "questions": len(turns) + unasked,
        "missed_turns": missed,
        "broken_turns": broken,
        "false_cutoffs": sum(turn.cut_in for turn in turns),
        "fillers": sum(turn.filler for turn in turns),
        "gaps": sum(sum(t.gaps.values()) for t in trials) if turns else None,
        "cpu": _mean([t.usage.box_cores for t in trials if t.usage]),
        "rss_mb": _most([t.usage.rss_mb for t in trials if t.usage]),
        "callers_cpu": _mean([t.usage.callers_cores for t in trials if t.usage]),
        "machine_cpu": _mean([t.usage.machine_cores for t in trials if t.usage]),
        "discarded_fraction": discarded_fraction(trials),
        "stages_ms": stage_medians(trials),
        "carried": _mean([t.window.carried(t.made) for t in trials if t.window]),
        "placed": len(made),
        "outcomes": dict(Counter(call.outcome for call in made)),
        "by_round": [_of_round(trial) for trial in trials],
        "errors": [f"round {t.round + 1}: {t.error}" for t in trials if t.error],
        "skipped": None,
    }
    row["broken_limits"] = broken_limits(row)
    return row


def skipped_row(peer: str, door: str, calls: int, why: str) -> dict[str, Any]:
    """A row that was not measured, and says why."""
    return {
        "peer": peer,
        "door": door,
        "calls": calls,
        "rounds": 0,
        **dict.fromkeys(("v2v_ms", "first_sound_ms", "missed_turns", "broken_turns")),
        **dict.fromkeys(("false_cutoffs", "gaps", "cpu", "rss_mb", "discarded_fraction")),
        "questions": 0,
        "errors": [],
        "skipped": why,
        "broken_limits": [why],
    }


def turns_of(trial: Trial) -> list[TurnFigures]:
    """The questions that count."""
    return trial.window.turns(trial.made) if trial.window else []


def v2v_ms(turns: Iterable[TurnFigures]) -> list[float]:
    """The end of each question to its answer, of turns that count."""
    return [
        turn.v2v_ms if turn.first_answer_ms is None else turn.first_answer_ms
        for turn in turns
        if turn.counts and turn.v2v_ms is not None
    ]


def first_sound_ms(turns: Iterable[TurnFigures]) -> list[float]:
    """The same to the first sound, fillers included."""
    return [turn.v2v_ms for turn in turns if turn.counts and turn.v2v_ms is not None]


def discarded_fraction(trials: Iterable[Trial]) -> float | None:
    """Engine time that nobody used, of all of it; None of an agent that does not tell."""
    told = [trial.told for trial in trials if trial.told is not None]
    busy_s = sum(one.busy_s for one in told)
    return sum(one.discarded_s for one in told) / busy_s if busy_s else None


def stage_medians(trials: Iterable[Trial]) -> dict[str, float]:
    """The median of each stage that the agent tells of; empty where it tells of none."""
    turns = [stages for trial in trials if trial.told for stages in trial.told.stages_ms]
    names = dict.fromkeys(name for stages in turns for name in stages)
    return {
        name: statistics.median(stages[name] for stages in turns if name in stages)
        for name in names
    }


def broken_limits(row: Mapping[str, Any]) -> list[str]:
    """What the row did not keep to, in words: empty where so many calls are carried well."""
    if row["v2v_ms"] is None:
        return ["; ".join(row["errors"]) or "no question was answered"]
    found = list(row["errors"])
    if row["v2v_ms"]["p95"] > P95_LIMIT_MS:
        found.append(f"P95 is {row['v2v_ms']['p95']:,.0f} ms")
    if (share := lost_share(row)) >= LOST_LIMIT:
        found.append(f"{share:.1%} of questions were missed or broken")
    if row["gaps"]:
        found.append(f"{row['gaps']} audible gaps")
    return found


def lost_share(row: Mapping[str, Any]) -> float:
    """Questions missed or broken, of all; 1 where none was asked."""
    lost: int = row["missed_turns"] + row["broken_turns"]
    return lost / row["questions"] if row["questions"] else 1.0


def hopeless(row: Mapping[str, Any]) -> str:
    """Why more calls at once need not be tried; empty where they should."""
    if row["skipped"]:
        return str(row["skipped"])
    at = f"at {row['calls']} call{'' if row['calls'] == 1 else 's'}"
    if row["v2v_ms"] is None:
        return f"{at} {broken_limits(row)[0]}"
    if row["v2v_ms"]["p95"] > HOPELESS_P95_MS:
        return f"{at} P95 was {row['v2v_ms']['p95']:,.0f} ms already"
    if lost_share(row) > HOPELESS_LOST:
        return f"{at} {lost_share(row):.0%} of questions were missed or broken already"
    return ""


def capacities(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """By agent and door, the highest number of calls below the first that was not carried well."""
    found: dict[str, dict[str, int]] = {}
    failed: set[tuple[str, str]] = set()
    for row in sorted(rows, key=lambda row: int(row["calls"])):
        key = (row["peer"], row["door"])
        doors = found.setdefault(row["peer"], {})
        doors.setdefault(row["door"], 0)
        if row["broken_limits"]:
            failed.add(key)
        elif key not in failed:
            doors[row["door"]] = row["calls"]
    return found


def _broken(trial: Trial) -> tuple[int, int]:
    """Questions that a broken call kept from being asked or answered, and those never asked."""
    if trial.window is None:
        return 0, 0
    broken = unasked = 0
    for call in trial.made:
        cut = call.outcome in FAILED or (bool(trial.error) and call.outcome == "stopped")
        if not cut or not _within(trial, call):
            continue
        asked = [turn for turn in call.turns if turn.owes_answer and not turn.continues]
        left = max(0, trial.asked.get(call.call, len(asked)) - len(asked))
        unasked += left
        broken += left + (bool(asked) and _cut_off(asked[-1], call))
    return broken, unasked


def _within(trial: Trial, call: CallFigures) -> bool:
    """Whether the call ended while it counted, or after that."""
    window = trial.window
    ended_s = call.began_s + (call.answer_ms or 0.0) / 1000 + call.duration_s
    return window is not None and call.began_s < window.to_s and ended_s >= window.from_s


def _cut_off(turn: TurnFigures, call: CallFigures) -> bool:
    ended_s = turn.answer_ended_s
    return ended_s is not None and call.duration_s - ended_s < CUT_OFF_S


def _of_round(trial: Trial) -> dict[str, Any]:
    turns = turns_of(trial)
    return {
        "round": trial.round + 1,
        "v2v_ms": _percentiles(v2v_ms(turns)),
        "questions": len(turns),
        "missed_turns": sum(turn.missed for turn in turns),
        "cpu": _round(trial.usage.box_cores if trial.usage else None),
        "error": trial.error or None,
    }


def _percentiles(values: Sequence[float]) -> dict[str, float] | None:
    found = spread(values)
    if found is None:
        return None
    return {name: round(value, 1) for name, value in asdict(found).items()} | {"n": found.n}


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return _round(statistics.fmean(known)) if known else None


def _most(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(max(known), 1) if known else None


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
