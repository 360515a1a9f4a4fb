"""Language models in GGUF files, on llama.cpp: one model and one context for all calls.

Every conversation owns a sequence of the context and keeps what it has evaluated between
turns; the beginning of the next prompt that is the same is never evaluated again. The head
that conversations share (the system prompt) is evaluated once. Answers under way advance
together, one token each a step, on one thread that the engine owns.
"""

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Literal

import llama_cpp as native
import psutil

from models.busy_share import BusyShare
from models.errors import EngineError
from models.llm.base import (
    Conversation,
    Generation,
    GenerationEnd,
    GenerationUsage,
    LanguageModel,
    Message,
    OnEnd,
    OnText,
    Sampling,
)
from models.llm.batching import SHARED_HEAD, Batcher, Job, Share, Slices
from models.llm.gguf import check_gguf
from models.llm.llama_native import LlamaContext, LlamaModel, LlamaSampler, NativeCache
from models.llm.prompt import ChatTemplate, Prompter
from models.llm.prompt_threads import PromptThreads, Reading
from models.llm.spoken_text import SpokenText
from models.llm.step_figures import StepFigures
from models.thread_name import name_thread
from models.thread_priority import give_way

log = logging.getLogger(__name__)

NO_CELLS_S = 0.01
"""How often to look again while all cells are taken."""
KEPT_BY_SHIFT = 0.75
"""Share of its window that a grown conversation keeps where what stays is only moved."""
KEPT_ANEW = 0.5
"""The same where what stays is evaluated again, which should be rare."""

Reason = Literal["stop", "length", "cancelled", "error"]


def _reading() -> Reading:
    """What the clocks of this process and of the machine show now."""
    machine = psutil.cpu_times()
    busy_s = machine.user + machine.system + machine.nice
    return Reading(time.monotonic(), time.process_time(), busy_s)


class _Answer(Generation):
    """One generation: the caller's side cancels, the worker does the rest."""

    def __init__(
        self,
        sampling: Sampling,
        on_text: OnText,
        on_end: OnEnd,
        guess: bool,
        wake: Callable[[], None],
    ) -> None:
        self.sampling = sampling
        self.on_text = on_text
        self.on_end = on_end
        self.cancelled = threading.Event()
        self.confirmed = threading.Event()
        if not guess:
            self.confirmed.set()
        self._wake = wake
        self.sampler: LlamaSampler | None = None
        self.text = SpokenText()
        self.busy_s = 0.0

    def cancel(self) -> None:
        self.cancelled.set()
        self._wake()

    def confirm(self) -> None:
        self.confirmed.set()
        self._wake()


class _Place:
    """A sequence of the context, as the worker knows it."""

    def __init__(self, sequence: int) -> None:
        self.sequence = sequence
        self.job: Job | None = None
        self.answer: _Answer | None = None
        self.dropped = 0
        """Oldest messages that no longer fit."""
        self.answer_tokens = Sampling().max_tokens
        """The longest answer that was asked for last."""
        self.prepared_s = 0.0
        """Spent on preparing the next prompt, billed to the next answer."""
        self.busy_s = 0.0
        """Spent on it in all, for whatever."""


class LlamaConversation(Conversation):
    """One call's sequence."""

    def __init__(self, engine: "LlamaCpp", place: _Place) -> None:
        self._engine = engine
        self._place = place
        self._closed = False
        self._running: _Answer | None = None

    @property
    def busy_s(self) -> float:
        """Seconds of the engine's time so far: whole steps alone, its share of those it shared."""
        return self._place.busy_s

    def generate(
        self,
        messages: Sequence[Message],
        sampling: Sampling,
        on_text: OnText,
        on_end: OnEnd,
        *,
        guess: bool = False,
    ) -> Generation:
        """Begins an answer; raises EngineError after ``close``.

        An answer still running is cancelled first. Where ``messages`` and the answer do not
        fit ``context_tokens``, the oldest turns are left out (system messages stay). The
        answer ends with reason ``length`` after ``max_tokens``, thoughts included, which
        are never spoken.
        """
        self._check_open()
        if self._running is not None:
            self._running.cancel()
        answer = _Answer(sampling, on_text, on_end, guess, self._engine.wake)
        self._running = answer
        listed = tuple(messages)
        self._engine.post(lambda: self._engine.begin(self._place, listed, answer))
        return answer

    def prepare(self, messages: Sequence[Message]) -> None:
        """Evaluates what of the coming prompt is known, in the background; returns at once.

        ``messages`` may end with words that the user is still adding to. The next
        ``generate`` or ``prepare`` takes its place, and keeps what fits.
        """
        self._check_open()
        listed = tuple(messages)
        self._engine.post(lambda: self._engine.begin_preparing(self._place, listed))

    def close(self) -> None:
        """Cancels what runs and frees the place; the second time does nothing."""
        if not self._closed:
            self._closed = True
            if self._running is not None:
                self._running.cancel()
            self._engine.release(self._place)

    def _check_open(self) -> None:
        if self._closed:
            raise EngineError("this conversation is closed; open a new one")


