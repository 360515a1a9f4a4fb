"""`offhook bench calibrate`: the error of the measurement itself, by door.

Against an agent in a process of its own that answers after an exactly known delay and knows from
the kernel when sound came and went.
"""

import argparse
import asyncio
import json
import random
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from latency_bench.burst import sweep
from latency_bench.calibration import CallsDiffer, Compared, compare, door_report
from latency_bench.conversation import Conversation, Pace
from latency_bench.figures import SCHEMA
from latency_bench.machine import machine_facts
from latency_bench.measure import measure_call
from latency_bench.part import Part, When
from latency_bench.place import place_call
from latency_bench.recording import CallFailed
from latency_bench.reference_behaviour import CALIBRATION_SPEECH_S
from latency_bench.reference_process import ReferenceFailed, ReferenceProcess
from latency_bench.target import DOORS, Door, Target

DELAYS = ("delay-0", "delay-50", "delay-200", "delay-800", "jitter")
STOPS = ("stop-200", "stop-500")
TURNS = 10
LIMIT_MS = 10.0
"""What the bench promises at each door, at the 95th percentile."""
TURN_LIMIT_S = 6.0
TAIL_S = 0.1
OVER_AT_S = 0.4
PACE = Pace(
    greeting_silence_s=0.3,
    greeting_limit_s=1.5,
    answer_silence_s=0.4,
    pause_s=0.15,
)


def add_parser(kinds: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command."""
    parser = kinds.add_parser(
        "calibrate",
        help="the error of the measurement itself, by door",
        description="Calls an agent of its own that answers after 0, 50, 200 and 800 ms and "
        "through a network that delays packets by up to 40 ms, and compares what it measured "
        "with what the agent knows to be true. Exit status 1 where the error is over "
        f"{LIMIT_MS:g} ms at the 95th percentile.",
    )
    parser.add_argument(
        "--door",
        action="append",
        choices=DOORS,
        help="only this door; may be given several times (default: all)",
    )
    parser.add_argument(
        "--turns", type=_turns, default=TURNS, metavar="N", help=f"at each delay (default: {TURNS})"
    )
    parser.add_argument(
        "--seed", type=int, default=1, help="of where in its frames a sound begins (default: 1)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report there")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    console = Console(stderr=True)
    try:
        report = asyncio.run(_calibrate(args, console))
    except KeyboardInterrupt:
        return 130
    _show(report)
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + "\n")
    for error in report["errors"]:
        console.print(f"offhook: {error}", style="red", highlight=False)
    return 0 if report["passed"] else 1


async def _calibrate(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    began_utc, began_s = datetime.now(UTC), time.monotonic()
    doors: dict[str, Any] = {}
    errors: list[str] = []
    for door in args.door or DOORS:
        with console.status(f"Calling a reference agent over {door}"):
            try:
                compared = await calibrate_door(door, turns=args.turns, seed=args.seed)
                doors[door] = door_report(compared)
            except (CallFailed, CallsDiffer, ReferenceFailed) as error:
                errors.append(f"{door}: {error}")
    return {
        "schema": SCHEMA,
        "kind": "calibrate",
        "target": {"text": "reference agent", "door": None, "name": "reference agent"},
        "machine": machine_facts({}),
        "began_utc": began_utc.isoformat(),
        "elapsed_s": round(time.monotonic() - began_s, 1),
        "speech": "tones",
        "settings": {"turns": args.turns, "seed": args.seed},
        "interrupted": False,
        "errors": errors,
        "summary": {
            f"{door}_{name}": (figures["abs_error_ms"] or {}).get(name.removesuffix("_error_ms"))
            for door, figures in doors.items()
            for name in ("p50_error_ms", "p95_error_ms")
        },
        "door": doors,
        "limit_ms": LIMIT_MS,
        "passed": not errors and all(_holds(figures) for figures in doors.values()),
    }


def _holds(figures: dict[str, Any]) -> bool:
    found = figures["abs_error_ms"]
    return found is not None and found["p95"] <= LIMIT_MS and not figures["not_found"]


async def calibrate_door(
    door: Door,
    *,
    turns: int,
    seed: int = 1,
    behaviours: Sequence[str] = (*DELAYS, *STOPS),
    at_once: bool = False,
) -> dict[str, list[Compared]]:
    """Calls the reference agent once for each behaviour; every figure beside its truth.

    Raises CallFailed, CallsDiffer, ReferenceFailed.
    """
    async with ReferenceProcess(door, seed=seed) as agent:
        calls = [_call(agent, name, turns, seed) for name in behaviours]
        if at_once:
            return dict(zip(behaviours, await asyncio.gather(*calls), strict=True))
        return {name: await call for name, call in zip(behaviours, calls, strict=True)}


async def _call(agent: ReferenceProcess, name: str, turns: int, seed: int) -> list[Compared]:
    target: Target = agent.target(name)

    def talk(rate_hz: int) -> Conversation:
        when: When = "over" if name in STOPS else "after"
        return Conversation(calibration_parts(turns, when, rate_hz, seed), rate_hz, PACE)

    recording = await place_call(target, talk, limit_s=10 + TURN_LIMIT_S * turns)
    if recording.end != "completed":
        raise CallFailed(f"the call to {target} ended early: {recording.end} {recording.reason}")
    figures = measure_call(recording, call=0, scenario=name, began_s=0.0)
    return compare(figures, await agent.truth(name), recording.answered_s)


def calibration_parts(turns: int, when: When, rate_hz: int, seed: int) -> list[Part]:
    """What the caller says: sweeps that begin anywhere in their frames.

    With ``over`` the first opens the call, and each of the others interrupts an answer.
    """
    places = random.Random(seed)
    sound = sweep(CALIBRATION_SPEECH_S, rate_hz)
    tail = np.zeros(round(TAIL_S * rate_hz), np.int16)
    parts = []
    for step in range(turns + (when == "over")):
        lead = places.randrange(round(0.04 * rate_hz))
        parts.append(
            Part(
                step=step,
                kind="speech",
                pcm=np.concatenate((np.zeros(lead, np.int16), sound, tail)),
                rate_hz=rate_hz,
                first=lead,
                last=lead + len(sound) - 1,
                when=when if step else "after",
                at_s=OVER_AT_S if step else 0.0,
                wait_s=5.0,
                source="tone",
            )
        )
    return parts


def _turns(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 200:
        raise argparse.ArgumentTypeError(f"must be 1 to 200, not {text!r}")
    return int(text)


def _show(report: dict[str, Any]) -> None:
    table = Table(title="Error of the measurement, in ms")
    for heading in ("door", "delay", "truth", "n", "error p50", "p95", "max", "bias"):
        table.add_column(heading, justify="left" if heading in ("door", "delay") else "right")
    for door, figures in report["door"].items():
        rows = {
            **{f"{name}": found for name, found in figures["delays"].items()},
            "all delays": figures,
            "stops after": figures["stop"],
            "greeting": figures["greeting"],
        }
        for name, found in rows.items():
            sizes = found["abs_error_ms"]
            if sizes is None:
                continue
            table.add_row(
                door,
                name,
                "" if name == "all delays" else f"{found['truth_ms']:.1f}",
                str(found["n"])
                + (f" of {found['n'] + found['not_found']}" * bool(found["not_found"])),
                *(f"{sizes[key]:.2f}" for key in ("p50", "p95", "max")),
                f"{found['bias_ms']:+.2f}",
            )
    Console(file=sys.stdout).print(table)
