"""Turn-taking's findings -> tables and flat figures. Pure."""

from collections.abc import Callable, Sequence

from latency_bench.figures import spread
from latency_bench.quality.cells import (
    Row,
    Table,
    percent,
    rounded,
    table,
    value_of,
    with_interval,
)
from latency_bench.quality.endpointing import CURVE_S, WITHIN_S, Endpoint
from latency_bench.quality.false_barge_in import Alarms, Barged
from latency_bench.quality.word_errors import Rate, share


def _end_groups(endpoints: Sequence[Endpoint]) -> dict[str, list[Endpoint]]:
    groups: dict[str, list[Endpoint]] = {}
    for endpoint in endpoints:
        pause_s = endpoint.case.pause_s
        title = endpoint.case.kind + (f", {pause_s:g} s" if pause_s is not None else "")
        groups.setdefault(title, []).append(endpoint)
    return groups


def end_table(endpoints: Sequence[Endpoint]) -> Table:
    """By kind of utterance."""
    rows: list[Row] = []
    for title, group in _end_groups(endpoints).items():
        waits = spread([e.wait_s * 1000 for e in group if e.wait_s is not None])
        unfinished = group[0].case.kind == "incomplete"
        early = [_decided_within(group, seconds) for seconds in WITHIN_S]
        rows.append(
            [
                title,
                len(group),
                None if unfinished else with_interval(_false_rate(group)),
                *(with_interval(rate) if unfinished else None for rate in early),
                rounded(waits.p50 if waits else None),
                rounded(waits.p95 if waits else None),
                percent(sum(e.wait_s is None for e in group) / len(group)),
            ]
        )
    return table(
        "End of turn",
        "Over G.711 mu-law, on simulated time. Early: decided before the utterance was over. "
        "Soon: decided although more was to come, within so many seconds of where it breaks off. "
        "P50, P95: last voiced sample to the decision. Missed: no decision in time, or taken for "
        "no speech at all.",
        ["utterances", "n", "early"]
        + [f"soon, {seconds:g} s" for seconds in WITHIN_S]
        + ["P50 ms", "P95 ms", "missed"],
        rows,
    )


def curve_table(endpoints: Sequence[Endpoint]) -> Table:
    """How many were decided by when."""
    kinds = {
        "complete, ended": [e for e in endpoints if e.case.kind == "complete"],
        "incomplete, cut off": [e for e in endpoints if e.case.kind == "incomplete"],
    }
    if not all(kinds.values()):
        return table("Wait curve", "", [], [])
    rows: list[Row] = [
        [
            f"{seconds:g} s",
            *(percent(value_of(_decided_within(g, seconds))) for g in kinds.values()),
        ]
        for seconds in CURVE_S
    ]
    return table(
        "Wait curve",
        "Share of the utterances decided so soon after their last voiced sample: of complete "
        "ones it should be large, of incomplete ones small.",
        ["within", *kinds],
        rows,
    )


def end_summary(endpoints: Sequence[Endpoint]) -> dict[str, float | None]:
    """Flat figures of when turns ended."""
    complete = [e for e in endpoints if e.case.kind == "complete"]
    paused = [e for e in endpoints if e.case.kind in ("pause inside", "pause put in")]
    broken_off = [e for e in endpoints if e.case.kind == "incomplete"]
    waits = spread([e.wait_s * 1000 for e in complete if e.wait_s is not None])
    missed = share(sum(e.wait_s is None for e in complete), len(complete))
    return {
        "false_end_rate": value_of(_false_rate(paused)),
        "false_end_complete_rate": value_of(_false_rate(complete)),
        **{
            f"false_end_incomplete_{seconds * 1000:.0f}ms_rate": value_of(
                _decided_within(broken_off, seconds)
            )
            for seconds in WITHIN_S
        },
        "end_missed_rate": value_of(missed),
        "end_wait_p50_ms": waits.p50 if waits else None,
        "end_wait_p95_ms": waits.p95 if waits else None,
    }


def _false_rate(group: Sequence[Endpoint]) -> Rate | None:
    return share(sum(e.false_ends > 0 for e in group), len(group))


def _percent_within(group: Sequence[Endpoint], seconds: float) -> str | None:
    return percent(value_of(_decided_within(group, seconds)))


def _decided_within(group: Sequence[Endpoint], seconds: float) -> Rate | None:
    return share(sum(e.wait_s is not None and e.wait_s <= seconds for e in group), len(group))


def alarm_tables(found: Sequence[Alarms]) -> list[Table]:
    """By sound and level; the agent's own echo apart."""
    noises = [alarm for alarm in found if alarm.kind != "echo"]
    echoes = [alarm for alarm in found if alarm.kind == "echo"]
    return [
        _level_table(
            "False barge-in",
            "Stops a minute / holds a minute that came to nothing: how often the box would have "
            "silenced its agent, which speaks all the time, for sound that is no caller, and how "
            "often it held it back for a moment. A competing talker is one person beside the "
            "caller, and is not counted in the summary.",
            "dBFS",
            noises,
        ),
        _level_table(
            "False barge-in by the agent's own echo",
            "Stops / holds a minute: the agent's voice comes back 0.15 s later, so much louder "
            "than it was sent (negative: quieter), through G.711 both ways.",
            "dB",
            echoes,
        ),
    ]


