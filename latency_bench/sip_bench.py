"""`offhook bench sip`: the telephone door alone, at 1, 10 and 20 calls at once.

Against a tone agent of our own (no models), or any agent that speaks SIP. Every figure is of
the wire: packets stamped by the kernel on the caller's side.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

from latency_bench.machine import machine_facts
from latency_bench.recording import CallFailed
from latency_bench.sip.g711 import decode, encode
from latency_bench.sip.rtp_wire import RtpWire
from latency_bench.sip.scripted_call import FRAME_SAMPLES, Heard, ScriptedCall, place_scripted_call
from latency_bench.target import Target

RATE_HZ = 8000
BURST_EVERY_FRAMES = 50
BURST_FRAMES = 10
"""Each second the caller says 200 ms of tone; the agent says it back."""
BURST_HZ = 1000.0
VOICED_PEAK = 2000
SETTLE_S = 1.0
READY_LIMIT_S = 30.0
STOP_LIMIT_S = 10.0
BETWEEN_CALLS_S = 0.05


@dataclass(frozen=True, slots=True)
class Measured:
    """One call, as its caller saw it."""

    answer_ms: float
    gaps_ms: tuple[float, ...]
    added_delay_ms: tuple[float, ...]
    """From a sample's leaving the caller to its coming back; one for each burst."""
    bursts: int
    lost: int
    """Packets of the agent that never came, by their numbers."""
    first_sound_ms: float | None
    """From the answer to the first sound of the agent, where it speaks first."""


def run(args: argparse.Namespace) -> int:
    """Runs the bench; returns the exit status."""
    console = Console(stderr=True)
    try:
        report = asyncio.run(_bench(args, console))
    except CallFailed as error:
        console.print(f"offhook: {error}", highlight=False)
        return 1
    _show(report)
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + "\n")
    return 0


