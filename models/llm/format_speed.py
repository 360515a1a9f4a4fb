"""How fast this machine reads and writes with a model's weights in a format, and how well."""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from models.llm.base import Message
from models.llm.llama_native import LlamaContext, LlamaModel
from models.llm.prompt import ChatTemplate, Prompter
from models.llm.requantise import FORMATS, requantised
from models.tuning import TURN_PROMPT_TOKENS, Measured

HISTORY_TOKENS = 128
"""Evaluated before what is timed: nobody's prompt begins at nothing."""
ANSWER_TOKENS = 8
ROUNDS = 7
STEP_TOKENS = 64

_TALK = (
    "Good morning, are you open on Saturdays?",
    "Good morning! Yes, we are open on Saturdays from nine in the morning until five.",
    "Great. I would like to book a table for four people.",
    "Of course, I would be happy to help you with that. What time would you like to come?",
    "Around seven in the evening, if you have something by the window.",
    "Let me check. Yes, we have a nice table by the window at seven. May I have your name?",
    "It is Anna Miller. Do you also have vegetarian food?",
    "Thank you, Anna. We have several vegetarian dishes, including pasta with fresh "
    "vegetables, mushroom soup, and a large green salad.",
    "That sounds good. How do I get there from the train station?",
    "It is a ten minute walk. Leave the station through the main door, turn left, and follow "
    "the river until you see a small bridge. We are on the other side.",
    "And can I park a car nearby, in case it rains?",
    "Yes, there is a parking garage behind the house. It costs two dollars an hour.",
    "What happens if one of us gets sick and we have to cancel?",
    "No problem at all. Please give us a call at least two hours before, and we will cancel "
    "the table without any charge.",
    "Perfect, thank you very much for your help.",
    "You are welcome, Anna. We look forward to seeing you on Saturday at seven.",
)
"""What a caller and an agent say in turn."""


class FormatSpeed:
    """One file of weights, loaded to be measured; ``close`` frees it."""

    def __init__(self, path: Path, threads: int) -> None:
        # One thread's own time is free of what others do on the machine.
        self._clock = time.thread_time if threads == 1 else time.perf_counter
        self.size_mb = path.stat().st_size / 1e6
        self._model = LlamaModel(path, "cpu")
        # As many sequences as rows that may have an output in one step.
        self._context = LlamaContext(self._model, STEP_TOKENS, 1024, STEP_TOKENS, threads)
        template = ChatTemplate(self._model.chat_template, self._model.bos, self._model.eos)
        roles = ("user", "assistant")
        talk = [Message(roles[i % 2], said) for i, said in enumerate(_TALK)]  # type: ignore[arg-type]
        self._tokens = Prompter(template, self._model.tokenize).tokens(talk)
        self._evaluate(0, HISTORY_TOKENS)
        self._prompt_s: list[float] = []
        self._answer_s: list[float] = []

    def round(self) -> None:
        """Times a prompt and a few tokens of an answer once."""
        at = HISTORY_TOKENS
        self._context.forget(0, at)
        self._prompt_s.append(self._evaluate(at, TURN_PROMPT_TOKENS, output=True))
        at += TURN_PROMPT_TOKENS
        for i in range(ANSWER_TOKENS):
            self._answer_s.append(self._evaluate(at + i, 1, output=True))

    def loss(self) -> float:
        """Mean negative log-likelihood of a conversation's tokens, in nats."""
        self._context.forget(0, 0)
        losses: list[float] = []
        for start in range(0, len(self._tokens) - 1, STEP_TOKENS):
            rows = range(start, min(start + STEP_TOKENS, len(self._tokens) - 1))
            self._context.evaluate([(0, i, self._tokens[i], True) for i in rows])
            losses += [
                self._context.loss(i - start, self._tokens[i + 1], self._model.vocabulary)
                for i in rows
            ]
        return statistics.fmean(losses)

    def measured(self, name: str) -> Measured:
        """Medians of the rounds so far."""
        return Measured(
            format=name,
            prompt_tokens_per_s=TURN_PROMPT_TOKENS / statistics.median(self._prompt_s),
            answer_tokens_per_s=1 / statistics.median(self._answer_s),
            nll=self.loss(),
            size_mb=self.size_mb,
        )

    def close(self) -> None:
        """Frees the weights."""
        self._context.close()
        self._model.close()

    def _evaluate(self, start: int, count: int, output: bool = False) -> float:
        began_s = self._clock()
        for at in range(start, start + count, STEP_TOKENS):
            rows = range(at, min(at + STEP_TOKENS, start + count))
            last = start + count - 1
            self._context.evaluate(
                [(0, i, self._tokens[i % len(self._tokens)], output and i == last) for i in rows]
            )
        return self._clock() - began_s


@contextmanager
def loaded(files: Sequence[Path], threads: int) -> Iterator[list[FormatSpeed]]:
    """All of ``files``, loaded at once."""
    speeds: list[FormatSpeed] = []
    try:
        for file in files:
            speeds.append(FormatSpeed(file, threads))
        yield speeds
    finally:
        for speed in speeds:
            speed.close()


def measure_formats(
    path: Path,
    folder: Path,
    threads: int = 1,
    rounds: int = ROUNDS,
    progress: Callable[[str], None] = lambda what: None,
) -> list[Measured]:
    """The shipped format first, then each of ``FORMATS`` that could be made, in ``folder``.

    Formats take turns, so that what else the machine does falls on all of them.
    """
    names, files = ["shipped"], [path]
    for name in FORMATS:
        progress(f"making {name}")
        made = requantised(path, folder, formats=None, target_format=name)
        if made != path:
            names.append(name)
            files.append(made)
    with loaded(files, threads) as speeds:
        for at in range(rounds):
            progress(f"round {at + 1} of {rounds}")
            for speed in speeds:
                speed.round()
        progress("judging the quality")
        return [speed.measured(name) for name, speed in zip(names, speeds, strict=True)]
