"""Reports of every kind with plausible figures and sound, for tests of what is made of them."""

import json
import wave
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latency_bench.figures import (
    SCHEMA,
    CallFigures,
    Outcome,
    TurnFigures,
    Verdict,
    WireFigures,
    spread,
)

RATE_HZ = 16_000
SCENARIOS = ("question-and-answer", "barge-in", "backchannel", "hesitation", "dtmf-menu", "noise")
TALK = (
    ("Where is the nearest train station?", "The nearest station is five minutes away on foot."),
    ("What time do you open on Saturday?", "On Saturday we open at nine in the morning."),
    ("Can I book a table for two tonight?", "Certainly. At what time would you like the table?"),
    ("How much does the large coffee cost?", "The large coffee is three dollars and fifty cents."),
    ("I would like to change my appointment.", "Of course. Which day would suit you better?"),
)
MACHINE = {
    "cpu": "AMD EPYC 7B13",
    "cores": 8,
    "memory_gb": 31.3,
    "os": "Linux-6.8.0-x86_64-with-glibc2.36",
    "python": "3.11.9",
    "gpu": None,
    "models": {"stt": "whisper-base.en", "llm": "smollm2-360m", "tts": "piper-joe"},
}


def run_report(
    folder: Path | None = None,
    *,
    calls: int = 24,
    turns: int = 4,
    seed: int = 7,
    faster: float = 1.0,
    door: str = "webrtc",
    faults: bool = True,
) -> dict[str, Any]:
    """A report of kind ``run``; with ``folder``, each call's stereo WAV beside it."""
    rng = np.random.default_rng(seed)
    made = [_call(number, turns, rng, faster, door, faults) for number in range(calls)]
    if folder is not None:
        (folder / "audio").mkdir(parents=True, exist_ok=True)
        for place, call in enumerate(made):
            if call.outcome in ("refused", "unreachable"):
                continue
            name = f"audio/call-{call.call:03d}.wav"
            write_wav(folder / name, sound_of(call, rng))
            made[place] = replace(call, audio=name)
    return of_calls(made, door=door, seed=seed)


def of_calls(made: Sequence[CallFigures], *, door: str = "webrtc", seed: int = 7) -> dict[str, Any]:
    """The report that holds these calls."""
    every = [turn for call in made for turn in call.turns]
    counted = [turn for turn in every if turn.counts]
    owed = [turn for turn in every if turn.owes_answer and not turn.continues]
    stages: dict[str, list[float]] = {}
    for turn in counted:
        for name, took_ms in turn.stages_ms.items():
            stages.setdefault(name, []).append(took_ms)
    spreads = {
        "v2v_ms": _spread([t.v2v_ms for t in counted]),
        "first_answer_ms": _spread([t.first_answer_ms for t in counted]),
        "inside_ms": _spread([t.inside_ms for t in counted]),
        "outside_gap_ms": _spread([t.outside_gap_ms for t in counted]),
        "stop_ms": _spread([t.stop_ms for t in every]),
        "greeting_ms": _spread([c.greeting_ms for c in made]),
        "answer_ms": _spread([c.answer_ms for c in made]),
        **{f"stage.{name}": _spread(values) for name, values in stages.items()},
    }
    by_scenario: dict[str, Any] = {}
    for name in dict.fromkeys(call.scenario for call in made):
        own = [call for call in made if call.scenario == name]
        by_scenario[name] = {
            "calls": len(own),
            "passed": sum(call.passed for call in own),
            "failed": sum(not call.passed for call in own),
            "v2v_ms": _spread([t.v2v_ms for c in own for t in c.turns if t.counts]),
            "stop_ms": _spread([t.stop_ms for c in own for t in c.turns]),
        }
    moses = [call.wire.mos for call in made if call.wire.mos is not None]
    missed = sum(turn.missed for turn in owed)
    cut_ins = sum(turn.cut_in for turn in owed)
    summary = {
        "calls": len(made),
        "calls_failed": sum(not call.passed for call in made),
        "calls_unplaced": sum(call.outcome in ("refused", "unreachable") for call in made),
        "turns": len(owed),
        "turns_missed": missed,
        "missed_rate": missed / len(owed) if owed else None,
        "cut_ins": cut_ins,
        "cut_in_rate": cut_ins / len(owed) if owed else None,
        "false_stops": 0,
        "not_stopped": 0,
        **_percentiles("v2v", spreads["v2v_ms"]),
        **_percentiles("first_answer", spreads["first_answer_ms"]),
        **_percentiles("inside", spreads["inside_ms"]),
        **_percentiles("stop", spreads["stop_ms"]),
        **_percentiles("greeting", spreads["greeting_ms"]),
        **_percentiles("answer", spreads["answer_ms"]),
        "mos_min": min(moses, default=None),
        "mos_p50": float(np.median(moses)) if moses else None,
        "gap_max_ms": 44.0,
        "wer": 0.041,
        "returned_wer": None,
    }
    return {
        **_common("run", door, seed),
        "settings": {"scenarios": list(by_scenario), "calls": len(made), "concurrency": 1},
        "summary": summary,
        "spreads": spreads,
        "by_scenario": by_scenario,
        "repeats": [],
        "calls": [call.to_json() for call in made],
    }


