"""`offhook bench simulate`."""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from agent.config import ConfigError, load_config
from latency_bench.load.callers import Habits
from latency_bench.reports.write import write_json
from latency_bench.simulation.arithmetic import budget, turn_every_s
from latency_bench.simulation.box import BoxRules
from latency_bench.simulation.check import Checked, CheckError, check
from latency_bench.simulation.costs import (
    Costs,
    CostsError,
    read_costs,
    shipped_costs,
    write_costs,
)
from latency_bench.simulation.imagined import imagined
from latency_bench.simulation.level import SimulatedLevel, Stretch, simulate
from latency_bench.simulation.recorder import RecordError, record
from latency_bench.utterance import SpeechError, Utterance
from models.errors import ModelError

SCHEMA = "offhook-simulation/1"
MISSED_RATE = 0.01
QUESTIONS = 30
VARIANTS = {
    "as the box": BoxRules(),
    "nothing guessed": BoxRules(guesses="never"),
    "always guessing": BoxRules(guesses="always"),
    "first come": BoxRules(order="fifo"),
}


def run(args: argparse.Namespace) -> int:
    """Exit status: 0, or 2 for bad input."""
    console = Console()
    try:
        costs = _costs(args, console)
        stretch = Stretch(seconds=args.seconds, seed=args.seed)
        if args.check is not None:
            report = _checked(args, costs, stretch, console)
        else:
            report = _simulated(args, costs, stretch, console)
        if args.json is not None:
            write_json(args.json, {**_facts(args, costs), **report})
    except OSError as error:
        print(f"offhook bench simulate: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    except (CheckError, ConfigError, CostsError, ModelError, RecordError, SpeechError) as error:
        print(f"offhook bench simulate: {error}", file=sys.stderr)
        return 2
    return 0


def _costs(args: argparse.Namespace, console: Console) -> Costs:
    costs = shipped_costs() if args.costs is None else read_costs(args.costs)
    if args.record is not None:
        config = load_config(args.config, os.environ)
        with console.status("Recording") as status:
            questions = _questions(args)
            costs = record(config, questions, costs, lambda what: status.update(escape(what)))
        write_costs(args.record, costs)
        console.print(f"Costs written to {args.record}", highlight=False)
    return imagined(costs) if args.gpu else costs


def _questions(args: argparse.Namespace) -> list[Utterance]:
    from latency_bench.questions import QUESTIONS as TEXTS
    from latency_bench.questions import from_folder, synthesised
    from models.loading import load_tts

    if args.speech is not None:
        return from_folder(args.speech, QUESTIONS)
    voice = load_tts(load_config(args.config, os.environ).models.tts)
    try:
        return synthesised(TEXTS, voice)
    finally:
        voice.close()


def _simulated(
    args: argparse.Namespace, costs: Costs, stretch: Stretch, console: Console
) -> dict[str, Any]:
    habits = Habits()
    variants = VARIANTS if args.compare else {"as the box": BoxRules()}
    planned = [(name, calls) for calls in args.calls for name in variants]
    found: dict[str, list[SimulatedLevel]] = {name: [] for name in variants}
    for name, calls in track(planned, "Simulating", console=console, transient=True):
        found[name].append(simulate(costs, calls, variants[name], habits, stretch))
    levels = found["as the box"]
    _print_levels(levels, costs, console)
    if args.compare:
        _print_variants(found, console)
    by_arithmetic = budget(costs, habits)
    carried = {name: most_calls(each, args.p95_ms) for name, each in found.items()}
    console.print(
        f"{carried['as the box']} of the loads tried is the highest with P95 up to "
        f"{args.p95_ms:g} ms and under {MISSED_RATE:.0%} missed. By arithmetic, at most 70% busy: "
        f"{by_arithmetic.calls} calls, bound by the {by_arithmetic.bound}.",
        highlight=False,
    )
    return {
        "turn_every_s": turn_every_s(costs, habits),
        "arithmetic": asdict(by_arithmetic),
        "calls_within": carried,
        "levels": {name: [level.to_json() for level in each] for name, each in found.items()},
    }


def most_calls(levels: Sequence[SimulatedLevel], p95_ms: float) -> int:
    """The highest load below the first that broke the objective; 0 where the first did."""
    best = 0
    for level in sorted(levels, key=lambda each: each.calls):
        if not level.within(p95_ms, MISSED_RATE):
            break
        best = level.calls
    return best


def _checked(
    args: argparse.Namespace, costs: Costs, stretch: Stretch, console: Console
) -> dict[str, Any]:
    with console.status("Simulating the levels of the report"):
        found = check(args.check, costs, BoxRules(), stretch)
    table = Table(title="Simulated beside measured", title_justify="left")
    columns = ("calls", "turns measured", "P50 measured", "simulated", "error")
    for name in (*columns, "P95 measured", "simulated", "error"):
        table.add_column(name, justify="right")
    for level in found:
        table.add_row(*_check_row(level))
    console.print(table)
    return {"check": [level.to_json() for level in found]}


def _check_row(level: Checked) -> list[str]:
    simulated, errors = level.simulated.v2v_ms, level.errors
    row = [str(level.calls), str(level.turns)]
    for place, measured in enumerate((level.p50_ms, level.p95_ms)):
        row.append(f"{measured:,.0f} ms")
        if simulated is None or errors is None:
            row += ["no answers", ""]
        else:
            figure = (simulated.p50, simulated.p95)[place]
            row += [f"{figure:,.0f} ms", f"{errors[place]:+.0%}"]
    return row


def _print_levels(levels: Sequence[SimulatedLevel], costs: Costs, console: Console) -> None:
    console.print(f"[bold]{escape(costs.name)}[/]: {escape(costs.about)}", highlight=False)
    table = Table(title="Voice to voice by calls at once", title_justify="left")
    titles = ("calls", "turns", "P50 ms", "P95 ms", "missed", "gaps", "guessed", "thrown away")
    for name in titles:
        table.add_column(name, justify="right")
    for level in levels:
        table.add_row(
            str(level.calls),
            str(level.turns),
            *_latency(level),
            *map(_share, (level.missed_rate, level.gap_rate, level.guessed_rate)),
            _share(level.discarded),
        )
    console.print(table)
    names = list(levels[0].busy)
    table = Table(title="How busy each resource is", title_justify="left")
    for name in ("calls", *names, "full"):
        table.add_column(name, justify="right")
    for level in levels:
        table.add_row(
            str(level.calls), *(_share(level.busy[name]) for name in names), level.saturated
        )
    console.print(table)


def _print_variants(found: dict[str, list[SimulatedLevel]], console: Console) -> None:
    table = Table(title="P50 / P95 ms, and thrown away, by what the box does", title_justify="left")
    table.add_column("calls", justify="right")
    for name in found:
        table.add_column(name, justify="right")
    for row in zip(*found.values(), strict=True):
        cells = (f"{' / '.join(_latency(level))}, {_share(level.discarded)}" for level in row)
        table.add_row(str(row[0].calls), *cells)
    console.print(table)


def _latency(level: SimulatedLevel) -> tuple[str, str]:
    if level.v2v_ms is None:
        return "-", "-"
    return f"{level.v2v_ms.p50:,.0f}", f"{level.v2v_ms.p95:,.0f}"


def _share(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"


def _facts(args: argparse.Namespace, costs: Costs) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "machine": dict(costs.machine),
        "costs": {"name": costs.name, "about": costs.about},
        "settings": {
            "calls": list(args.calls),
            "seconds": args.seconds,
            "seed": args.seed,
            "p95_ms": args.p95_ms,
            "missed_rate": MISSED_RATE,
        },
    }
