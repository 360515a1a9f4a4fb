"""How many calls fit by arithmetic alone, from the same costs that are simulated. Pure."""

from statistics import fmean

from latency_bench.load.callers import Habits
from latency_bench.simulation.call import PATIENCE_S
from latency_bench.simulation.costs import Costs, TurnCost
from models.call_budget import MOST_BUSY, Budget, Resource, calls_that_fit

ANSWER_S = 0.8
"""About how long an answer is in coming."""


def budget(costs: Costs, habits: Habits, workers: int = 2, most_busy: float = MOST_BUSY) -> Budget:
    """Nothing guessed, nothing shared between calls."""
    stt_s = fmean(turn.stt_s * decodes(turn) for turn in costs.turns)
    turn_s = fmean(turn.turn_s * decodes(turn) for turn in costs.turns)
    tts_s = fmean(_tts_s(turn) for turn in costs.turns)
    llm_s = fmean(_llm_s(costs, turn) for turn in costs.turns)
    engines = Resource(stt_s + turn_s + tts_s + llm_s)
    standing = 0.0 if costs.gpu else costs.call_cores
    return calls_that_fit(
        {
            "gpu" if costs.gpu else "processor": Resource(
                engines.turn_s / costs.beside, standing, 1 if costs.gpu else costs.cores
            ),
            "llm": Resource(llm_s),
            "stt": Resource(stt_s),
            "workers": Resource(stt_s + turn_s + tts_s, width=workers),
            "event loop": Resource(standing=costs.loop_cores, width=costs.processes),
        },
        turn_every_s(costs, habits),
        most_busy,
    )


def turn_every_s(costs: Costs, habits: Habits) -> float:
    """From one question of a call to the next, greetings and gaps between calls shared out."""
    spoken_s = fmean(turn.speech_s + _answer_s(turn) for turn in costs.turns)
    turns = fmean(habits.turns)
    between_s = (costs.greeting_s + habits.gap_s) / turns
    return spoken_s + ANSWER_S + max(PATIENCE_S, habits.think_s) + between_s


def decodes(turn: TurnCost) -> int:
    """How often its words are decoded."""
    return 1 + len(turn.pauses)


def _answer_s(turn: TurnCost) -> float:
    return sum(chunk.audio_s for clause in turn.clauses for chunk in clause.chunks)


def _tts_s(turn: TurnCost) -> float:
    return sum(chunk.busy_s for clause in turn.clauses for chunk in clause.chunks)


def _llm_s(costs: Costs, turn: TurnCost) -> float:
    tokens = sum(clause.tokens for clause in turn.clauses)
    return tokens * costs.step_s(1, 0) + turn.prompt_tokens * costs.prompt_token_s
