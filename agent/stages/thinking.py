"""Thinking: a caller's turn in, the clauses of an answer out."""

import asyncio
import logging

from pipecat.frames.frames import Frame
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from agent.answering import Answering, Clause
from agent.call import Call
from agent.engines import APOLOGY
from agent.frames import AnswerEndFrame, CallerTurnFrame, ClauseFrame
from agent.text import Clauses
from agent.turn import Turn

log = logging.getLogger(__name__)

FILLER_AFTER_S = 0.7
"""Without a clause for this long the caller hears that somebody is there."""


class Thinking(FrameProcessor):
    """Passes on the model's answer, clause by clause, as soon as each can be spoken.

    That is done inside ``process_frame``: an interruption cancels it there, and with it the
    generation.
    """

    def __init__(self, call: Call) -> None:
        super().__init__(name=f"thinking-{call.call_id}")
        self._call = call
        self._fillers_said = 0

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Answers caller turns; passes everything else on."""
        await super().process_frame(frame, direction)
        if isinstance(frame, CallerTurnFrame) and frame.turn is not self._call.turn:
            # The caller interrupted before it came here.
            return
        if isinstance(frame, CallerTurnFrame) and frame.turn.choice is None:
            frame.turn.choice = self._call.before_answer(frame.turn)
        if isinstance(frame, CallerTurnFrame) and frame.turn.choice is not None:
            await self._say(frame.turn, frame.turn.choice.spoken)
        elif isinstance(frame, CallerTurnFrame):
            await self._answer(frame.turn)
        else:
            await self.push_frame(frame, direction)

    async def _answer(self, turn: Turn) -> None:
        try:
            turn.answering = self._call.guessing.take(self._call.dialogue.messages)
            if turn.answering.voice is not None:
                turn.voices.append(turn.answering.voice)
            await self._pass_on(turn, turn.answering)
        except Exception as error:  # of whatever kind, one answer fails and not the call
            log.exception("call %s: the language model failed", self._call.call_id)
            self._call.failed(f"the language model failed: {error}")
            turn.answer, turn.apologised = APOLOGY, True
            await self.push_frame(ClauseFrame(turn, APOLOGY))
        await self.push_frame(AnswerEndFrame(turn))

    async def _say(self, turn: Turn, text: str) -> None:
        """Answers with a text of the menu's; the model is not asked."""
        self._call.guessing.drop()
        turn.answer = text
        clauses = Clauses()
        for clause in clauses.feed(text) + clauses.flush():
            await self.push_frame(ClauseFrame(turn, clause))
        await self.push_frame(AnswerEndFrame(turn))

    async def _pass_on(self, turn: Turn, answering: Answering) -> None:
        try:
            clause = await self._first(turn, answering)
            while clause is not None:
                turn.answer = answering.text
                if clause.voice is not None and clause.voice not in turn.voices:
                    turn.voices.append(clause.voice)
                await self.push_frame(ClauseFrame(turn, clause.text, clause.voice))
                clause = await answering.next()
            turn.answer = answering.text
        finally:
            if not answering.ended.is_set():
                answering.cancel()

    async def _first(self, turn: Turn, answering: Answering) -> Clause | None:
        """The first clause; where it is long in coming, something is said meanwhile."""
        fillers = self._call.config.agent.fillers
        if fillers:
            try:
                async with asyncio.timeout(FILLER_AFTER_S):
                    return await answering.next()
            except TimeoutError:
                filler = fillers[self._fillers_said % len(fillers)]
                self._fillers_said += 1
                await self.push_frame(ClauseFrame(turn, filler, filler=True))
        return await answering.next()
