"""The audio of one clause: made piece by piece, the beginning perhaps before it is wanted."""

import asyncio
import time
from collections import deque
from collections.abc import Iterator

from agent.engines import Engines
from models.schedule import Scheduled
from models.tts.base import AudioChunk

CHUNK_LIMIT_S = 20.0
"""A chunk of audio that takes longer is given up."""
HELD_S = 0.5
"""How much of a guessed answer is made before it is wanted: what follows is made while it plays."""


class ClauseVoice:
    """One clause on its way to audio, at the synthesiser's own rate; lives on one event loop."""

    def __init__(self, engines: Engines, text: str, ahead_s: float = 0.0) -> None:
        """``ahead_s``: speech still to be played before it; the more, the less haste."""
        self.text = text
        """As it is spoken: words, no signs."""
        self.busy_s = 0.0
        """Seconds of the engine's time so far, for what nobody took too."""
        self.taken_s = 0.0
        """Of these, what went into audio that ``next`` gave."""
        self.started_s: float | None = None
        """When its first audio was there."""
        self._engines = engines
        self._ahead_s = ahead_s
        phrase = engines.phrases.get(text)
        self._ready = phrase is not None
        self._chunks: Iterator[AudioChunk] | None = iter(phrase) if phrase is not None else None
        self._held: deque[AudioChunk | None] = deque()
        self._making = asyncio.Lock()
        self._wanted = False
        self._error: Exception | None = None
        """What the engine failed with; told to each who asks for more."""
        self._job: Scheduled[AudioChunk | None] | None = None
        self._latest: Scheduled[AudioChunk | None] | None = None
        """The last of its jobs; it runs to its end where nobody waits for it any more."""

    async def hold(self, deadline_s: float) -> None:
        """Makes the beginning, `HELD_S` of sound, as a guess, unless it is wanted before.

        ``deadline_s``: when it will be wanted, on the monotonic clock. Raises what the engine
        raises.
        """
        held_s = 0.0
        while not self._wanted and held_s < HELD_S:
            async with self._making:
                if self._wanted:
                    return
                chunk = await self._make(deadline_s, guess=True)
                self._held.append(chunk)
            if chunk is None:
                return
            held_s += len(chunk.pcm) / self._engines.tts.sample_rate_hz

    def drop(self) -> None:
        """Nobody will hear it: what waits is not begun."""
        self._wanted = True
        if self._job is not None:
            self._job.cancel()

    def want(self) -> None:
        """It is no guess any more: what waits goes before guesses."""
        self._wanted = True
        if self._job is not None:
            self._job.confirm(time.monotonic())

    async def next(self, deadline_s: float) -> AudioChunk | None:
        """The next piece, in order; None after the last.

        ``deadline_s``: when its caller would hear silence. Raises what the engine raises,
        TimeoutError after `CHUNK_LIMIT_S`.
        """
        self.want()
        async with asyncio.timeout(CHUNK_LIMIT_S), self._making:
            held = bool(self._held)
            chunk = self._held.popleft() if held else await self._make(deadline_s, guess=False)
        if chunk is not None and not self._ready:
            self.taken_s += chunk.busy_s
        return chunk

    async def settled(self) -> None:
        """Waits until none of its work runs: then ``busy_s`` is all of it."""
        if self._latest is not None and not self._latest.done():
            await asyncio.wait([asyncio.wrap_future(self._latest)])

    async def _make(self, deadline_s: float, *, guess: bool) -> AudioChunk | None:
        if self._ready:
            chunk = self._step()
        else:
            schedule = self._engines.schedule
            self._job = schedule.submit(self._step, deadline_s, kind="tts", guess=guess)
            self._latest = self._job
            try:
                chunk = await asyncio.wrap_future(self._job)
            finally:
                self._job = None
        if chunk is not None and self.started_s is None:
            self.started_s = time.monotonic()
        return chunk

    def _step(self) -> AudioChunk | None:
        if self._error is not None:
            raise self._error
        try:
            if self._chunks is None:
                self._chunks = self._engines.tts.synthesize(self.text, self._ahead_s)
            chunk = next(self._chunks, None)
        except Exception as error:  # raised again, now and to each who asks for more
            # An iterator that failed would only say that there is no more.
            self._error = error
            raise
        if chunk is not None and not self._ready:
            self.busy_s += chunk.busy_s
        return chunk
