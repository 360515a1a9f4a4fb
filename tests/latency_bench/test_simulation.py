"""The simulated box against cases that are known, by hand or by formula."""

import random
from dataclasses import replace

import pytest
from simulated_costs import TURN, round_costs

from latency_bench.load.callers import Habits
from latency_bench.simulation.agenda import Agenda, Processor
from latency_bench.simulation.box import BoxRules, SimulatedBox
from latency_bench.simulation.call import SimulatedCall, SimulatedTurn
from latency_bench.simulation.costs import Costs, TurnCost
from latency_bench.simulation.imagined import imagined
from latency_bench.simulation.level import SimulatedLevel, Stretch, simulate

SHORT = Stretch(seconds=60.0)


def one_call(costs: Costs, *turns: TurnCost, rules: BoxRules | None = None) -> list[SimulatedTurn]:
    """What becomes of the questions of one call that is alone."""
    box = SimulatedBox(costs, rules or BoxRules(guesses="never"), calls=1, seed=1)
    found: list[SimulatedTurn] = []
    ended: list[float] = []
    questions = [(turn, 2.0) for turn in turns]
    SimulatedCall(box, 1, questions, 8.0, found.append, lambda: ended.append(box.now_s))
    box.agenda.run(200.0)
    assert len(ended) == 1
    return found


def test_one_call_takes_the_sum_of_its_parts() -> None:
    first, second = one_call(round_costs(), TURN, TURN)
    # The pause is noticed at 0.1 and decoded by 0.3, when the turn has long been over. The
    # prompt's 20 tokens take 0.020 and half a step, the first clause's other 3 tokens 0.030,
    # its first audio 0.060, the wire 0.1; and before all that, once, the shared head, 10 tokens
    # and half a step.
    assert first.v2v_s == pytest.approx(0.3 + 0.015 + 0.025 + 0.030 + 0.060 + 0.1)
    # Later turns evaluate the last token of the answer before them instead.
    assert second.v2v_s == pytest.approx(first.v2v_s - 0.015 + 0.001)
    assert second.over_s == pytest.approx(second.ended_s + 0.2)
    assert second.transcript_s == pytest.approx(second.ended_s + 0.3)
    assert not second.guessed and second.gaps == 0


def test_words_are_read_while_the_turn_is_still_open() -> None:
    patient = replace(TURN, wait_s=0.6)
    _, second = one_call(round_costs(), patient, patient)
    # Only the prompt's last token is left, then 3 more.
    assert second.v2v_s == pytest.approx(0.6 + 0.010 + 0.030 + 0.060 + 0.1)


def test_a_guess_hides_all_but_the_wait() -> None:
    patient = replace(TURN, wait_s=0.6)
    (turn,) = one_call(round_costs(), patient, rules=BoxRules())
    assert turn.guessed
    assert turn.v2v_s == pytest.approx(0.6 + 0.1)


def test_a_guess_at_a_pause_of_the_caller_is_thrown_away() -> None:
    hesitant = replace(TURN, pauses=((0.8, 0.5),))
    level = simulate(round_costs(hesitant), 1, BoxRules(guesses="always"), Habits(), SHORT)
    plain = simulate(round_costs(TURN), 1, BoxRules(guesses="never"), Habits(), SHORT)
    assert plain.discarded == 0.0
    assert level.discarded > 0.2


def test_late_audio_is_heard_as_a_hole() -> None:
    clauses = TURN.clauses
    chunks = (clauses[0].chunks[0], replace(clauses[0].chunks[1], busy_s=0.5))
    slow = replace(TURN, clauses=(replace(clauses[0], chunks=chunks),))
    (turn,) = one_call(round_costs(), slow)
    assert turn.gaps == 1


def test_threads_share_the_cores_equally() -> None:
    processor = Processor(2.0)
    agenda, ended = Agenda(processor), dict[str, float]()
    for name, work_s in (("a", 1.0), ("b", 2.0), ("c", 3.0)):
        processor.start(work_s, lambda name=name: ended.__setitem__(name, agenda.now_s))
    agenda.run(100.0)
    # Three on two cores run at 2/3: a ends at 1.5. Then both left have a core each.
    assert ended == pytest.approx({"a": 1.5, "b": 2.5, "c": 3.5})
    assert processor.busy_s == pytest.approx(6.0)


def test_what_is_not_simulated_takes_its_part_of_the_cores() -> None:
    processor = Processor(2.0)
    processor.background(1.0)
    agenda, ended = Agenda(processor), list[float]()
    for _ in range(2):
        processor.start(1.0, lambda: ended.append(agenda.now_s))
    agenda.run(10.0)
    assert ended == pytest.approx([2.0, 2.0])


