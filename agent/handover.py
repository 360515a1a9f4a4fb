"""Handing a caller over to a person: by asking the far end to call there, or by introduction.

Blind (RFC 3515), the far end calls the person and this box is out of it. With an introduction
the box calls the person itself, says who calls and what was said, and joins the two lines: that
works with any carrier, and the person does not begin at nothing.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import soxr
from numpy.typing import NDArray

from agent.admission import BoxFull
from agent.call import Call
from agent.text import speakable
from telephony.transport import CallOutcome, ControlFailed, Digit, Line, TransferFailed, frame_bytes
from telephony.trunk import DialRefused

if TYPE_CHECKING:
    from agent.outbound import Outbound

log = logging.getLogger(__name__)

LAST_TURNS = 2
"""So many of the caller's last turns are told."""
TOLD_CHARACTERS = 240
AFTER_PICK_UP_S = 0.6
"""A person says their own name first."""
SPEAK_LIMIT_S = 60.0


class Handover:
    """One call's way to a person; ``bridge`` runs once the agent has left the line."""

    def __init__(self, call: Call, line: Line, outbound: "Outbound | None") -> None:
        self._call = call
        self._line = line
        self._outbound = outbound
        self._person: Line | None = None
        self._reached = AsyncExitStack()
        self._over = asyncio.Event()

    async def blind(self, target: str) -> None:
        """Asks the far end to call ``target``. Raises TransferFailed; the call then goes on."""
        if self._line.control is None:
            raise TransferFailed(f"the {self._line.door} door cannot transfer calls")
        await self._line.control.transfer(self._referred(target))

    async def introduce(self, target: str) -> None:
        """Calls ``target`` and tells of the caller; then the lines can be joined.

        Raises TransferFailed; the call then goes on.
        """
        if self._outbound is None:
            raise TransferFailed("no telephone door is open to call anybody")
        try:
            dialled = await self._reached.enter_async_context(
                self._outbound.reach(target, self._call.origin.trunk)
            )
            if dialled.outcome is not CallOutcome.ANSWERED or dialled.line is None:
                raise TransferFailed(f"{target}: {dialled.outcome.value} ({dialled.reason})")
            async with asyncio.timeout(SPEAK_LIMIT_S):
                await self._tell(dialled.line)
        except (DialRefused, BoxFull, TimeoutError) as error:
            await self.close()
            raise TransferFailed(f"{target} was not reached: {error}") from error
        except BaseException:
            await self.close()
            raise
        self._person = dialled.line

    @property
    def reached(self) -> bool:
        """Whether a person waits for the caller."""
        return self._person is not None

    async def bridge(self) -> None:
        """Joins caller and person until either hangs up, or ``end`` is called."""
        assert self._person is not None
        ways = [
            asyncio.create_task(_pass_on(self._line, self._person), name="to-person"),
            asyncio.create_task(_pass_on(self._person, self._line), name="to-caller"),
            asyncio.create_task(self._over.wait(), name="bridge-over"),
        ]
        try:
            limit_s = self._call.config.calls.max_call_s
            await asyncio.wait(ways, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            for result in await asyncio.gather(*ways, return_exceptions=True):
                if isinstance(result, Exception):
                    log.error("call %s: a joined line failed", self._call.call_id, exc_info=result)

    def end(self) -> None:
        """Parts the lines."""
        self._over.set()

    async def close(self) -> None:
        """Hangs up on the person, if that has not happened. Harmless when nobody was called."""
        await self._reached.aclose()

    def _referred(self, target: str) -> str:
        """The SIP address that the far end is asked to call; a number counts as a call placed."""
        if target.lower().startswith(("sip:", "sips:")):
            return target
        if self._outbound is None:
            raise TransferFailed("no telephone door is open")
        try:
            return self._outbound.refer(target, self._call.origin.trunk)
        except DialRefused as error:
            raise TransferFailed(str(error)) from error

    async def _tell(self, person: Line) -> None:
        said = [m.content for m in self._call.dialogue.messages if m.role == "user"]
        text = introduction(self._call.caller, said)
        listening = asyncio.create_task(_until_gone(person), name="person-listens")
        speaking = asyncio.create_task(self._say(person, text), name="introduction")
        try:
            await asyncio.wait((listening, speaking), return_when=asyncio.FIRST_COMPLETED)
            if not speaking.done():
                raise TransferFailed("the person hung up during the introduction")
            speaking.result()
        finally:
            for task in (listening, speaking):
                task.cancel()
            await asyncio.gather(listening, speaking, return_exceptions=True)

    async def _say(self, person: Line, text: str) -> None:
        await asyncio.sleep(AFTER_PICK_UP_S)
        tts, loop = self._call.engines.tts, asyncio.get_running_loop()
        chunks = tts.synthesize(speakable(text))
        resampler = soxr.ResampleStream(
            tts.sample_rate_hz, person.sample_rate_hz, 1, dtype="int16", quality="HQ"
        )
        size, pending = frame_bytes(person.sample_rate_hz), b""
        while True:
            # Nobody waits for this audio as a caller waits for an answer.
            chunk = await self._call.run_engine(partial(next, chunks, None), loop.time() + 1)
            pcm = np.zeros(0, np.int16) if chunk is None else chunk.pcm
            pending += resampler.resample_chunk(pcm, last=chunk is None).tobytes()
            while len(pending) >= size or (chunk is None and pending):
                await person.send(pending[:size].ljust(size, b"\0"))
                pending = pending[size:]
            if chunk is None:
                return


def introduction(caller: str, said: Sequence[str]) -> str:
    """What a person is told. The caller's own words, not a summary that may be wrong."""
    who = caller.partition("@")[0].strip()
    number = " ".join(who) if who.lstrip("+").isdigit() else who
    text = f"A call from {number or 'an unknown caller'}."
    words = " ".join(turn.strip() for turn in list(said)[-LAST_TURNS:] if turn.strip())
    if len(words) > TOLD_CHARACTERS:
        words = words[-TOLD_CHARACTERS:].partition(" ")[2]
    return f"{text} They said: {words} I am connecting you now." if words else text


async def _until_gone(line: Line) -> None:
    while await line.receive() is not None:
        pass


async def _pass_on(source: Line, sink: Line) -> None:
    rates = (source.sample_rate_hz, sink.sample_rate_hz)
    resampler = None
    if rates[0] != rates[1]:
        resampler = soxr.ResampleStream(*rates, 1, dtype="int16", quality="MQ")
    size, pending = frame_bytes(sink.sample_rate_hz), b""
    while (got := await source.receive()) is not None:
        if isinstance(got, Digit) and sink.control is not None:
            try:
                await sink.control.send_digits(got.key)
            except ControlFailed as error:
                log.warning("a key was not passed on: %s", error)
        if not isinstance(got, bytes):
            continue
        pcm: NDArray[np.int16] = np.frombuffer(got, np.int16)
        pending += (pcm if resampler is None else resampler.resample_chunk(pcm)).tobytes()
        while len(pending) >= size:
            await sink.send(pending[:size])
            pending = pending[size:]
