"""Answers to questions: from the box's own language model, or from an agent over a call."""

import asyncio
import queue
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.config import Config
from agent.conversation import Dialogue
from agent.engines import sampling_of
from agent.text import ThoughtFilter
from latency_bench.conversation import Conversation, Pace
from latency_bench.part import Part, spoken_part
from latency_bench.place import place_call
from latency_bench.quality.answer_rules import Checked, check
from latency_bench.questions import QUESTIONS, synthesised
from latency_bench.target import Target
from models.errors import EngineError
from models.llm.base import GenerationEnd, LanguageModel
from models.tts.base import SpeechSynthesizer

ANSWER_LIMIT_S = 60.0
TURN_LIMIT_S = 45.0
TURNS_A_CALL = 4


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked; one of ``expected`` should be in the answer, where there are any."""

    text: str
    expected: tuple[str, ...] = ()


FACTS = (
    Question("What is the capital of France?", ("Paris",)),
    Question("How many days are there in a week?", ("seven", "7")),
    Question("What colour do you get when you mix blue and yellow?", ("green",)),
    Question("Which planet do we live on?", ("Earth",)),
    Question("How many legs does a spider have?", ("eight", "8")),
    Question("What is two plus three?", ("five", "5")),
    Question("What do bees make?", ("honey",)),
    Question("In which country is the city of Rome?", ("Italy",)),
    Question("What is frozen water called?", ("ice",)),
    Question("Which month comes after March?", ("April",)),
    Question("How many hours are there in a day?", ("twenty four", "24")),
    Question("What is the opposite of hot?", ("cold", "cool")),
)
"""Each has one answer, that any helpful voice should know."""


def questions(count: int) -> list[Question]:
    """``count`` of them, facts and everyday questions in turn; all where there are not more."""
    everyday = [Question(text) for text in QUESTIONS]
    mixed = [q for pair in zip(FACTS, everyday, strict=False) for q in pair]
    mixed += everyday[len(FACTS) :]
    return mixed[:count]


def ask_model(asked: Sequence[Question], model: LanguageModel, config: Config) -> Iterator[Checked]:
    """Asks the model as a call does: persona, greeting, one question. Raises EngineError."""
    for question in asked:
        yield check(question.text, _answer(question.text, model, config), question.expected)


def _answer(text: str, model: LanguageModel, config: Config) -> str:
    dialogue = Dialogue(config.agent.persona)
    dialogue.agent_said(config.agent.greeting, interrupted=False)
    dialogue.caller_said(text)
    pieces: queue.SimpleQueue[str | GenerationEnd] = queue.SimpleQueue()
    conversation = model.open()
    try:
        conversation.generate(dialogue.messages, sampling_of(config), pieces.put, pieces.put)
        thoughts, answer = ThoughtFilter(), ""
        while True:
            try:
                piece = pieces.get(timeout=ANSWER_LIMIT_S)
            except queue.Empty:
                raise EngineError(
                    f"{model.name}: no word within {ANSWER_LIMIT_S:.0f} s of an answer"
                ) from None
            if not isinstance(piece, GenerationEnd):
                answer += thoughts.feed(piece)
                continue
            if piece.error is not None:
                raise piece.error
            return answer + thoughts.flush()
    finally:
        conversation.close()


async def ask_agent(
    asked: Sequence[Question],
    target: Target,
    voice: SpeechSynthesizer,
    recognise: Callable[[NDArray[np.int16], int], str],
    took: Callable[[Checked], None],
    stop: asyncio.Event,
) -> None:
    """Asks ``target`` over calls of ``TURNS_A_CALL`` questions; ``took`` gets each answer.

    Answers are the words that the agent itself gives, where it gives any, and else those
    recognised in its sound. Raises CallFailed.
    """
    from latency_bench.measures.measure import measure_call, with_words

    for number, first in enumerate(range(0, len(asked), TURNS_A_CALL)):
        batch = asked[first : first + TURNS_A_CALL]
        parts = await asyncio.to_thread(_parts, batch, voice)

        def talk(rate_hz: int, parts: Sequence[Part] = parts) -> Conversation:
            return Conversation(parts, rate_hz, Pace())

        recording = await place_call(target, talk, limit_s=TURN_LIMIT_S * len(batch), stop=stop)
        figures = measure_call(recording, call=number, scenario="quality", began_s=0.0)
        figures = await asyncio.to_thread(with_words, figures, recording, recognise)
        answers = {turn.part: turn.answer or turn.recognised or "" for turn in figures.turns}
        if stop.is_set():
            return
        for part, question in enumerate(batch):
            took(check(question.text, answers.get(part, ""), question.expected))


def _parts(batch: Sequence[Question], voice: SpeechSynthesizer) -> list[Part]:
    said = synthesised([question.text for question in batch], voice)
    return [spoken_part(utterance, step) for step, utterance in enumerate(said)]
