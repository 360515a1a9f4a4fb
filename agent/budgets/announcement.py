"""What a telephone caller hears who is not let in: one sentence, then the line is hung up."""

import asyncio
import time

import numpy as np
import soxr

from agent.engines import Engines
from agent.text import speakable
from telephony.transport import Line, frame_bytes

LIMIT_S = 30.0
SYNTHESIS_LIMIT_S = 10.0


async def announce(line: Line, engines: Engines, text: str) -> None:
    """Says ``text`` on an answered line, or what the caller stays for, and hangs up."""
    speaking = asyncio.create_task(_speak(line, engines, text), name="announcement")
    gone = asyncio.create_task(_until_gone(line), name="announced-caller")
    try:
        await asyncio.wait((speaking, gone), timeout=LIMIT_S, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (speaking, gone):
            task.cancel()
        await asyncio.wait((speaking, gone))
        await line.hang_up()
    if not speaking.cancelled():
        speaking.result()


async def _speak(line: Line, engines: Engines, text: str) -> None:
    words = speakable(text)
    chunks = engines.phrases.get(words)
    if chunks is None:
        deadline_s = time.monotonic() + SYNTHESIS_LIMIT_S
        job = engines.schedule.submit(lambda: tuple(engines.tts.synthesize(words)), deadline_s)
        chunks = await asyncio.wrap_future(job)
    made = np.concatenate([np.zeros(0, np.int16), *(chunk.pcm for chunk in chunks)])
    pcm = soxr.resample(made, engines.tts.sample_rate_hz, line.sample_rate_hz).astype(np.int16)
    size, audio = frame_bytes(line.sample_rate_hz), pcm.tobytes()
    for at in range(0, len(audio), size):
        await line.send(audio[at : at + size].ljust(size, b"\0"))


async def _until_gone(line: Line) -> None:
    while await line.receive() is not None:
        pass
