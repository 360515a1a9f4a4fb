"""A box without engines, and a telephone door that tells what it was asked."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from agent.admission import BoxFull
from agent.box import Box
from agent.call import DIRECT, Emit, Origin
from agent.config import Config
from agent.records.store import CallStore
from telephony.loopback import LoopbackLine
from telephony.transport import CallOutcome, Dial, Dialled, HangupCause, Line

ANSWERED = CallOutcome.ANSWERED


class TalkingRun:
    """Stands in for a call that the agent talks in: it listens until either side hangs up."""

    def __init__(self, line: Line, emit: Emit, on_over: Callable[[HangupCause], None]) -> None:
        self.over = asyncio.Event()
        self._line, self._emit, self._on_over = line, emit, on_over
        self._cause: HangupCause | None = None
        self._hung_up = asyncio.Event()
        self._task = asyncio.create_task(self._run())

    def hang_up(self, cause: HangupCause) -> None:
        self._cause = self._cause or cause
        self._hung_up.set()

    async def _run(self) -> None:
        sides = [asyncio.create_task(self._listen()), asyncio.create_task(self._hung_up.wait())]
        await asyncio.wait(sides, return_when=asyncio.FIRST_COMPLETED)
        for side in sides:
            side.cancel()
        await asyncio.wait(sides)
        cause = self._cause or self._line.cause
        await self._line.hang_up()
        self._emit({"type": "call.ended", "cause": cause.value})
        self._on_over(cause)
        self.over.set()

    async def _listen(self) -> None:
        while await self._line.receive() is not None:
            pass


class QuietBox(Box):
    """A box whose calls are answered by nobody in particular."""

    def __init__(self, config: Config, store: CallStore) -> None:
        super().__init__(config, None, store, None)  # type: ignore[arg-type]
        self.origins: list[Origin] = []
        self.runs: dict[str, TalkingRun] = {}
        self.refuses: Exception | None = None
        self.ready = asyncio.Event()
        """Cleared: calls wait for their agent."""
        self.ready.set()

    async def answer(  # type: ignore[override]
        self,
        line: Line,
        emit: Emit = lambda event: None,
        origin: Origin | None = None,
        *,
        waited: bool = False,
    ) -> TalkingRun:
        origin = origin or DIRECT
        if self.refuses is not None:
            raise self.refuses
        await self.ready.wait()
        with self.reserve():
            self.origins.append(origin)
        run = TalkingRun(line, emit, lambda cause: self._over_now(origin, cause))
        self.runs[origin.call_id] = run
        self._runs[origin.call_id] = run  # type: ignore[assignment]
        return run

    def _over_now(self, origin: Origin, cause: HangupCause) -> None:
        del self._runs[origin.call_id]
        if (record := self.store.call(origin.call_id)) is not None:
            self.store.end_call(replace(record[0], cause=cause.value))


class ScriptedDoor:
    """Answers each `Dial` as the test says, once it says so."""

    def __init__(self) -> None:
        self.dials: list[Dial] = []
        self.results: asyncio.Queue[Dialled | Exception] = asyncio.Queue()
        self.cancelled = 0
        self.answers_when_cancelled: Dialled | None = None

    async def open(self, on_call: Any) -> None: ...

    async def close(self) -> None: ...

    async def dial(self, dial: Dial) -> Dialled:
        self.dials.append(dial)
        try:
            result = await self.results.get()
        except asyncio.CancelledError:
            self.cancelled += 1
            if self.answers_when_cancelled is not None:
                return self.answers_when_cancelled
            raise
        if isinstance(result, Exception):
            raise result
        return result


def answered() -> Dialled:
    return Dialled(ANSWERED, LoopbackLine(8000), 200, "OK")


def a_store(folder: Path) -> CallStore:
    return CallStore(folder / "calls.sqlite3")


def full() -> BoxFull:
    return BoxFull("the language model has no place")
