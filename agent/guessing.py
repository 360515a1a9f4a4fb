"""Answers made before it is known that the caller has finished, and whether there is room for them.

Guessing is worth a lot to one call and ruins a busy box: what is guessed in vain is work that
another caller waits for. It fades out as the engines' load rises.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from agent.answering import Answering
from agent.engines import Engines
from models.errors import EngineError
from models.llm.base import Conversation, Message, Sampling

log = logging.getLogger(__name__)

ANSWER_LOAD = 0.5
"""Share of the engines' time, of late, from which no answer is guessed any more."""
WORDS_LOAD = 0.3
"""From here words are not decoded either before the caller pauses."""
DOUBT_S = 0.35
"""A caller who goes on for longer is telling more: the guess is wrong. A shorter sound may be
breath, or the line."""


def load_of(engines: Engines, now_s: float) -> float:
    """How busy the engines were of late: 0, idle, to 1; the busiest counts."""
    return max(engines.schedule.load(now_s), engines.llm.load(now_s))


class Guessing:
    """One call's guessed answer; at most one at a time."""

    def __init__(
        self,
        engines: Engines,
        conversation: Conversation,
        sampling: Sampling,
        on_discarded: Callable[[Answering], None],
    ) -> None:
        """``on_discarded`` is given each guess that came to nothing, cancelled, to be counted."""
        self._engines = engines
        self._conversation = conversation
        self._sampling = sampling
        self._on_discarded = on_discarded
        self._guess: Answering | None = None
        self._doubt: asyncio.TimerHandle | None = None
        # What a rented model is asked costs money whether it is wanted or not.
        self._free = engines.llm.device != "remote"

    def room(self, limit: float = ANSWER_LOAD) -> bool:
        """Whether the engines have time for work that may be for nothing."""
        schedule = self._engines.schedule
        return schedule.waiting == 0 and load_of(self._engines, time.monotonic()) < limit

    def begin(self, messages: Sequence[Message], wanted_s: float) -> bool:
        """Begins the answer to ``messages``, or goes on with the one begun; False without room.

        ``wanted_s``: when the turn is likely to be judged over, on the monotonic clock.
        """
        self._no_doubt()
        if self._guess is not None:
            if self._guess.messages == tuple(messages):
                return True
            self.drop()
        if not (self._free and self.room()):
            return False
        try:
            self._guess = self._answer(messages, guess=True, wanted_s=wanted_s)
        except EngineError as error:
            log.warning("nothing guessed: %s", error)
            return False
        return True

    def doubt(self) -> None:
        """The caller made another sound: unless that is over soon, the guess is dropped."""
        if self._guess is not None and self._doubt is None:
            self._doubt = asyncio.get_running_loop().call_later(DOUBT_S, self.drop)

    def paused(self) -> None:
        """The caller is silent again: the words will tell whether the guess still holds."""
        self._no_doubt()

    def drop(self) -> None:
        """Throws the guess away, if there is one."""
        self._no_doubt()
        guess, self._guess = self._guess, None
        if guess is not None:
            guess.cancel()
            self._on_discarded(guess)

    def take(self, messages: Sequence[Message]) -> Answering:
        """The answer to ``messages``: the guess where it is that, else begun now.

        Raises EngineError.
        """
        self._no_doubt()
        guess = self._guess
        if guess is not None and guess.messages == tuple(messages):
            self._guess = None
            guess.confirm()
            return guess
        self.drop()
        return self._answer(messages)

    def _answer(
        self, messages: Sequence[Message], *, guess: bool = False, wanted_s: float = 0.0
    ) -> Answering:
        return Answering(
            self._engines,
            self._conversation,
            messages,
            self._sampling,
            guess=guess,
            wanted_s=wanted_s,
        )

    def _no_doubt(self) -> None:
        if self._doubt is not None:
            self._doubt.cancel()
            self._doubt = None
