"""Calls to a reference agent, measured as any other, beside what the agent knows to be true."""

import asyncio
import random
from collections.abc import Sequence

import numpy as np
from loguru import logger

from latency_bench.calibration.comparison import CallsDiffer, Compared, compare
from latency_bench.conversation import Conversation, Pace
from latency_bench.measures.measure import measure_call
from latency_bench.part import Part, When
from latency_bench.place import place_call
from latency_bench.recording import CallFailed
from latency_bench.reference.behaviour import CALIBRATION_SPEECH_S
from latency_bench.reference.burst import sweep
from latency_bench.reference.process import ReferenceProcess
from latency_bench.target import Door, Target

DELAYS = ("delay-0", "delay-50", "delay-200", "delay-800", "jitter")
STOPS = ("stop-200", "stop-500")
AT_ONCE = {"sip": 7, "twilio": 7, "webrtc": 1}
"""Encoding Opus takes its time."""
TURN_LIMIT_S = 6.0
TAIL_S = 0.1
OVER_AT_S = 0.4
PACE = Pace(
    greeting_silence_s=0.3,
    greeting_limit_s=1.5,
    answer_silence_s=0.4,
    pause_s=0.15,
)


async def calibrate_door(
    door: Door,
    *,
    turns: int,
    seed: int = 1,
    behaviours: Sequence[str] = (*DELAYS, *STOPS),
    at_once: int | None = None,
) -> dict[str, list[Compared]]:
    """Calls the reference agent once for each behaviour; every figure beside its truth.

    ``at_once``: so many calls at a time, by default as many as do not hold one another up.
    Raises CallFailed, CallsDiffer, ReferenceFailed.
    """
    few = asyncio.Semaphore(at_once or AT_ONCE[door])

    async def one(name: str) -> list[Compared]:
        async with few:
            return await _call(agent, name, turns, seed)

    async with ReferenceProcess(door, seed=seed) as agent:
        calls = [asyncio.create_task(one(name)) for name in behaviours]
        try:
            return dict(zip(behaviours, await asyncio.gather(*calls), strict=True))
        finally:
            # Where one has failed, the others end with it.
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)


async def _call(agent: ReferenceProcess, name: str, turns: int, seed: int) -> list[Compared]:
    try:
        return await _compared(agent, name, name, turns, seed)
    except CallsDiffer as error:
        # What a stalled machine lost is no error of the measurement; twice in a row is one.
        logger.warning("calling again: {}", error)
        return await _compared(agent, name, f"{name}.again", turns, seed)


async def _compared(
    agent: ReferenceProcess, behaviour: str, name: str, turns: int, seed: int
) -> list[Compared]:
    target: Target = agent.target(name)

    def talk(rate_hz: int) -> Conversation:
        when: When = "over" if behaviour in STOPS else "after"
        return Conversation(calibration_parts(turns, when, rate_hz, seed), rate_hz, PACE)

    recording = await place_call(target, talk, limit_s=10 + TURN_LIMIT_S * turns)
    if recording.end != "completed":
        raise CallFailed(f"the call to {target} ended early: {recording.end} {recording.reason}")
    figures = measure_call(recording, call=0, scenario=behaviour, began_s=0.0)
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