def _level_table(title: str, about: str, unit: str, found: Sequence[Alarms]) -> Table:
    levels = sorted({alarm.level_db for alarm in found})
    rows: list[Row] = []
    for kind in dict.fromkeys(alarm.kind for alarm in found):
        of_kind = [alarm for alarm in found if alarm.kind == kind]
        by_level = {alarm.level_db: alarm for alarm in of_kind}
        rates = [
            f"{one.stops / one.minutes:.1f} / {one.holds / one.minutes:.1f}" if one else None
            for one in (by_level.get(level) for level in levels)
        ]
        minutes = sum(alarm.minutes for alarm in of_kind)
        held = sum(alarm.held_s for alarm in of_kind) / minutes / 60
        longest = max(alarm.minutes for alarm in of_kind)
        rows.append([kind, round(longest, 2), *rates, percent(held)])
    columns = ["sound", "minutes each", *(f"{level:g} {unit}" for level in levels), "held"]
    return table(title, about, columns, rows)


def barge_table(barged: Sequence[Barged], backchannels: Sequence[Barged]) -> Table:
    """By what lies under the words."""
    groups: dict[str, list[Barged]] = {}
    for one in barged:
        groups.setdefault(f"words, {one.behind}", []).append(one)
    for one in backchannels:
        name = "coughs" if one.clip.name.startswith("cough") else '"mm-hm", "okay"'
        groups.setdefault(f"{name} (should not stop it)", []).append(one)
    rows: list[Row] = []
    for title, group in groups.items():
        judged = [one for one in group if not one.stopped_before]
        times = spread([one.stop_s * 1000 for one in judged if one.stop_s is not None])
        caught = share(sum(one.stop_s is not None for one in judged), len(judged))
        holds = spread([one.hold_s * 1000 for one in judged if one.hold_s is not None])
        held = share(sum(one.hold_s is not None for one in judged), len(judged))
        rows.append(
            [
                title,
                len(group),
                len(group) - len(judged),
                percent(value_of(held)),
                rounded(holds.p50 if holds else None),
                rounded(holds.p95 if holds else None),
                with_interval(caught),
                rounded(times.p50 if times else None),
                rounded(times.p95 if times else None),
            ]
        )
    return table(
        "Barge-in",
        "One word or a short phrase at -26 dBFS over the speaking agent. Held: from its first "
        "voiced sample until the agent's audio is held back; what is on its way already comes on "
        "top. Stopped: from there until the answer is given up. Where the background alone had "
        "silenced the agent before, nothing is left to judge.",
        [
            "over the agent",
            "n",
            "stopped before",
            "held",
            "P50 ms",
            "P95 ms",
            "stopped by it",
            "P50 ms ",
            "P95 ms ",
        ],
        rows,
    )


def barge_summary(
    alarms: Sequence[Alarms], barged: Sequence[Barged], backchannels: Sequence[Barged]
) -> dict[str, float | None]:
    """Flat figures of what silences the agent."""

    def per_minute(keep: Callable[[Alarms], bool]) -> float | None:
        kept = [alarm for alarm in alarms if alarm.false_alarm and keep(alarm)]
        minutes = sum(alarm.minutes for alarm in kept)
        return sum(alarm.stops for alarm in kept) / minutes if minutes else None

    quiet = [one for one in barged if one.behind == "quiet"]
    judged = [one for one in barged if not one.stopped_before]
    times = spread([one.stop_s * 1000 for one in judged if one.stop_s is not None])
    holds = spread([one.hold_s * 1000 for one in judged if one.hold_s is not None])
    false = [alarm for alarm in alarms if alarm.false_alarm]
    minutes = sum(alarm.minutes for alarm in false)
    stopped = sum(one.stop_s is not None for one in backchannels)
    return {
        "false_barge_in_per_min": per_minute(lambda alarm: True),
        "false_barge_in_noise_per_min": per_minute(
            lambda alarm: alarm.kind in ("white", "pink", "noise")
        ),
        "false_barge_in_music_per_min": per_minute(lambda alarm: alarm.kind == "music"),
        "false_barge_in_babble_per_min": per_minute(lambda alarm: alarm.kind == "babble"),
        "false_barge_in_echo_per_min": per_minute(lambda alarm: alarm.kind == "echo"),
        "false_hold_per_min": sum(one.holds for one in false) / minutes if minutes else None,
        "false_held_s_per_min": sum(one.held_s for one in false) / minutes if minutes else None,
        "barge_in_hold_p50_ms": holds.p50 if holds else None,
        "barge_in_hold_p95_ms": holds.p95 if holds else None,
        "barge_in_missed_rate": value_of(share(sum(o.stop_s is None for o in judged), len(judged))),
        "barge_in_missed_quiet_rate": value_of(
            share(sum(o.stop_s is None for o in quiet), len(quiet))
        ),
        "barge_in_p50_ms": times.p50 if times else None,
        "barge_in_p95_ms": times.p95 if times else None,
        "backchannel_stop_rate": value_of(share(stopped, len(backchannels))),
    }