class LlamaCpp(LanguageModel):
    """A GGUF model in this process.

    Each of ``max_conversations`` may hold ``context_tokens`` of prompt and answer. All
    share ``cache_tokens`` cells of memory (never fewer than one conversation may need): when
    they are all in use, idle conversations lose theirs and evaluate their history again
    on their next turn. ``prompt_threads``, where more than ``threads``, read prompts while
    the machine is idle.

    Raises ModelNotFound, ModelCorrupt, or EngineError (no such device here, or too little
    memory), each with the remedy.
    """

    def __init__(
        self,
        path: str | Path,
        device: str = "cpu",
        threads: int = 2,
        context_tokens: int = 2048,
        max_conversations: int = 8,
        cache_tokens: int = 8192,
        slices: Slices | None = None,
        prompt_threads: int | None = None,
    ) -> None:
        path = Path(path)
        check_gguf(path)
        if device == "cuda" and not native.llama_supports_gpu_offload():
            raise EngineError(
                "this llama.cpp was built without a GPU backend; reinstall llama-cpp-python with "
                'CMAKE_ARGS=-DGGML_CUDA=on, or set device = "cpu"'
            )
        slices = slices or Slices()
        self.name = path.stem
        self.device = device
        self._model = LlamaModel(path, device)
        self.context_tokens = min(context_tokens, self._model.context_trained)
        cells = min(self.context_tokens * max_conversations, max(cache_tokens, self.context_tokens))
        sequences = max_conversations + 1
        step_tokens = max(slices.alone, slices.beside_answers, slices.background) + sequences
        try:
            template = ChatTemplate(self._model.chat_template, self._model.bos, self._model.eos)
            self._context = LlamaContext(self._model, sequences, cells, step_tokens, threads)
        except EngineError:
            self._model.close()
            raise
        self._cache = NativeCache(self._context, sequences, self._model.rewindable)
        self._batcher = Batcher(self._cache, slices)
        self._prompter = Prompter(template, self._model.tokenize, self._model.control_texts())
        self._heads: dict[tuple[Message, ...], list[int]] = {}
        self._arrivals = count()
        self._wake = threading.Condition()
        self._inbox: deque[Callable[[], None]] = deque()
        self._free = list(range(max_conversations, SHARED_HEAD, -1))
        self._places: dict[int, _Place] = {}
        self._owners: dict[Job, _Place] = {}
        self._closing = False
        self._looks = self._working = False
        self._busy_share = BusyShare()
        self._figures = StepFigures(
            weights_bytes=path.stat().st_size,
            places=max_conversations,
            cells=self._context.cells,
        )
        self._threads = threads
        cores = os.cpu_count() or 1
        self._prompt_threads = PromptThreads(threads, prompt_threads or threads, cores)
        self._worker = threading.Thread(target=self._run, name=f"llm {self.name}", daemon=True)
        self._worker.start()

    def open(self) -> LlamaConversation:
        """A new conversation. Raises EngineError where no place is free."""
        with self._wake:
            if self._closing:
                raise EngineError(f"{self.name} is closed")
            if not self._free:
                raise EngineError(
                    f"all {len(self._places)} conversations of {self.name} are taken; "
                    "close one or raise max_conversations"
                )
            place = _Place(self._free.pop())
            self._places[place.sequence] = place
        return LlamaConversation(self, place)

    def close(self) -> None:
        """Cancels all, frees the model and waits until its thread has ended."""
        with self._wake:
            self._closing = True
            self._wake.notify_all()
        if threading.current_thread() is not self._worker:
            self._worker.join()

    def post(self, command: Callable[[], None]) -> None:
        """Has the worker run ``command`` before its next step. For conversations only."""
        with self._wake:
            if self._closing:
                raise EngineError(f"{self.name} is closed")
            self._inbox.append(command)
            self._wake.notify_all()

    def wake(self) -> None:
        """Has the worker look at what was cancelled and confirmed. For conversations only."""
        with self._wake:
            self._looks = True
            self._wake.notify_all()

    def load(self, now_s: float) -> float:
        """How busy its thread was in the last seconds, 0 to 1; ``time.monotonic`` seconds."""
        with self._wake:
            return self._busy_share.at(now_s)

    def figures(self) -> StepFigures:
        """What it has done so far."""
        with self._wake:
            places = list(self._places.values())
            answering = sum(place.answer is not None for place in places)
            return replace(self._figures, open=len(places), answering=answering)

    def settled(self, limit_s: float) -> bool:
        """Waits until all that was asked for is done; False if it is not within ``limit_s``."""
        with self._wake:
            return self._wake.wait_for(self._settled, limit_s)

    def _settled(self) -> bool:
        return not (self._inbox or self._working) and self._batcher.waits

    def release(self, place: _Place) -> None:
        """Ends what runs in ``place`` and gives it to the next. For conversations only."""
        with self._wake:
            if self._closing:
                return
            del self._places[place.sequence]
            self._free.append(place.sequence)
            # The next owner's commands come after this one.
            self._inbox.append(lambda: self._vacate(place))
            self._wake.notify_all()

    # What follows runs on the worker.

    def begin(self, place: _Place, messages: Sequence[Message], answer: _Answer) -> None:
        """Queues an answer."""
        self._stop(place)
        answer.busy_s, place.prepared_s = place.prepared_s, 0.0
        place.answer = answer
        started = time.perf_counter()
        try:
            place.answer_tokens = answer.sampling.max_tokens
            tokens, place.dropped = self._fitted(messages, place)
            answer.sampler = LlamaSampler(self._model, answer.sampling)
            answer.text = SpokenText(self._opens_thought(tokens))
            self._queue(place, tokens, messages, answers=True)
        except Exception as error:
            if not isinstance(error, EngineError):
                log.exception("%s: a prompt could not be made", self.name)
            self._end(place, "error", error)
        spent_s = time.perf_counter() - started
        answer.busy_s += spent_s
        place.busy_s += spent_s

    def begin_preparing(self, place: _Place, messages: Sequence[Message]) -> None:
        """Queues a prompt that is only evaluated."""
        if place.answer is not None and not place.answer.cancelled.is_set():
            return
        self._stop(place)
        try:
            tokens = self._prompter.settled(messages, place.dropped)
            if len(tokens) > self._room(place):
                # Dropped now, so that nobody waits for it when the answer is wanted.
                _, place.dropped = self._fitted(messages, place)
                tokens = self._prompter.settled(messages, place.dropped)
        except EngineError as error:
            log.warning("%s: nothing prepared: %s", self.name, error)
            return
        if tokens:
            self._queue(place, tokens, messages, answers=False)

    def _fitted(self, messages: Sequence[Message], place: _Place) -> tuple[list[int], int]:
        """The prompt cut to its room, and how many messages are left out."""
        keep = KEPT_BY_SHIFT if self._context.can_shift else KEPT_ANEW
        return self._prompter.fitted(messages, self._room(place), place.dropped, keep)

    def _room(self, place: _Place) -> int:
        """Tokens that a prompt may have beside its answer."""
        return self.context_tokens - min(place.answer_tokens, self.context_tokens // 2)

    def _queue(
        self, place: _Place, tokens: list[int], messages: Sequence[Message], answers: bool
    ) -> None:
        guess = place.answer is not None and not place.answer.confirmed.is_set()
        head = self._head(messages)
        place.job = Job(place.sequence, tokens, next(self._arrivals), answers, head, guess)
        self._owners[place.job] = place
        self._batcher.add(place.job)

    def _head(self, messages: Sequence[Message]) -> list[int]:
        """Tokens of the system prompt and what the template puts around it."""
        system = tuple(m for m in messages if m.role == "system")
        if system not in self._heads:
            if len(self._heads) > 64:
                self._heads.clear()
            self._heads[system] = self._prompter.settled(system)
        return self._heads[system]

    def _opens_thought(self, tokens: Sequence[int]) -> bool:
        end = b"".join(self._model.piece(token) for token in tokens[-4:])
        return end.rstrip().endswith(b"<think>")

    def _run(self) -> None:
        name_thread("llm")
        give_way()
        while True:
            try:
                self._wait()
                began_s = time.monotonic()
                if not self._take_commands():
                    break
                self._advance()
            except Exception as error:
                log.exception("%s: a step failed; all answers end", self.name)
                self._give_up(error)
            now_s = time.monotonic()
            with self._wake:
                self._busy_share.spent(now_s - began_s, now_s)
        # Nothing is posted any more, but something may have been just before the end.
        self._run_commands()
        for place in list(self._owners.values()):
            self._stop(place)
        self._context.close()
        self._model.close()

    def _wait(self) -> None:
        """Returns once there is something to do."""
        with self._wake:
            while not (self._closing or self._inbox or self._looks or not self._batcher.waits):
                self._working = False
                self._wake.notify_all()
                self._wake.wait()
            self._looks = False
            self._working = True

    def _take_commands(self) -> bool:
        """Runs what was posted; False once the engine closes."""
        self._run_commands()
        return not self._closing

    def _run_commands(self) -> None:
        while self._inbox:
            self._inbox.popleft()()

    def _advance(self) -> None:
        for job, place in list(self._owners.items()):
            if place.answer is None:
                continue
            if place.answer.cancelled.is_set():
                self._end(place, "cancelled")
            elif job.guess:
                job.guess = not place.answer.confirmed.is_set()
        shares = self._batcher.plan()
        if shares:
            self._step(shares)
            return
        # All that could run lacks cells that a held guess has; it is confirmed or dropped soon.
        with self._wake:
            if self._batcher.jobs and not (self._closing or self._inbox or self._looks):
                self._wake.wait(NO_CELLS_S)

    def _give_up(self, cause: Exception) -> None:
        """Starts from nothing after an error that nobody foresaw."""
        for place in list(self._owners.values()):
            if place.answer is not None:
                self._end(place, "error", EngineError(f"{self.name} failed: {cause}"))
            self._stop(place)
        for sequence in range(self._cache.sequences):
            self._cache.truncate(sequence, 0)

    def _step(self, shares: Sequence[Share]) -> None:
        rows = [row for share in shares for row in share.rows()]
        if len(rows) > len(shares):
            self._context.use_threads(self._prompt_threads.choose(_reading()))
        else:
            self._context.use_threads(self._threads)
        started = time.perf_counter()
        try:
            self._context.evaluate(rows)
        except EngineError as error:
            self._batcher.failed(shares)
            for job in {share.job for share in shares}:
                self._fail(self._owners[job], error)
            return
        self._batcher.done(shares)
        last_row = -1
        chosen: list[tuple[_Place, int]] = []
        for share in shares:
            last_row += len(share.tokens)
            place = self._owners[share.job]
            if share.wants_next:
                assert place.answer is not None and place.answer.sampler is not None
                chosen.append((place, place.answer.sampler.next_token(self._context, last_row)))
        self._bill(shares, time.perf_counter() - started)
        for place, token in chosen:
            self._accept(place, token)

    def _bill(self, shares: Sequence[Share], elapsed_s: float) -> None:
        tokens = sum(len(share.tokens) for share in shares)
        with self._wake:
            self._figures.stepped(len(shares), tokens, elapsed_s)
            self._figures.cells_used = self._cache.capacity - self._cache.free
        per_token_s = elapsed_s / tokens
        for share in shares:
            place = self._owners[share.job]
            spent_s = per_token_s * len(share.tokens)
            place.busy_s += spent_s
            if place.answer is not None:
                place.answer.busy_s += spent_s
            else:
                place.prepared_s += spent_s

    def _accept(self, place: _Place, token: int) -> None:
        job, answer = place.job, place.answer
        assert job is not None and answer is not None
        if self._model.ends_answer(token):
            self._end(place, "stop")
            return
        job.tokens.append(token)
        failure = self._hand_over(answer, answer.text.feed(self._model.piece(token)))
        if failure is not None:
            self._end(place, "error", failure)
        elif job.generated >= answer.sampling.max_tokens or len(job.tokens) >= self.context_tokens:
            self._end(place, "length")

    def _hand_over(self, answer: _Answer, text: str) -> Exception | None:
        """Gives ``text`` to the answer's receiver; returns what that raised."""
        if text and not answer.cancelled.is_set():
            try:
                answer.on_text(text)
            except Exception as error:
                log.exception("%s: the receiver of an answer failed", self.name)
                return error
        return None

    def _vacate(self, place: _Place) -> None:
        self._stop(place)
        self._cache.truncate(place.sequence, 0)

    def _stop(self, place: _Place) -> None:
        """Ends whatever runs in ``place``."""
        if place.answer is not None:
            self._end(place, "cancelled")
        self._forget_job(place)

    def _fail(self, place: _Place, error: Exception) -> None:
        """Ends whatever runs in ``place``, because of ``error``."""
        if place.answer is not None:
            self._end(place, "error", error)
        else:
            log.warning("%s: a prompt could not be prepared: %s", self.name, error)
        self._forget_job(place)

    def _forget_job(self, place: _Place) -> None:
        if place.job is not None:
            self._batcher.remove(place.job)
            del self._owners[place.job]
            place.job = None

    def _end(self, place: _Place, reason: Reason, error: Exception | None = None) -> None:
        job, answer = place.job, place.answer
        assert answer is not None
        self._forget_job(place)
        place.answer = None
        usage = GenerationUsage(busy_s=answer.busy_s)
        if job is not None:
            usage = GenerationUsage(
                job.prompt_tokens, job.cached_tokens or 0, job.generated, answer.busy_s
            )
        if answer.sampler is not None:
            answer.sampler.close()
        if reason in ("stop", "length"):
            failure = self._hand_over(answer, answer.text.end())
            if failure is not None:
                reason, error = "error", failure
        try:
            answer.on_end(GenerationEnd(usage, reason, error))
        except Exception:
            log.exception("%s: the receiver of an answer's end failed", self.name)
