"""Thinking: a caller's turn in, the clauses of an answer out."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import TypeVar

from pipecat.frames.frames import Frame
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from agent.call import Call
from agent.engines import APOLOGY
from agent.frames import AnswerEndFrame, CallerTurnFrame, ClauseFrame
from agent.text import Clauses, ThoughtFilter
from agent.turn import Turn
from models.errors import EngineError
from models.llm.base import GenerationEnd

log = logging.getLogger(__name__)

T = TypeVar("T")

CANCEL_LIMIT_S = 5.0
"""How long a cancelled answer may take to let go of the call's place in the model."""


class Thinking(FrameProcessor):
    """Streams the model's answer, clause by clause, as soon as each can be spoken.

    The answer is made inside ``process_frame``: an interruption cancels it there, and with it
    the generation.
    """

    def __init__(self, call: Call) -> None:
        super().__init__(name=f"thinking-{call.call_id}")
        self._call = call
        self._idle = asyncio.Event()
        self._idle.set()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Answers caller turns; passes everything else on."""
        await super().process_frame(frame, direction)
        if isinstance(frame, CallerTurnFrame) and frame.turn.choice is not None:
            await self._say(frame.turn, frame.turn.choice.spoken)
        elif isinstance(frame, CallerTurnFrame):
            await self._answer(frame.turn)
        else:
            await self.push_frame(frame, direction)

    async def _answer(self, turn: Turn) -> None:
        try:
            async with asyncio.timeout(CANCEL_LIMIT_S):
                await self._idle.wait()
            await self._generate(turn)
        except Exception as error:  # of whatever kind, one answer fails and not the call
            log.exception("call %s: the language model failed", self._call.call_id)
            self._call.failed(f"the language model failed: {error}")
            turn.generated.set()
            turn.answer, turn.apologised = APOLOGY, True
            await self.push_frame(ClauseFrame(turn, APOLOGY))
        await self.push_frame(AnswerEndFrame(turn))

    async def _say(self, turn: Turn, text: str) -> None:
        """Answers with a text of the menu's; the model is not asked."""
        turn.answer = text
        turn.generated.set()
        clauses = Clauses()
        for clause in clauses.feed(text) + clauses.flush():
            await self.push_frame(ClauseFrame(turn, clause))
        await self.push_frame(AnswerEndFrame(turn))

    async def _generate(self, turn: Turn) -> None:
        loop = asyncio.get_running_loop()
        # Bounded by the answer's token limit: the engine puts one piece a token.
        pieces: asyncio.Queue[str | GenerationEnd] = asyncio.Queue()
        ended = False

        def on_end(end: GenerationEnd) -> None:
            turn.generation = end.usage
            turn.generated.set()
            self._idle.set()
            pieces.put_nowait(end)

        self._idle.clear()
        try:
            generation = self._call.conversation.generate(
                self._call.dialogue.messages,
                self._call.sampling,
                lambda text: _hand_over(loop, pieces.put_nowait, text),
                lambda end: _hand_over(loop, on_end, end),
            )
            turn.generation_under_way = generation
        except BaseException:
            self._idle.set()
            raise
        thoughts, clauses = ThoughtFilter(), Clauses()
        try:
            while not ended:
                piece = await pieces.get()
                if isinstance(piece, GenerationEnd):
                    ended = True
                    if piece.error is not None:
                        raise piece.error
                    text = thoughts.flush()
                else:
                    if turn.first_token_s is None:
                        turn.first_token_s = time.monotonic()
                    text = thoughts.feed(piece)
                turn.answer += text
                ready = clauses.feed(text)
                if ended:
                    ready += clauses.flush()
                for clause in ready:
                    if turn.first_clause_s is None:
                        turn.first_clause_s = time.monotonic()
                    await self.push_frame(ClauseFrame(turn, clause))
            if turn.first_clause_s is None:
                raise EngineError(
                    "the model gave no words to speak; if it thinks aloud, switch that off, or "
                    "raise `max_tokens` in [llm]"
                )
        finally:
            if not ended:
                generation.cancel()


def _hand_over(loop: asyncio.AbstractEventLoop, take: Callable[[T], object], item: T) -> None:
    """From the engine's thread to the call's loop, which may have closed with the box."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(take, item)
