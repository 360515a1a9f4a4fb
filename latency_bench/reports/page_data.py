"""What the page's own program is given: calls, waveforms, sound. Pure."""

import base64
from difflib import SequenceMatcher
from typing import Any

from latency_bench.figures import CallFigures, TurnFigures
from latency_bench.report import STAGE_NAMES
from latency_bench.reports.clips import Clips
from latency_bench.reports.expectations import expected, measured
from latency_bench.reports.report_file import Report
from latency_bench.reports.run_view import cdf_series
from latency_bench.reports.wording import ms, plain, seconds


def page_data(report: Report, clips: Clips) -> dict[str, Any]:
    """Calls with their sound, stages, and the latencies of the distribution."""
    slowest = max(report.counted, key=lambda pair: pair[1].v2v_ms or 0.0, default=None)
    return {
        "calls": [_call_data(call, clips) for call in report.calls],
        "first": None if slowest is None else slowest[0].call,
        "stages": report.stages,
        "stage_names": dict(STAGE_NAMES),
        "series": [
            {"name": one.name, "values": sorted(round(value, 1) for value in one.values)}
            for one in cdf_series(report)
        ],
    }


def _call_data(call: CallFigures, clips: Clips) -> dict[str, Any]:
    peaks = clips.peaks.get(call.call)
    timed = [turn.v2v_ms for turn in call.turns if turn.v2v_ms is not None]
    told = [plain(call.reason, 400), call.codec, seconds(call.duration_s)]
    if call.answer_ms is not None:
        told.append(f"answered after {ms(call.answer_ms)}")
    if call.wire.mos is not None:
        told.append(f"MOS {call.wire.mos:.2f}")
    if call.wire.gap_max_ms is not None:
        told.append(f"longest gap {ms(call.wire.gap_max_ms)}")
    told += [plain(note, 300) for note in call.notes[:10]]
    return {
        "call": call.call,
        "scenario": plain(call.scenario, 80),
        "outcome": call.outcome,
        "passed": call.passed,
        "title": f"slowest {ms(max(timed))}" if timed else "",
        "facts": " · ".join(part for part in told if part),
        "duration_s": call.duration_s,
        "greeting_ms": call.greeting_ms,
        "audio": clips.audio.get(call.call),
        "audio_missing": clips.missing.get(call.call, ""),
        "peaks": None
        if peaks is None
        else {
            "step_s": peaks.step_s,
            "bytes": len(peaks.caller),
            "caller": base64.b64encode(peaks.caller).decode(),
            "agent": base64.b64encode(peaks.agent).decode(),
        },
        "turns": [_turn_data(turn) for turn in call.turns],
    }


def _turn_data(turn: TurnFigures) -> dict[str, Any]:
    kept = (
        "part kind began_s ended_s v2v_ms first_answer_ms filler stop_ms stopped missed cut_in "
        "talk_over_ms dead_air_ms answer_began_s answer_ended_s inside_ms"
    ).split()
    return {
        **{name: getattr(turn, name) for name in kept},
        "said": None if turn.said is None else plain(turn.said),
        "heard": plain(turn.heard),
        "heard_words": [] if turn.kind == "keys" else heard_words(turn.said, plain(turn.heard)),
        "answer": plain(turn.answer),
        "recognised": None if turn.recognised is None else plain(turn.recognised),
        "stages_ms": dict(turn.stages_ms),
        "verdicts": [
            {"words": expected(one), "value": measured(one), "met": one.met}
            for one in turn.verdicts
        ],
    }


def heard_words(said: str | None, heard: str) -> list[tuple[str, bool]]:
    """The words that the agent heard, each with whether the caller said it there."""
    got = heard.split()
    if said is None:
        return [(word, True) for word in got]
    matcher = SequenceMatcher(
        a=[_bare(word) for word in said.split()], b=[_bare(word) for word in got], autojunk=False
    )
    same = {
        place
        for block in matcher.get_matching_blocks()
        for place in range(block.b, block.b + block.size)
    }
    return [(word, place in same) for place, word in enumerate(got)]


def _bare(word: str) -> str:
    return "".join(letter for letter in word.lower() if letter.isalnum())