@pytest.mark.parametrize("share", [0.5, 0.8])
def test_one_worker_waits_as_queueing_theory_says(share: float) -> None:
    """M/D/1: Poisson arrivals, equal jobs; Pollaczek and Khinchine's mean wait."""
    work_s, jobs = 0.1, 20_000
    box = SimulatedBox(round_costs(cores=1), BoxRules(workers=1), calls=10_000, seed=1)
    draw = random.Random(5)
    at_s = 0.0
    for _ in range(jobs):
        at_s += draw.expovariate(share / work_s)
        box.agenda.at(at_s, lambda: box.submit("tts", work_s, box.now_s, lambda: None))
    box.agenda.run(at_s + 100)
    figures = box.queue.figures["tts"]
    assert figures.jobs == jobs
    assert figures.waited_s / jobs == pytest.approx(work_s * share / (2 * (1 - share)), rel=0.08)


def test_the_same_seed_gives_the_same_figures_and_another_does_not() -> None:
    costs = round_costs(TURN, replace(TURN, speech_s=3.5, pauses=((1.0, 0.4),)))
    first, again = (simulate(costs, 6, BoxRules(), Habits(), SHORT) for _ in range(2))
    assert first == again
    assert first != simulate(costs, 6, BoxRules(), Habits(), replace(SHORT, seed=2))


def test_more_calls_make_the_box_busier_and_slower() -> None:
    levels = [
        simulate(round_costs(), calls, BoxRules(guesses="never"), Habits(), SHORT)
        for calls in (1, 4, 16, 64)
    ]
    assert _rises([level.busy["processor"] for level in levels])
    assert _rises([p95(level) for level in levels])
    assert levels[0].saturated == ""
    assert levels[-1].saturated != ""


def test_guessing_fades_out_as_the_box_fills() -> None:
    costs = round_costs(replace(TURN, wait_s=0.6, pauses=((0.8, 0.5),)))
    quiet, full = (simulate(costs, calls, BoxRules(), Habits(), SHORT) for calls in (1, 32))
    assert (quiet.guessed_rate or 0) > 0.9
    assert (full.guessed_rate or 0) < 0.05
    assert full.discarded < quiet.discarded


def test_batches_form_where_the_engine_takes_them() -> None:
    costs = round_costs(stt_batch=4, stt_extra=0.3)
    level = simulate(costs, 40, BoxRules(guesses="never"), Habits(), SHORT)
    assert 1.0 < level.batches["stt"] <= 4.0
    assert level.batches["llm"] > 1.0


def test_an_event_loop_that_falls_behind_loses_the_turns() -> None:
    costs = round_costs(call_cores=0.1, loop_cores=0.1, hop_s=0.001, cores=64)
    fits, over = (simulate(costs, calls, BoxRules(), Habits(), SHORT) for calls in (4, 20))
    assert fits.missed_rate == 0.0
    assert over.missed_rate == 1.0
    assert over.saturated == "event loop"
    shared = replace(costs, processes=4)
    assert simulate(shared, 20, BoxRules(), Habits(), SHORT).missed_rate == 0.0


def test_the_imagined_gpu_is_the_only_thing_that_its_engines_share() -> None:
    level = simulate(imagined(round_costs()), 4, BoxRules(), Habits(), SHORT)
    assert "gpu" in level.busy and "processor" not in level.busy
    assert level.missed_rate == 0.0


def test_the_simulated_box_decides_as_the_real_one() -> None:
    """Its constants are those of stages that import Pipecat, which a simulation does not need."""
    from agent import clause_voice, guessing
    from agent.stages import hearing, speaking
    from agent.turn_settings import TurnSettings
    from latency_bench.simulation import answer, box, call

    assert (box.ANSWER_LOAD, box.WORDS_LOAD) == (guessing.ANSWER_LOAD, guessing.WORDS_LOAD)
    assert (call.DOUBT_S, answer.HELD_S) == (guessing.DOUBT_S, clause_voice.HELD_S)
    assert (call.BUSY_DECODE_S, answer.AHEAD_S) == (hearing.BUSY_DECODE_S, speaking.AHEAD_S)
    # What comes on top is the detector's own delay.
    assert 0.0 <= call.PAUSE_S - TurnSettings().decode_after_s < 0.05


def p95(level: SimulatedLevel) -> float:
    return level.v2v_ms.p95 if level.v2v_ms is not None else 1e9


def _rises(figures: list[float]) -> bool:
    return all(a < b for a, b in zip(figures, figures[1:], strict=False))
