"""Calibrates door by door, and reports the error.

Against an agent in a process of its own that answers after an exactly known delay and knows from
the kernel when sound came and went.
"""

import argparse
import asyncio
import json
import sys
import time
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from latency_bench.calibration.calls import calibrate_door
from latency_bench.calibration.command import LIMIT_MS
from latency_bench.calibration.comparison import CallsDiffer, door_report
from latency_bench.figures import SCHEMA
from latency_bench.machine import machine_facts
from latency_bench.recording import CallFailed
from latency_bench.reference.process import ReferenceFailed
from latency_bench.target import DOORS


def run(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    console = Console(stderr=True)
    report = asyncio.run(_calibrate(args, console))
    _show(report)
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + "\n")
    for error in report["errors"]:
        console.print(f"offhook: {error}", style="red", highlight=False)
    if report["interrupted"]:
        return 130
    return 0 if report["passed"] else 1


async def _calibrate(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    began_utc, began_s = datetime.now(UTC), time.monotonic()
    doors: dict[str, Any] = {}
    errors: list[str] = []
    interrupted = False
    for door in args.door or DOORS:
        with console.status(f"Calling a reference agent over {door}"):
            try:
                compared = await calibrate_door(door, turns=args.turns, seed=args.seed)
                doors[door] = door_report(compared)
            except (CallFailed, CallsDiffer, ReferenceFailed) as error:
                errors.append(f"{door}: {error}")
            except asyncio.CancelledError:
                # Ctrl-C: the doors that were done are reported.
                interrupted = True
                break
    return {
        "schema": SCHEMA,
        "kind": "calibrate",
        "target": {"text": "reference agent", "door": None, "name": "reference agent"},
        "machine": machine_facts({}),
        "began_utc": began_utc.isoformat(),
        "elapsed_s": round(time.monotonic() - began_s, 1),
        "speech": "tones",
        "settings": {"turns": args.turns, "seed": args.seed},
        "interrupted": interrupted,
        "errors": errors,
        "summary": {
            f"{door}_error_{name}_ms": (figures["abs_error_ms"] or {}).get(name)
            for door, figures in doors.items()
            for name in ("p50", "p95")
        },
        "door": doors,
        "limit_ms": LIMIT_MS,
        "passed": not errors
        and not interrupted
        and all(_holds(figures) for figures in doors.values()),
    }


def _holds(figures: dict[str, Any]) -> bool:
    found = figures["abs_error_ms"]
    return found is not None and found["p95"] <= LIMIT_MS and not figures["not_found"]


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