def capacity_report() -> dict[str, Any]:
    """Calls at once until the objective breaks at 12."""
    levels = []
    for calls in (1, 2, 4, 6, 8, 10, 12):
        p50 = 520 + 4 * calls + 0.6 * calls**2.4
        p95 = p50 * 1.24 + 1.1 * calls**2.1
        levels.append(
            {
                "calls": calls,
                "turns": 20 * calls,
                "v2v_ms": {
                    "n": 20 * calls,
                    "p50": p50,
                    "p95": p95,
                    "min": p50 * 0.8,
                    "max": p95 * 1.2,
                },
                "missed_rate": 0.0 if calls < 10 else 0.004 * (calls - 8),
                "cpu_cores": min(7.9, 0.7 * calls),
                "rss_mb": 1900 + 38 * calls,
                "gpu": None,
                "stages_ms": {
                    "transcript": {"p50": 70 + 9 * calls, "p95": 100 + 15 * calls},
                    "first_token": {"p50": 120 + 14 * calls, "p95": 160 + 25 * calls},
                },
                "within": calls <= 8,
            }
        )
    return {
        **_common("capacity", "sip", 3),
        "settings": {"seed": 3, "arrivals": "poisson"},
        "summary": {"capacity_calls": 8},
        "levels": levels,
        "objective": {"v2v_p95_ms": 900, "missed_rate": 0.02},
        "capacity": {"calls": 8, "saturated": "cores", "why": "7.0 of 8 cores busy at 10 calls"},
    }


def quality_report() -> dict[str, Any]:
    """Two tables."""
    return {
        **_common("quality", "sip", 3),
        "settings": {"seed": 3},
        "summary": {"wer_clean": 0.052},
        "tables": [
            {
                "title": "Word error rate",
                "about": "Of what the agent says it heard, by jiwer.",
                "columns": ["set", "codec", "noise", "loss", "n", "WER"],
                "rows": [
                    ["s2i", "PCMU", "none", "0%", 30, 0.041],
                    ["s2i", "PCMU", "babble 10 dB", "0%", 30, 0.118],
                    ["an4", "opus", "none", "5%", 76, None],
                ],
            },
            {
                "title": "False barge-in",
                "about": "Stops a minute of sound that is no speech.",
                "columns": ["sound", "level", "a minute"],
                "rows": [["hold music", "-30 dBFS", 0.0], ["babble", "-20 dBFS", 1.5]],
            },
        ],
    }


def soak_report(samples: int = 120) -> dict[str, Any]:
    """Memory that grows a little, latency that does not."""
    rng = np.random.default_rng(5)
    rows = [
        {
            "at_s": 60.0 * place,
            "rss_mb": 1900 + 0.35 * place + float(rng.normal(0, 3)),
            "descriptors": 84 + int(rng.integers(0, 4)),
            "threads": 21,
            "v2v_p50_ms": 560 + float(rng.normal(0, 14)) if place % 9 else None,
            "calls": 2 * place,
        }
        for place in range(samples)
    ]
    return {
        **_common("soak", "webrtc", 5),
        "settings": {"hours": 2},
        "summary": {"rss_mb_per_hour": 21.0, "v2v_p50_ms_per_hour": 0.4},
        "samples": rows,
        "trends": {
            "rss_mb": {"per_hour": 21.0, "ci95": [18.5, 23.4], "verdict": "grows"},
            "v2v_p50_ms": {"per_hour": 0.4, "ci95": [-2.1, 2.9], "verdict": "steady"},
        },
    }


