"""A reference agent in a process of its own."""

import asyncio
import json
import sys
from types import TracebackType

from latency_bench.reference.talk import Truth
from latency_bench.target import Door, Target

READY_LIMIT_S = 60.0
STOP_LIMIT_S = 10.0
TRUTH_LIMIT_S = 15.0
LINE_BYTES = 1 << 20


class ReferenceFailed(Exception):
    """The agent did not start, or said nothing of a call; the message says which."""


class ReferenceProcess:
    """``python -m latency_bench.reference.agent`` as a child; an async context manager."""

    def __init__(self, door: Door, behaviour: str = "good", seed: int = 1) -> None:
        self.door = door
        self.port = 0
        self._arguments = (
            *("--door", door, "--behaviour", behaviour, "--seed", str(seed)),
            "--until-eof",
        )
        self._child: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._truths: dict[str, Truth] = {}
        self._news = asyncio.Condition()
        self._gone = False

    async def __aenter__(self) -> "ReferenceProcess":
        self._child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "latency_bench.reference.agent", *self._arguments),
            # It ends with this process, however that ends.
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=LINE_BYTES,
            start_new_session=True,
        )
        assert self._child.stdout is not None
        try:
            async with asyncio.timeout(READY_LIMIT_S):
                words = (await self._child.stdout.readline()).decode().split()
        except TimeoutError:
            words = []
        except asyncio.CancelledError:
            await self._stop()
            raise
        if len(words) != 2 or words[0] != "ready":
            await self._stop()
            raise ReferenceFailed(
                f"the reference agent did not start: run `python -m latency_bench.reference.agent "
                f"--door {self.door}`"
            )
        self.port = int(words[1])
        self._reading = asyncio.create_task(self._read(self._child.stdout))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.shield(self._stop())

    def target(self, name: str) -> Target:
        """Whom to call for a behaviour; ``name.N`` tells calls of one behaviour apart."""
        match self.door:
            case "sip":
                return Target("sip", f"sip:{name}@127.0.0.1:{self.port}")
            case "webrtc":
                return Target("webrtc", f"http://127.0.0.1:{self.port}/api/offer?agent={name}")
            case "twilio":
                return Target("twilio", f"ws://127.0.0.1:{self.port}/?agent={name}")

    async def truth(self, name: str) -> Truth:
        """What the call of that name was, once the agent saw its end. Raises ReferenceFailed."""
        try:
            async with asyncio.timeout(TRUTH_LIMIT_S), self._news:
                await self._news.wait_for(lambda: name in self._truths or self._gone)
        except TimeoutError:
            pass
        if name not in self._truths:
            raise ReferenceFailed(f"the reference agent told nothing of its call {name!r}")
        return self._truths[name]

    async def _read(self, stdout: asyncio.StreamReader) -> None:
        while line := await stdout.readline():
            truth = Truth.from_json(json.loads(line))
            async with self._news:
                self._truths[truth.call] = truth
                self._news.notify_all()
        async with self._news:
            self._gone = True
            self._news.notify_all()

    async def _stop(self) -> None:
        child = self._child
        if child is not None and child.returncode is None:
            child.terminate()
            try:
                async with asyncio.timeout(STOP_LIMIT_S):
                    await child.wait()
            except TimeoutError:
                child.kill()
                await child.wait()
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
