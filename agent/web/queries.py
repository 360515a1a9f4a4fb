"""Questions about records that take a while: who may ask them at once, and about which time."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, TypeVar

from pydantic import AfterValidator, AwareDatetime

T = TypeVar("T")

MOST_READERS = 6
"""Who may be answered or wait; an answer over some hundred calls takes up to a second."""


class TooManyReaders(Exception):
    """So many wait already that one more would not be answered soon."""


class Readers:
    """One is answered at a time, so that calls keep the threads and the processor; few wait."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._waiting = 0

    async def read(self, question: Callable[[], T]) -> T:
        """The answer, reckoned on a thread. Raises TooManyReaders, and what ``question`` does."""
        if self._waiting >= MOST_READERS:
            raise TooManyReaders("others ask for as much; try again in a few seconds")
        self._waiting += 1
        try:
            async with self._lock:
                return await asyncio.to_thread(question)
        finally:
            self._waiting -= 1


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("is before the first, or after the last, moment of UTC") from None


Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]
"""A time with its zone, as records can be asked for it."""
