"""Ours by theirs, at each number of calls and door, and whether the difference is real. Pure.

Calls, not turns, are drawn with replacement (`latency_bench.reports.bootstrap`): the turns of one
call depend on one another.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from latency_bench.compare_peers.rows import HOPELESS_LOST, lost_share, v2v_ms
from latency_bench.compare_peers.trial import Trial
from latency_bench.reports.bootstrap import draws, percentiles

MIN_CALLS = 3
"""Fewer calls with an answer tell nothing of how calls differ."""
TOLD = 0.02
"""Who lost more of the questions is told with the latency of the answers that came."""
PLAIN = ("cpu", "rss_mb")
"""Figures of a row without an interval."""
SHARES = {"v2v_p50": ("p50", 0.5), "v2v_p95": ("p95", 0.95)}


def ratios_of(
    ours: Mapping[str, Any],
    theirs: Mapping[str, Any],
    our_trials: Sequence[Trial],
    their_trials: Sequence[Trial],
    seed: int = 1,
) -> dict[str, dict[str, Any]]:
    """``{figure: {"ours", "theirs", "ratio", "ci95"}}`` of two rows and what they were made of.

    A ratio under 1: ours is less. None where one side has no value, or too few calls to say.
    """
    found: dict[str, dict[str, Any]] = {}
    mine, others = by_call(our_trials), by_call(their_trials)
    for name, (key, share) in SHARES.items():
        pair = [row["v2v_ms"][key] if row["v2v_ms"] else None for row in (ours, theirs)]
        found[name] = {**_ratio(*pair), "ci95": _interval(mine, others, share, seed)}
    for name in PLAIN:
        found[name] = _ratio(ours[name], theirs[name])
    return found


def by_call(trials: Sequence[Trial]) -> list[list[float]]:
    """Voice-to-voice times that count, of each call that asked something."""
    found = []
    for trial in trials:
        for call in trial.made:
            turns = trial.window.turns([call]) if trial.window else []
            if turns:
                found.append(v2v_ms(turns))
    return found


def sentence(
    ours: Mapping[str, Any], theirs: Mapping[str, Any], ratios: Mapping[str, Mapping[str, Any]]
) -> str:
    """What the middle answer says of two rows, and whether that is more than chance.

    Answers that came say little of an agent that lost many questions: that is told, too.
    """
    name, peer = ours["peer"], theirs["peer"]
    where = f"{ours['calls']} call{'' if ours['calls'] == 1 else 's'} over {ours['door']}"
    found, lost = ratios["v2v_p50"], _lost(ours, theirs)
    if found["ratio"] is None:
        silent = name if found["ours"] is None else peer
        return f"{where}: nothing to compare, {silent} answered nothing."
    sides = f"{found['ours']:,.0f} against {found['theirs']:,.0f} ms{lost}"
    if max(map(lost_share, (ours, theirs))) > HOPELESS_LOST:
        return f"{where}: nothing to compare: {sides}."
    if found["ci95"] is None:
        return f"{where}: {sides}; too few calls to say whether the difference is real."
    low, high = found["ci95"]
    told = f"{found['ratio']:.2f} x {peer}, 95% CI {low:.2f} to {high:.2f}: {sides}"
    if low <= 1 <= high:
        return f"{where}: no difference can be shown with so few calls ({told})."
    verb = "sooner" if found["ratio"] < 1 else "later"
    return f"{where}: {name} answers {verb}, and the difference is real ({told})."


def _lost(*rows: Mapping[str, Any]) -> str:
    shares = [(row["peer"], lost_share(row)) for row in rows]
    told = [f"{peer} lost {share:.0%} of its questions" for peer, share in shares if share > TOLD]
    return "".join(f"; {one}" for one in told)


def _ratio(ours: float | None, theirs: float | None) -> dict[str, Any]:
    ratio = round(ours / theirs, 4) if ours is not None and theirs and theirs > 0 else None
    return {"ours": ours, "theirs": theirs, "ratio": ratio}


def _interval(
    ours: Sequence[Sequence[float]], theirs: Sequence[Sequence[float]], share: float, seed: int
) -> list[float] | None:
    if any(sum(map(bool, calls)) < MIN_CALLS for calls in (ours, theirs)):
        return None
    rng = np.random.default_rng(seed)
    drawn = draws(ours, share, rng) / draws(theirs, share, rng)
    return [round(end, 4) for end in percentiles(drawn)]