def calibrate_report() -> dict[str, Any]:
    """Errors of the measurement by door."""
    return {
        **_common("calibrate", "webrtc", 5),
        "settings": {},
        "summary": {"abs_error_p95_ms": 7.9},
        "door": {
            name: {
                "abs_error_ms": {"p50": 2.1 + extra, "p95": 6.4 + extra},
                "bias_ms": extra - 0.4,
                "n": 40,
                "delays": {
                    str(delay): {"p50": 1.9 + extra, "p95": 6.0 + extra}
                    for delay in (0, 50, 200, 800)
                },
            }
            for name, extra in (("webrtc", 1.5), ("sip", 0.2), ("twilio", 0.9))
        },
    }


def write_report(report: dict[str, Any], folder: Path, name: str = "report.json") -> Path:
    """The report as a file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(json.dumps(report), encoding="utf-8")
    return path


def write_wav(path: Path, stereo: NDArray[np.int16], rate_hz: int = RATE_HZ) -> None:
    """Writes ``stereo``, shape (samples, 2)."""
    with wave.open(str(path), "wb") as out:
        out.setnchannels(2)
        out.setsampwidth(2)
        out.setframerate(rate_hz)
        out.writeframes(stereo.astype("<i2").tobytes())


def sound_of(call: CallFigures, rng: np.random.Generator) -> NDArray[np.int16]:
    """A buzz with the pace of syllables wherever one of the two speaks."""
    length = round((call.duration_s + 0.3) * RATE_HZ)
    stereo = rng.normal(0, 4, (length, 2))
    if call.greeting_ms is not None:
        _speak(stereo[:, 1], call.greeting_ms / 1000, call.greeting_ms / 1000 + 2.2, 105, rng)
    for turn in call.turns:
        _speak(stereo[:, 0], turn.began_s, turn.ended_s, 170, rng)
        if turn.answer_began_s is not None and turn.answer_ended_s is not None:
            _speak(stereo[:, 1], turn.answer_began_s, turn.answer_ended_s, 105, rng)
    return stereo.clip(-32000, 32000).astype(np.int16)


def _speak(
    channel: NDArray[np.float64],
    from_s: float,
    to_s: float,
    pitch_hz: float,
    rng: np.random.Generator,
) -> None:
    start, end = round(from_s * RATE_HZ), min(round(to_s * RATE_HZ), len(channel))
    if end <= start:
        return
    at_s = np.arange(end - start) / RATE_HZ
    phase = 2 * np.pi * pitch_hz * (at_s + 0.02 * np.sin(2 * np.pi * 0.7 * at_s))
    voice = sum(np.sin(n * phase) / n**1.2 for n in range(1, 14))
    syllables = np.interp(
        at_s,
        np.arange(0, at_s[-1] + 0.2, 0.09),
        rng.uniform(0.03, 1.0, len(np.arange(0, at_s[-1] + 0.2, 0.09))) ** 1.5,
    )
    channel[start:end] += 5200 * voice * syllables


def _call(
    number: int, turns: int, rng: np.random.Generator, faster: float, door: str, faults: bool
) -> CallFigures:
    scenario = SCENARIOS[number % len(SCENARIOS)]
    began_s = 31.0 * number
    codec = {"webrtc": "opus/48000"}.get(door, "PCMU/8000")
    if faults and number == 17:
        return CallFigures(
            call=number,
            scenario=scenario,
            door=door,
            outcome="refused",
            reason="486 Busy Here: all 2 lines are in use",
            began_s=began_s,
        )
    # Calls differ from one another more than the turns of one call do.
    pace = float(rng.lognormal(0, 0.08)) / faster
    greeting_ms = 310 + float(rng.normal(0, 30))
    clock_s = greeting_ms / 1000 + 2.9
    rows = []
    for place in range(turns):
        late = faults and number % 11 == 5 and place == 2
        turn = _turn(place, scenario, clock_s, rng, pace * (2.6 if late else 1.0))
        if faults and number == 9 and place == 1:
            turn = replace(
                turn,
                v2v_ms=None,
                first_answer_ms=None,
                inside_ms=None,
                stages_ms={},
                missed=True,
                answer="",
                heard="",
                answer_began_s=None,
                answer_ended_s=None,
                verdicts=(Verdict("answer_within_s", 1.5, None, False),),
            )
        rows.append(turn)
        clock_s = max(turn.ended_s + 1.0, (turn.answer_ended_s or turn.ended_s + 6)) + 0.6
    dies = faults and number == 21
    outcome: Outcome = "failed" if dies else "completed"
    return CallFigures(
        call=number,
        scenario=scenario,
        door=door,
        outcome=outcome,
        reason="the connection broke: no packet for 15 s" if dies else "",
        codec=codec,
        began_s=began_s,
        duration_s=clock_s + 0.4,
        answer_ms=62 + float(rng.normal(0, 6)),
        greeting_ms=greeting_ms,
        wire=WireFigures(
            packets=round(clock_s * 50),
            lost=int(rng.integers(0, 3)),
            gap_max_ms=24 + float(rng.gamma(2, 3)),
            gap_p99_ms=22.5,
            jitter_ms=1.2,
            concealed=0.001,
            mos=4.31 if door == "webrtc" else 4.09,
            level_dbfs=-21.5,
            peak_dbfs=-6.0,
        ),
        turns=tuple(rows),
        verdicts=(Verdict("greeting_within_s", 2.0, round(greeting_ms / 1000, 3), True),),
        notes=("one packet of payload type 13",) if number == 3 else (),
    )


def _turn(
    place: int, scenario: str, at_s: float, rng: np.random.Generator, pace: float
) -> TurnFigures:
    said, answer = TALK[place % len(TALK)]
    keys = scenario == "dtmf-menu" and place == 1
    over = scenario in ("barge-in", "backchannel") and place == 2
    if over:
        at_s -= 2.2
    ended_s = at_s + (0.4 if keys else 0.055 * len(said))
    stages = {
        "end_of_turn": 190 * pace * float(rng.lognormal(0, 0.06)),
        "transcript": 82 * pace * float(rng.lognormal(0, 0.12)),
        "first_token": 118 * pace * float(rng.lognormal(0, 0.2)),
        "first_clause": 64 * pace * float(rng.lognormal(0, 0.25)),
        "first_audio": 55 * pace * float(rng.lognormal(0, 0.1)),
        "first_packet": 9.0,
    }
    inside_ms = sum(stages.values())
    v2v_ms = inside_ms + 61 + float(rng.normal(0, 7))
    backchannel = over and scenario == "backchannel"
    if backchannel:
        said, ended_s = "mm-hm", at_s + 0.5
    words = answer.split()
    verdicts = [Verdict("answer_within_s", 1.5, round(v2v_ms / 1000, 3), v2v_ms < 1500)]
    if over and not backchannel:
        verdicts.append(Verdict("stops_within_ms", 400.0, 262.0, True))
    if backchannel:
        verdicts = [Verdict("does_not_stop", True, True, True)]
    began_s = None if backchannel else ended_s + v2v_ms / 1000
    return TurnFigures(
        part=place,
        step=place,
        kind="keys" if keys else "speech",
        said="1#" if keys else said,
        source="synthesised",
        over_agent=over,
        continues=False,
        owes_answer=not backchannel,
        began_s=at_s,
        ended_s=ended_s,
        v2v_ms=None if backchannel else v2v_ms,
        first_answer_ms=None if backchannel else v2v_ms + (340 if place == 3 else 0),
        filler=place == 3 and not backchannel,
        stop_ms=262 + float(rng.normal(0, 25)) if over and not backchannel else None,
        stopped=None if not over else not backchannel,
        talk_over_ms=260.0 if over else 0.0,
        dead_air_ms=v2v_ms,
        answer_began_s=began_s,
        answer_ended_s=None if began_s is None else began_s + 0.32 * len(words),
        heard="" if keys or backchannel else said.lower().rstrip("?.").replace("two", "too"),
        answer="" if backchannel else answer,
        recognised=None if backchannel else answer.lower().rstrip("."),
        stages_ms={} if backchannel else stages,
        inside_ms=None if backchannel else inside_ms,
        verdicts=tuple(verdicts),
    )


def _spread(values: Sequence[float | None]) -> dict[str, Any] | None:
    found = spread([value for value in values if value is not None])
    return None if found is None else asdict(found)


def _percentiles(name: str, found: dict[str, Any] | None) -> dict[str, float | None]:
    return {f"{name}_{key}_ms": None if found is None else found[key] for key in ("p50", "p95")}


def _common(kind: str, door: str, seed: int) -> dict[str, Any]:
    address = {
        "webrtc": "webrtc:http://127.0.0.1:7860/api/offer",
        "sip": "sip:agent@127.0.0.1:5060",
    }.get(door, "ws+twilio://127.0.0.1:8765/ws")
    return {
        "schema": SCHEMA,
        "kind": kind,
        "target": {"text": address, "door": door, "name": "Offhook 0.1.0"},
        "machine": MACHINE,
        "began_utc": "2026-11-20T14:03:11+00:00",
        "elapsed_s": 744.0,
        "speech": "synthesised with the agent's own engine, 12% faster and higher",
        "interrupted": False,
        "errors": [],
    }
