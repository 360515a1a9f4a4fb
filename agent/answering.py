"""An answer while the model makes it: its clauses, each as soon as it can be spoken."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from agent.clause_voice import ClauseVoice
from agent.engines import Engines
from agent.text import Clauses, ThoughtFilter, speakable
from models.errors import EngineError
from models.llm.base import (
    Conversation,
    GenerationEnd,
    GenerationUsage,
    Message,
    Sampling,
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Clause:
    """A clause of an answer."""

    text: str
    """As the model wrote it."""
    voice: ClauseVoice | None = None
    """Its audio, where that was begun already."""


class Answering:
    """One answer under way; begins at once. Lives on one event loop.

    A guess is made while the caller may still be talking: it gives way to everything else, and
    the beginning of its first clause is synthesised and held. ``confirm`` makes it an answer
    like any other, ``cancel`` throws it away; who began it does one of the two.
    """

    def __init__(
        self,
        engines: Engines,
        conversation: Conversation,
        messages: Sequence[Message],
        sampling: Sampling,
        *,
        guess: bool = False,
        wanted_s: float = 0.0,
    ) -> None:
        """``wanted_s``: when a guess is likely to be confirmed, on the monotonic clock.

        Raises EngineError.
        """
        self.messages = tuple(messages)
        self.text = ""
        """What the model wrote so far."""
        self.asked_s = time.monotonic()
        self.answered_s: float | None = None
        """When the model was done with it."""
        self.first_token_s: float | None = None
        self.first_clause_s: float | None = None
        self.usage = GenerationUsage()
        """What the generation took; final once ``ended`` is set."""
        self.ended = asyncio.Event()
        """Set once the model is done with it; a cancelled answer takes a moment."""
        self.voice: ClauseVoice | None = None
        """A guess's first clause."""
        self._engines = engines
        self._guess = guess
        self._cancelled = False
        self._wanted_s = wanted_s
        self._holding: asyncio.Task[None] | None = None
        self._thoughts, self._cutter = ThoughtFilter(), Clauses()
        # Bounded by the answer's token limit.
        self._clauses: asyncio.Queue[Clause | Exception | None] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        self._generation = conversation.generate(
            self.messages,
            sampling,
            lambda text: _hand_over(loop, self._on_text, text),
            lambda end: _hand_over(loop, self._on_end, end),
            guess=guess,
        )

    async def next(self) -> Clause | None:
        """The next clause; None after the last. Raises what the model failed with."""
        got = await self._clauses.get()
        if isinstance(got, Exception):
            raise got
        return got

    def confirm(self) -> None:
        """The caller has finished: this is the answer."""
        self._guess = False
        self._generation.confirm()
        if self.voice is not None:
            self.voice.want()

    def cancel(self) -> None:
        """Ends the work on it; harmless when there is none any more."""
        self._cancelled = True
        self._generation.cancel()
        if self.voice is not None:
            self.voice.drop()

    @property
    def busy_s(self) -> float:
        """The engines' busy seconds that it took, as far as known."""
        return self.usage.busy_s + (self.voice.busy_s if self.voice is not None else 0.0)

    async def settled(self) -> float:
        """Waits until nothing of it runs; returns ``busy_s``."""
        await self.ended.wait()
        if self._holding is not None:
            await asyncio.wait([self._holding])
        return self.busy_s

    # What follows runs on the loop, told by the engine's thread.

    def _on_text(self, piece: str) -> None:
        if self._cancelled:
            return
        if self.first_token_s is None:
            self.first_token_s = time.monotonic()
        try:
            self._take(self._thoughts.feed(piece), final=False)
        except Exception as error:  # told to who speaks the answer, who would wait for ever
            self._clauses.put_nowait(error)

    def _on_end(self, end: GenerationEnd) -> None:
        self.usage = end.usage
        self.answered_s = time.monotonic()
        self.ended.set()
        try:
            self._finish(end)
        except Exception as error:  # told to who speaks the answer, who would wait for ever
            self._clauses.put_nowait(error)

    def _finish(self, end: GenerationEnd) -> None:
        if end.error is not None:
            self._clauses.put_nowait(end.error)
            return
        if not self._cancelled:
            self._take(self._thoughts.flush(), final=True)
            if self.first_clause_s is None:
                raise EngineError(
                    "the model gave no words to speak; if it thinks aloud, switch that off, or "
                    "raise `max_tokens` in [llm]"
                )
        self._clauses.put_nowait(None)

    def _take(self, text: str, *, final: bool) -> None:
        self.text += text
        ready = self._cutter.feed(text)
        if final:
            ready += self._cutter.flush()
        for clause in ready:
            voice = None
            if self.first_clause_s is None:
                self.first_clause_s = time.monotonic()
                voice = self._begin_voice(speakable(clause))
            self._clauses.put_nowait(Clause(clause, voice))

    def _begin_voice(self, text: str) -> ClauseVoice | None:
        if not (self._guess and text):
            return None
        self.voice = ClauseVoice(self._engines, text)
        self._holding = asyncio.create_task(self.voice.hold(self._wanted_s), name="hold-clause")
        # What goes wrong comes again, to whoever speaks the clause.
        self._holding.add_done_callback(lambda done: done.cancelled() or done.exception())
        return self.voice


def _hand_over(loop: asyncio.AbstractEventLoop, take: Callable[[T], object], item: T) -> None:
    """From the engine's thread to the call's loop, which may have closed with the box."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(take, item)