async def _bench(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    calls: dict[str, Any] = {}
    for count in args.calls:
        console.print(f"{count} call{'s' * (count > 1)} for {args.seconds} s", highlight=False)
        if args.target:
            row = await _round(args.target, count, args.seconds, None)
            if not args.echo:
                # Its own words are no echo of the caller's.
                row |= {"added_delay_ms": _spread(np.zeros(0)), "bursts_unanswered": None}
            calls[str(count)] = row
            continue
        # A fresh agent each time: its time is its own, and not that of the round before.
        agent = await _start_agent()
        try:
            process = psutil.Process(agent[0].pid)
            target = f"sip:agent@127.0.0.1:{agent[1]}"
            calls[str(count)] = await _round(target, count, args.seconds, process)
        finally:
            await _stop(agent[0])
    target = args.target or "tone agent"
    return {"machine": machine_facts({}), "target": target, "calls": calls}


async def _start_agent() -> tuple[asyncio.subprocess.Process, int]:
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "latency_bench.tone_agent", "--echo", "--codecs", "pcmu"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    assert child.stdout is not None
    try:
        async with asyncio.timeout(READY_LIMIT_S):
            line = (await child.stdout.readline()).decode()
    except TimeoutError:
        line = ""
    if not line.startswith("ready "):
        await _stop(child)
        raise CallFailed("the tone agent did not start: run `python -m latency_bench.tone_agent`")
    return child, int(line.split()[1])


async def _stop(child: asyncio.subprocess.Process) -> None:
    if child.returncode is None:
        child.terminate()
        try:
            async with asyncio.timeout(STOP_LIMIT_S):
                await child.wait()
        except TimeoutError:
            child.kill()
            await child.wait()


async def _round(
    target: str, count: int, seconds: float, agent: psutil.Process | None
) -> dict[str, Any]:
    frames = bursts(seconds)
    with RtpWire() as wire:
        calls: list[ScriptedCall] = []
        try:
            for _ in range(count):
                calls.append(await place_scripted_call(Target("sip", target), frames, wire))
                await asyncio.sleep(BETWEEN_CALLS_S)
            await asyncio.sleep(SETTLE_S)
            before = _busy_s(agent)
            began_s = asyncio.get_running_loop().time()
            await asyncio.sleep(max(1.0, seconds - SETTLE_S - count * BETWEEN_CALLS_S))
            elapsed_s = asyncio.get_running_loop().time() - began_s
            after = _busy_s(agent)
        finally:
            ended = await asyncio.gather(
                *(call.hang_up(wire) for call in calls), return_exceptions=True
            )
    for failure in ended:
        if isinstance(failure, BaseException):
            raise failure
    share = None
    if before is not None and after is not None:
        share = (after - before) / elapsed_s / count
    return summary([measure(call) for call in calls], share)


def _busy_s(agent: psutil.Process | None) -> float | None:
    if agent is None:
        return None
    times = agent.cpu_times()
    return float(times.user + times.system)


def bursts(seconds: float) -> list[bytes]:
    """What the caller says: frames of silence with a burst of tone in each second."""
    at = np.arange(FRAME_SAMPLES * BURST_FRAMES) / RATE_HZ
    tone = encode((8000 * np.sin(2 * np.pi * BURST_HZ * at)).astype(np.int16))
    silence = encode(np.zeros(FRAME_SAMPLES, np.int16))
    frames = []
    for index in range(int(seconds * RATE_HZ / FRAME_SAMPLES)):
        # Half a second in, so that what follows the answer does not count.
        within = (index + BURST_EVERY_FRAMES // 2) % BURST_EVERY_FRAMES
        start = within * FRAME_SAMPLES
        frames.append(tone[start : start + FRAME_SAMPLES] if within < BURST_FRAMES else silence)
    return frames


def measure(call: ScriptedCall) -> Measured:
    """Reads one call's packets."""
    heard = [packet for packet in call.audio.heard if len(packet.payload) >= FRAME_SAMPLES // 2]
    said = [
        at_s
        for index, at_s in enumerate(call.audio.sent)
        if _begins_burst(call.audio.frames, index)
    ]
    onsets = _onsets(heard)
    delays = []
    for at_s in said:
        after = [onset - at_s for onset in onsets if 0 <= onset - at_s < 0.5]
        if after:
            delays.append(after[0] * 1000)
    first = next((onset for onset in onsets if onset >= call.answered_s), None)
    gaps = np.diff(np.array([packet.at_s for packet in heard])) * 1000
    return Measured(
        answer_ms=call.answer_ms,
        gaps_ms=tuple(gaps.tolist()),
        added_delay_ms=tuple(delays),
        bursts=len(said),
        lost=_lost(heard),
        first_sound_ms=None if first is None else (first - call.answered_s) * 1000,
    )


def summary(measured: Sequence[Measured], cpu_per_call: float | None) -> dict[str, Any]:
    """The figures of one round; ``cpu_per_call`` as a share of a core."""
    gaps = np.concatenate([np.array(call.gaps_ms) for call in measured])
    delays = np.concatenate([np.array(call.added_delay_ms) for call in measured])
    answers = np.array([call.answer_ms for call in measured])
    firsts = np.array([c.first_sound_ms for c in measured if c.first_sound_ms is not None])
    return {
        "answer_ms": _spread(answers),
        "gap_ms": _spread(gaps),
        "added_delay_ms": _spread(delays),
        "first_sound_ms": _spread(firsts),
        "cpu_per_call": cpu_per_call,
        "lost": sum(call.lost for call in measured),
        "bursts_unanswered": sum(call.bursts - len(call.added_delay_ms) for call in measured),
    }


def _spread(values: "np.ndarray[Any, np.dtype[np.float64]]") -> dict[str, float | None]:
    if not len(values):
        return {"p50": None, "p99": None, "max": None}
    p50, p99 = np.percentile(values, (50, 99))
    return {
        "p50": round(float(p50), 2),
        "p99": round(float(p99), 2),
        "max": round(float(values.max()), 2),
    }


def _begins_burst(frames: Sequence[bytes], index: int) -> bool:
    within = (index + BURST_EVERY_FRAMES // 2) % BURST_EVERY_FRAMES
    # A burst that is cut off by the end may not come back in time.
    return within == 0 and 0 < index < len(frames) - BURST_EVERY_FRAMES


def _onsets(heard: Sequence[Heard]) -> list[float]:
    """When each sound began to be heard, to the sample."""
    found, silent = [], True
    for packet in heard:
        loud = np.abs(decode(packet.payload).astype(np.int32)) > VOICED_PEAK
        if silent and loud.any():
            found.append(packet.at_s + int(loud.argmax()) / RATE_HZ)
        silent = not loud.any()
    return found


def _lost(heard: Sequence[Heard]) -> int:
    """By sequence numbers, which wrap at 2^16 (RFC 3550)."""
    if len(heard) < 2:
        return 0
    unwrapped = np.unwrap(np.array([p.sequence for p in heard], np.float64), period=65536)
    expected = int(unwrapped.max() - unwrapped.min()) + 1
    return max(0, expected - len(set(unwrapped.tolist())))


def _show(report: dict[str, Any]) -> None:
    table = Table(title=f"SIP against {report['target']}")
    for heading in ("calls", "answer ms", "gap ms p50 / p99 / max", "added delay ms p50 / p99"):
        table.add_column(heading, justify="right")
    table.add_column("first sound ms", justify="right")
    table.add_column("CPU a call", justify="right")
    table.add_column("lost", justify="right")
    for count, row in report["calls"].items():
        gap, delay = row["gap_ms"], row["added_delay_ms"]
        share = row["cpu_per_call"]
        table.add_row(
            count,
            _text(row["answer_ms"]["p50"]),
            " / ".join(_text(gap[key]) for key in ("p50", "p99", "max")),
            " / ".join(_text(delay[key]) for key in ("p50", "p99")),
            _text(row["first_sound_ms"]["p50"]),
            "" if share is None else f"{share:.2%}",
            str(row["lost"]),
        )
    Console().print(table)


def _text(value: float | None) -> str:
    return "none" if value is None else f"{value:.1f}"
