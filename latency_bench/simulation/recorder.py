"""Measures what a turn costs the engines of this machine: `offhook bench simulate --record`.

Costs are processor time of this process and not time on the clock, so that other programs
disturb them little; engines run on one thread each, one at a time.
"""

import statistics
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from agent.config import Config
from agent.ending import ending
from agent.engines import Engines, load_engines, sampling_of
from agent.expected_answer import expected_answer
from agent.patience import Evidence, wait_s
from agent.text import Clauses, speakable
from agent.turn_settings import TurnSettings
from latency_bench.machine import machine_facts
from latency_bench.part import resampled
from latency_bench.simulation.costs import ChunkCost, ClauseCost, Costs, StepCost, TurnCost
from latency_bench.utterance import WIRE_RATE_HZ, Utterance
from models.llm.base import Conversation, GenerationEnd, Message, Sampling

RATE_HZ = 16_000
TURNS = 5
"""Questions in one conversation."""
REPEATS = 3
GENERATION_LIMIT_S = 60.0
SEQUENCES = (1, 2, 4, 8)
STEP_TOKENS = 24
PROMPT_WORDS = (20, 120)
LEAST_PAUSE_S = 0.1
LONG_ANSWER = "Tell me a very long story about the sea, with every detail that you can think of."
VOICED = 0.6
"""Speech probability."""
DETECTION_S = 0.05
"""How much later than its last sound the detector believes that a voice has ended."""
BATCH = 4

Progress = Callable[[str], None]


class RecordError(Exception):
    """The costs could not be measured; the message says why."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What the model made of a prompt."""

    busy_s: float
    end: GenerationEnd
    clauses: tuple[tuple[str, int], ...]
    """Each with its tokens."""
    text: str


def record(
    config: Config, questions: Sequence[Utterance], base: Costs, progress: Progress
) -> Costs:
    """The costs of this machine with the models that ``config`` names.

    What no engine tells (the door's processor time, the wire) is taken from ``base``. Blocks
    for a minute or two. Raises ModelError and RecordError.
    """
    calls = {"max_calls": max(SEQUENCES)}
    config = config.model_copy(update={"calls": config.calls.model_copy(update=calls)})
    if config.llm.endpoint:
        raise RecordError("[llm] names an endpoint: what another machine does costs nothing here")
    progress("loading the engines")
    engines = load_engines(config)
    try:
        recorder = Recorder(engines, config)
        turns = recorder.turns(questions, progress)
        progress("the language model's steps")
        steps = recorder.steps()
        progress("decodes together")
        extra = recorder.stt_extra(questions)
        progress("two engines at once")
        beside = recorder.beside(questions[0])
        machine = machine_facts(engines.models)
        return replace(
            base,
            name=f"{machine['cores']} cores of {machine['cpu']}",
            about=f"{len(turns)} turns recorded one at a time, in processor time; {base.door}",
            machine=machine,
            turns=tuple(turns),
            steps=steps,
            prompt_token_s=recorder.prompt_token_s(),
            head_tokens=recorder.head_tokens,
            stt_batch=1 if extra is None else BATCH,
            stt_extra=1.0 if extra is None else extra,
            beside=beside,
            gpu=False,
            context_tokens=config.llm.context_tokens,
        )
    finally:
        engines.close()


