"""`offhook bench metering`: what the meter of the machine takes itself.

The process does nothing else, so that its own clock tells: a round with the meter, less one of
the same length without. Each call works a little, so that there is something to share, and closes
a turn every `TURN_EVERY_S`. What a turn takes is measured apart: many turns closed on end, each
with a reading of its own, and the arithmetic of its usage and of the call's.
"""

import argparse
import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

from rich.console import Console
from rich.table import Table

from agent.call import Call
from agent.config import load_config
from agent.conversation import SpokenAnswer
from agent.cost.bill import Bill
from agent.metering.counters import MachineCounters
from agent.metering.meter import FRESH_S, Meter
from agent.turn import Turn
from agent.usage import Usage
from latency_bench.machine import machine_facts

TURN_EVERY_S = 6.0
"""A call in which caller and agent take turns of a few seconds."""
STEP_S = 0.5
TURNS = 50
"""Closed on end, to tell what one takes."""
REPEATS = 100
LIMIT_OF_A_CORE = 0.01
LIMIT_A_TURN_MS = 1.0


class _Stand:
    """A call that the meter follows, and nobody speaks in."""

    def __init__(self, call_id: str) -> None:
        self.call_id = call_id
        self.work_s = {"turn_taking": 0.0, "stt": 0.0, "llm": 0.0, "tts": 0.0}
        self.peak_memory_bytes = 0
        self.settle: Callable[[], Awaitable[None]]
        self._usage = Usage()

    def metered(self, usage: Usage) -> None:
        self._usage += usage

    def works(self, seconds: float) -> None:
        for stage in self.work_s:
            self.work_s[stage] += seconds / len(self.work_s)


def run(args: argparse.Namespace) -> int:
    """Runs the bench; returns the exit status: 1 where a limit is broken."""
    console = Console(stderr=True)
    report = asyncio.run(_bench(args.calls, args.seconds, console))
    _show(report)
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + "\n")
    return 0 if report["holds"] else 1


async def _bench(counts: list[int], seconds: float, console: Console) -> dict[str, Any]:
    counters = MachineCounters()
    console.print(f"without the meter for {seconds} s", highlight=False)
    base_s = await _asleep(seconds)
    rounds = {}
    for count in counts:
        console.print(f"{count} call{'s' * (count > 1)} for {seconds} s", highlight=False)
        rounds[str(count)] = await _round(counters, count, seconds, base_s)
    turn_ms = await _turn_ms(counters)
    arithmetic = {what: _taken_ms(work) for what, work in _arithmetic().items()}
    whole_ms = turn_ms + arithmetic["usage_ms"]
    worst = max(row["of_a_core"] for row in rounds.values())
    return {
        "machine": machine_facts({}),
        "sources": counters.sources,
        "idle_of_a_core": base_s / seconds,
        "calls": rounds,
        "turn": {"settle_ms": turn_ms, **arithmetic, "metering_ms": whole_ms},
        "limits": {"of_a_core": LIMIT_OF_A_CORE, "turn_ms": LIMIT_A_TURN_MS},
        "holds": worst < LIMIT_OF_A_CORE and whole_ms < LIMIT_A_TURN_MS,
    }


async def _asleep(seconds: float) -> float:
    """Processor seconds of a loop that wakes as often as in a round."""
    before_s = time.process_time()
    for _ in range(round(seconds / STEP_S)):
        await asyncio.sleep(STEP_S)
    return time.process_time() - before_s


async def _round(
    counters: MachineCounters, count: int, seconds: float, base_s: float
) -> dict[str, float]:
    calls = [_Stand(str(place)) for place in range(count)]
    turns = 0
    async with Meter(counters, {}) as meter:
        for call in calls:
            meter.began(cast(Call, call))
        before_s, began_s = time.process_time(), time.monotonic()
        while (passed_s := time.monotonic() - began_s) < seconds:
            # The calls' turns come one after another, evenly.
            while turns < passed_s / TURN_EVERY_S * count:
                await calls[turns % count].settle()
                turns += 1
            for call in calls:
                call.works(STEP_S / 2)
            await asyncio.sleep(STEP_S)
        spent_s = time.process_time() - before_s
    return {"of_a_core": max(0.0, spent_s - base_s) / passed_s, "turns": turns}


async def _turn_ms(counters: MachineCounters) -> float:
    """Processor time to settle one turn, a reading of the machine included."""
    call = _Stand("call")
    pause_s = 1.5 * FRESH_S
    before_s = time.process_time()
    for _ in range(TURNS):
        await asyncio.sleep(pause_s)
    asleep_s = time.process_time() - before_s
    async with Meter(counters, {}, every_s=3600) as meter:
        meter.began(cast(Call, call))
        before_s = time.process_time()
        for _ in range(TURNS):
            await asyncio.sleep(pause_s)
            call.works(0.1)
            await call.settle()
        spent_s = time.process_time() - before_s
    return max(0.0, spent_s - asleep_s) / TURNS * 1000


def _arithmetic() -> Mapping[str, Callable[[], object]]:
    """What else a turn's end reckons: its own usage and the call's, and apart from metering, what
    they cost."""
    bill = Bill.load(load_config(None, {}))
    turn = Turn(1, SpokenAnswer(8000), answer="It leaves at nine.")
    usage = Usage(
        audio_in_s=20, prompt_tokens=3000, cached_tokens=2500, generated_tokens=200,
        characters=900, turns=8, stt_busy_s=2, llm_busy_s=4, tts_busy_s=2, cpu_s=9, call_s=60,
    )  # fmt: skip

    def counted() -> Usage:
        return usage + (turn.usage() + (usage - usage))

    return {
        "usage_ms": counted,
        "priced_ms": lambda: bill.work_usd(usage),
        "cost_event_ms": lambda: bill.to_json(usage),
    }


def _taken_ms(work: Callable[[], object]) -> float:
    work()
    before_s = time.process_time()
    for _ in range(REPEATS):
        work()
    return (time.process_time() - before_s) / REPEATS * 1000


def _show(report: dict[str, Any]) -> None:
    table = Table(title="what metering takes")
    for heading in ("calls", "turns", "of a core"):
        table.add_column(heading, justify="right")
    for count, row in report["calls"].items():
        table.add_row(count, str(row["turns"]), f"{row['of_a_core']:.3%}")
    console = Console()
    console.print(table)
    turn = report["turn"]
    console.print(
        f"a turn: {turn['metering_ms']:.3f} ms (reading the machine {turn['settle_ms']:.3f}, "
        f"adding up {turn['usage_ms']:.3f})",
        highlight=False,
    )
    console.print(
        f"beside it, pricing: a turn {turn['priced_ms']:.3f} ms, "
        f"a cost event {turn['cost_event_ms']:.3f} ms",
        highlight=False,
    )
    told = ", ".join(f"{what}: {source}" for what, source in report["sources"].items())
    console.print(f"read from: {told}", highlight=False)
    verdict = "holds" if report["holds"] else "does not hold"
    console.print(
        f"under {LIMIT_OF_A_CORE:.0%} of a core and {LIMIT_A_TURN_MS:g} ms a turn: {verdict}",
        highlight=False,
    )
