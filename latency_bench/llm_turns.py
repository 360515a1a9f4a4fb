"""First token and first clause of a conversation's turns, on the engines that `offhook bench llm`
compares.
"""

import statistics
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agent.text import Clauses
from models.errors import EngineError
from models.llm.base import Conversation, GenerationEnd, Message, Sampling
from models.llm.llama_cpp import LlamaCpp

ANSWER_LIMIT_S = 120.0
ANSWER_TOKENS = 24
CONTEXT_TOKENS = 1024
QUESTIONS = (
    "Could you please tell me when you are open on Saturdays?",
    "I would like to book a table for four people tonight.",
    "How do I get to your restaurant from the train station?",
    "Is there a place nearby where I can leave my car?",
)
PERSONA = (
    "You are Robin, the voice agent of a small restaurant, on the telephone with a guest. "
    "Answer in one or two short sentences, as people speak. Never use lists or symbols. "
)


class _Timed:
    """Marks the first token and the first clause of one answer."""

    def __init__(self) -> None:
        self._clauses = Clauses()
        self._began_s = time.perf_counter()
        self.first_token_ms: float | None = None
        self.first_clause_ms: float | None = None
        self.text = ""

    def take(self, text: str) -> None:
        now_ms = (time.perf_counter() - self._began_s) * 1000
        if self.first_token_ms is None:
            self.first_token_ms = now_ms
        if self.first_clause_ms is None and self._clauses.feed(text):
            self.first_clause_ms = now_ms
        self.text += text

    def end(self) -> None:
        """The rest of a short answer is a clause too."""
        if self.first_clause_ms is None:
            self.first_clause_ms = (time.perf_counter() - self._began_s) * 1000


def first_tokens(shipped: Path, fast: Path, threads: int, runs: int) -> dict[str, Any]:
    """Medians; the three kinds of engine take turns in each run."""
    found: dict[str, dict[str, list[_Timed]]] = {}
    engines = {
        name: LlamaCpp(file, "cpu", threads, CONTEXT_TOKENS, 4)
        for name, file in (("shipped", shipped), ("chosen", fast))
    }
    plain = _LlamaObject(shipped, threads)
    try:
        for at in range(runs):
            for name, engine in engines.items():
                for kind, timed in _ask_engine(engine, at).items():
                    found.setdefault(name, {}).setdefault(kind, []).append(timed)
            for kind, timed in plain.ask(at).items():
                found.setdefault("llama_object", {}).setdefault(kind, []).append(timed)
    finally:
        for engine in engines.values():
            engine.close()
        plain.close()
    return {
        name: {kind: _medians(timed) for kind, timed in kinds.items()}
        for name, kinds in found.items()
    }


def _medians(timed: Sequence[_Timed]) -> dict[str, float]:
    return {
        mark: round(statistics.median(getattr(one, mark) for one in timed), 1)
        for mark in ("first_token_ms", "first_clause_ms")
    }


def _ask_engine(engine: LlamaCpp, at: int) -> dict[str, _Timed]:
    """A cold conversation, a warm turn of it, another caller's between, a prepared turn."""
    # The number makes a system prompt that nobody has evaluated.
    system = Message("system", f"Note {at}. " + PERSONA * 3)
    first, second = engine.open(), engine.open()
    try:
        talk = [system, Message("user", QUESTIONS[0])]
        cold = _answer(engine, first, talk)
        _answer(engine, second, [system, Message("user", QUESTIONS[3])])
        talk += [Message("assistant", cold.text), Message("user", QUESTIONS[1])]
        warm = _answer(engine, first, talk)
        talk += [Message("assistant", warm.text)]
        words = QUESTIONS[2].split()
        for said in range(3, len(words) + 1, 2):
            first.prepare([*talk, Message("user", " ".join(words[:said]))])
        first.prepare([*talk, Message("user", QUESTIONS[2])])
        engine.settled(ANSWER_LIMIT_S)
        prepared = _answer(engine, first, [*talk, Message("user", QUESTIONS[2])])
        return {"cold": cold, "warm": warm, "prepared": prepared}
    finally:
        first.close()
        second.close()


def _answer(engine: LlamaCpp, conversation: Conversation, messages: Sequence[Message]) -> _Timed:
    timed, over = _Timed(), threading.Event()
    ends: list[GenerationEnd] = []

    def on_end(end: GenerationEnd) -> None:
        timed.end()
        ends.append(end)
        over.set()

    conversation.generate(messages, Sampling(max_tokens=ANSWER_TOKENS), timed.take, on_end)
    if not over.wait(ANSWER_LIMIT_S):
        raise EngineError(f"no answer within {ANSWER_LIMIT_S:.0f} s; is the machine overloaded?")
    if ends[0].error is not None:
        raise EngineError(f"an answer failed: {ends[0].error}")
    if timed.first_token_ms is None:
        raise EngineError("the model answered nothing; choose one made for conversation")
    return timed


class _LlamaObject:
    """llama-cpp-python's own object, which keeps the prompt that it read last."""

    def __init__(self, path: Path, threads: int) -> None:
        from llama_cpp import Llama

        self._llama = Llama(
            str(path), n_ctx=CONTEXT_TOKENS, n_threads=threads, n_threads_batch=threads,
            verbose=False,
        )  # fmt: skip

    def ask(self, at: int) -> dict[str, _Timed]:
        """The same turns: cold, warm, and warm after another caller took its turn."""
        system = {"role": "system", "content": f"Note {at}. " + PERSONA * 3}
        talk = [system, {"role": "user", "content": QUESTIONS[0]}]
        cold = self._answer(talk)
        talk += self._next(cold.text, QUESTIONS[1])
        warm = self._answer(talk)
        self._answer([system, {"role": "user", "content": QUESTIONS[3]}])
        talk += self._next(warm.text, QUESTIONS[2])
        return {"cold": cold, "warm": warm, "alternating": self._answer(talk)}

    @staticmethod
    def _next(said: str, asked: str) -> list[dict[str, str]]:
        return [{"role": "assistant", "content": said}, {"role": "user", "content": asked}]

    def _answer(self, messages: list[dict[str, str]]) -> _Timed:
        timed = _Timed()
        # Plain messages are what it takes; its types want a class for each role.
        chunks: Any = self._llama.create_chat_completion(
            messages=messages,  # type: ignore[arg-type]
            max_tokens=ANSWER_TOKENS, temperature=0.0, repeat_penalty=1.1, stream=True,
        )  # fmt: skip
        for chunk in chunks:
            if text := chunk["choices"][0]["delta"].get("content"):
                timed.take(text)
        timed.end()
        if timed.first_token_ms is None:
            raise EngineError("the model answered nothing; choose one made for conversation")
        return timed

    def close(self) -> None:
        self._llama.close()