class Recorder:
    """Runs loaded engines one at a time."""

    def __init__(self, engines: Engines, config: Config) -> None:
        self.head_tokens = 0
        self._engines, self._config = engines, config
        self._sampling = sampling_of(config)
        self._system = Message("system", config.agent.persona)

    def turns(self, questions: Sequence[Utterance], progress: Progress) -> list[TurnCost]:
        """Each question decoded, judged and answered, ``TURNS`` a conversation."""
        found: list[TurnCost] = []
        for first in range(0, len(questions), TURNS):
            conversation = self._engines.llm.open()
            history = [self._system, Message("assistant", self._config.agent.greeting)]
            try:
                for number, question in enumerate(questions[first : first + TURNS], first + 1):
                    progress(f"question {number} of {len(questions)}")
                    turn = self._turn(conversation, history, question)
                    if turn is not None:
                        found.append(turn)
            finally:
                conversation.close()
        if not found:
            raise RecordError("no question was understood and answered; give others (--speech)")
        return found

    def steps(self) -> tuple[StepCost, ...]:
        """A step's time by the number of answers that take part."""
        found: list[StepCost] = []
        for sequences in SEQUENCES:
            busy_s = statistics.median(self._step_s(sequences) for _ in range(REPEATS))
            # More answers in a step cannot cost less; that is noise.
            busy_s = max([busy_s, *(step.busy_s for step in found)])
            found.append(StepCost(sequences, busy_s))
        return tuple(found)

    def prompt_token_s(self) -> float:
        """One more token of a prompt."""
        short, long = (self._prompt_s(words) for words in PROMPT_WORDS)
        return max(1e-6, (long[0] - short[0]) / max(1, long[1] - short[1]))

    def stt_extra(self, questions: Sequence[Utterance]) -> float | None:
        """What one more utterance costs in a decode; None where there is one at a time."""
        together = getattr(self._engines.stt, "transcribe_batch", None)
        if together is None:
            return None
        some = [(_pcm(question), RATE_HZ) for question in questions[:BATCH]]
        if len(some) < BATCH:
            return None
        alone_s = statistics.median(
            _spent_s(lambda: [together([each]) for each in some]) for _ in range(REPEATS)
        )
        batch_s = statistics.median(_spent_s(lambda: together(some)) for _ in range(REPEATS))
        return min(1.0, max(0.0, (batch_s * BATCH / alone_s - 1) / (BATCH - 1)))

    def beside(self, question: Utterance) -> float:
        """Speed of an engine while another one runs on the next core."""
        pcm = _pcm(question)

        def hear() -> None:
            for _ in range(2 * REPEATS):
                self._engines.stt.transcribe(pcm, RATE_HZ)

        def speak() -> None:
            for _ in range(2 * REPEATS):
                for _chunk in self._engines.tts.synthesize(LONG_ANSWER):
                    pass

        apart_s = _spent_s(hear) + _spent_s(speak)

        def both() -> None:
            other = threading.Thread(target=speak)
            other.start()
            hear()
            other.join()

        return min(1.0, apart_s / _spent_s(both))

    def _turn(
        self, conversation: Conversation, history: list[Message], question: Utterance
    ) -> TurnCost | None:
        engines, settings = self._engines, TurnSettings(**self._config.turn.model_dump())
        pcm = _pcm(question)
        transcript = engines.stt.transcribe(pcm, RATE_HZ)
        if not transcript.text.strip():
            return None
        stt_s = _median_s(lambda: engines.stt.transcribe(pcm, RATE_HZ))
        judged: list[float] = []
        turn_s = _median_s(lambda: judged.append(engines.turn.completion_probability(pcm, RATE_HZ)))
        said = transcript.text.strip()
        evidence = Evidence(
            judged[0],
            ending(said, self._config.agent.language),
            expected_answer(history[-1].content),
        )
        history.append(Message("user", said))
        answered = self._answer(conversation, history, self._sampling)
        if answered is None:
            history.pop()
            return None
        history.append(Message("assistant", answered.text.strip()))
        clauses = tuple(
            ClauseCost(tokens, chunks)
            for text, tokens in answered.clauses
            if (chunks := self._chunks(speakable(text)))
        )
        usage = answered.end.usage
        if not self.head_tokens:
            self.head_tokens = usage.cached_tokens or usage.prompt_tokens
        if not clauses:
            return None
        return TurnCost(
            speech_s=question.speech_s,
            pauses=self._pauses(pcm),
            wait_s=DETECTION_S + wait_s(evidence, settings),
            stt_s=stt_s,
            turn_s=turn_s,
            prompt_tokens=max(1, usage.prompt_tokens - usage.cached_tokens),
            clauses=clauses,
        )

    def _answer(
        self, conversation: Conversation, messages: Sequence[Message], sampling: Sampling
    ) -> Answered | None:
        """None where nothing was answered. Raises RecordError."""
        cutter, clauses = Clauses(), list[tuple[str, int]]()
        pieces: list[str] = []
        ends: list[GenerationEnd] = []
        done = threading.Event()
        since = [0]

        def cut(ready: list[str]) -> None:
            for text in ready:
                clauses.append((text, max(1, since[0])))
                since[0] = 0

        def on_text(piece: str) -> None:
            pieces.append(piece)
            since[0] += 1
            cut(cutter.feed(piece))

        def on_end(end: GenerationEnd) -> None:
            ends.append(end)
            done.set()

        began_s = time.process_time()
        conversation.generate(messages, sampling, on_text, on_end)
        if not done.wait(GENERATION_LIMIT_S):
            raise RecordError(f"{self._engines.llm.name}: no end of an answer within a minute")
        busy_s = time.process_time() - began_s
        if ends[0].error is not None:
            raise RecordError(f"{self._engines.llm.name}: {ends[0].error}")
        cut(cutter.flush())
        if not clauses:
            return None
        return Answered(busy_s, ends[0], tuple(clauses), "".join(pieces))

    def _chunks(self, text: str) -> tuple[ChunkCost, ...]:
        """Each piece of audio with its processor time."""
        found: list[ChunkCost] = []
        chunks = self._engines.tts.synthesize(text)
        while True:
            began_s = time.process_time()
            chunk = next(chunks, None)
            busy_s = time.process_time() - began_s
            if chunk is None:
                return tuple(found)
            found.append(ChunkCost(busy_s, len(chunk.pcm) / self._engines.tts.sample_rate_hz))

    def _pauses(self, pcm: NDArray[np.int16]) -> tuple[tuple[float, float], ...]:
        """Silences inside the question that begin a decode."""
        voice = self._engines.vad.open(RATE_HZ)
        size = voice.window_samples
        voiced = [
            voice.speech_probability(pcm[at : at + size]) >= VOICED
            for at in range(0, len(pcm) - size + 1, size)
        ]
        window_s = size / RATE_HZ
        found: list[tuple[float, float]] = []
        silent = 0
        for number, is_voice in enumerate(voiced):
            if is_voice and silent * window_s >= LEAST_PAUSE_S and any(voiced[: number - silent]):
                found.append(((number - silent) * window_s, silent * window_s))
            silent = 0 if is_voice else silent + 1
        return tuple(found)

    def _step_s(self, sequences: int) -> float:
        """One step with so many answers, the prompts evaluated before."""
        conversations = [self._engines.llm.open() for _ in range(sequences)]
        messages = (self._system, Message("user", LONG_ANSWER))
        try:
            for conversation in conversations:
                self._answer(conversation, messages, replace(self._sampling, max_tokens=2))
            done = threading.Semaphore(0)
            ends: list[GenerationEnd] = []

            def on_end(end: GenerationEnd) -> None:
                ends.append(end)
                done.release()

            sampling = replace(self._sampling, max_tokens=STEP_TOKENS)
            began_s = time.process_time()
            for conversation in conversations:
                conversation.generate(messages, sampling, lambda text: None, on_end)
            for _ in conversations:
                if not done.acquire(timeout=GENERATION_LIMIT_S):
                    raise RecordError(f"{self._engines.llm.name}: no end within a minute")
            busy_s = time.process_time() - began_s
            return busy_s / max(1, *(end.usage.generated_tokens for end in ends))
        finally:
            for conversation in conversations:
                conversation.close()

    def _prompt_s(self, words: int) -> tuple[float, int]:
        """Seconds until the first token, and how many of the prompt's were evaluated."""
        found: list[tuple[float, int]] = []
        for repeat in range(REPEATS):
            conversation = self._engines.llm.open()
            said = " ".join(f"{(repeat * 7919 + n * 104729) % 9973}" for n in range(words // 3))
            messages = (self._system, Message("user", said))
            try:
                answered = self._answer(
                    conversation, messages, replace(self._sampling, max_tokens=1)
                )
            finally:
                conversation.close()
            if answered is not None:
                usage = answered.end.usage
                found.append((answered.busy_s, usage.prompt_tokens - usage.cached_tokens))
        if not found:
            raise RecordError(f"{self._engines.llm.name}: no first token")
        return statistics.median(busy_s for busy_s, _ in found), found[0][1]


def _pcm(question: Utterance) -> NDArray[np.int16]:
    return resampled(question.pcm, WIRE_RATE_HZ, RATE_HZ)


def _spent_s(work: Callable[[], object]) -> float:
    began_s = time.process_time()
    work()
    return time.process_time() - began_s


def _median_s(work: Callable[[], object]) -> float:
    return statistics.median(_spent_s(work) for _ in range(REPEATS))
