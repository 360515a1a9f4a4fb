"""Costs with round numbers, for tests of the simulation."""

from dataclasses import replace
from typing import Any

from latency_bench.simulation.costs import ChunkCost, ClauseCost, Costs, StepCost, TurnCost

TURN = TurnCost(
    speech_s=2.0,
    pauses=(),
    wait_s=0.2,
    stt_s=0.2,
    turn_s=0.05,
    prompt_tokens=20,
    clauses=(
        ClauseCost(4, (ChunkCost(0.06, 0.2), ChunkCost(0.04, 0.8))),
        ClauseCost(6, (ChunkCost(0.06, 1.0),)),
    ),
)


def round_costs(*turns: TurnCost, **changes: Any) -> Costs:
    """Two quiet cores, no door, no wire."""
    costs = Costs(
        name="round",
        about="made up",
        machine={},
        turns=turns or (TURN,),
        steps=(StepCost(1, 0.010), StepCost(4, 0.016)),
        prompt_token_s=0.001,
        head_tokens=10,
        stt_batch=1,
        stt_extra=1.0,
        cores=2,
        beside=1.0,
        gpu=False,
        call_cores=0.0,
        loop_cores=0.0,
        processes=1,
        hop_s=0.0,
        wire_s=(0.1,),
    )
    return replace(costs, **changes)
