"""One end of a call over a bad network: says what it is given and keeps what it hears.

``python -m latency_bench.fault_call answer`` prints ``ready PORT`` and takes one call;
``... call SIP_URI`` places it and hangs up when it has said everything. Both then print one JSON
object. Audio is raw PCM16 mono at 8000 Hz, the rate of G.711.
"""

import argparse
import asyncio
import json
import logging
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from latency_bench.tone_agent import play_tone
from telephony.sip import SipStack
from telephony.sip_settings import SipSettings
from telephony.transport import CallGone, CallOutcome, Dial, Line, Ringing, frame_bytes

LINE_HZ = 8000
CODECS = ("pcmu",)
ANSWER_LIMIT_S = 30.0
LAST_WORDS_S = 0.5
"""What is still on its way is heard out."""


async def talk(line: Line, speech: bytes | None, record: Path) -> dict[str, object]:
    """Says ``speech`` (None: a tone) while it keeps what comes in, until the call is over."""
    said = asyncio.Event()
    with record.open("wb") as file:
        saying = asyncio.create_task(_say(line, speech, said), name="saying")
        try:
            while (got := await line.receive()) is not None:
                if isinstance(got, bytes):
                    file.write(got)
        finally:
            saying.cancel()
            await asyncio.gather(saying, return_exceptions=True)
    return {"cause": line.cause.value, "said_all": said.is_set()}


async def _say(line: Line, speech: bytes | None, said: asyncio.Event) -> None:
    if speech is None:
        await play_tone(line)
        return
    size = frame_bytes(line.sample_rate_hz)
    for at in range(0, len(speech), size):
        await line.send(speech[at : at + size].ljust(size, b"\0"))
    said.set()
    await asyncio.sleep(LAST_WORDS_S)
    await line.hang_up()


async def answer(stack: SipStack, args: argparse.Namespace) -> dict[str, object]:
    """Takes the first call. What happened to it."""
    taken: asyncio.Future[Line] = asyncio.get_running_loop().create_future()

    async def on_call(ringing: Ringing) -> None:
        if taken.done():
            await ringing.reject(486, "Busy Here")
            return
        try:
            line = await ringing.answer()
        except CallGone as error:
            logging.warning("%s", error)
            return
        taken.set_result(line)

    await stack.open(on_call)
    print(f"ready {stack.port}", flush=True)
    return await talk(await taken, None, args.record)


async def call(stack: SipStack, args: argparse.Namespace) -> dict[str, object]:
    """Calls, says everything, hangs up. What happened to the call."""

    async def on_call(ringing: Ringing) -> None:
        await ringing.reject(486, "Busy Here")

    await stack.open(on_call)
    dialled = await stack.dial(Dial(args.target, answer_limit_s=ANSWER_LIMIT_S))
    if dialled.outcome is not CallOutcome.ANSWERED or dialled.line is None:
        return {"cause": f"{dialled.outcome.value}: {dialled.reason}", "said_all": False}
    return await talk(dialled.line, args.speech.read_bytes(), args.record)


async def run(args: argparse.Namespace) -> dict[str, object]:
    """One call, within the limit. Raises TimeoutError."""
    stack = SipStack(
        SipSettings(host=args.host, port=0, codecs=CODECS, rtp_timeout_s=args.rtp_timeout)
    )
    try:
        async with asyncio.timeout(args.limit):
            end: Callable[[SipStack, argparse.Namespace], Awaitable[dict[str, object]]] = args.end
            return await end(stack, args)
    finally:
        await stack.close()


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", required=True, help="own address")
    parser.add_argument("--record", type=Path, required=True, metavar="FILE")
    parser.add_argument("--limit", type=float, default=600.0, metavar="SECONDS")
    parser.add_argument("--rtp-timeout", type=int, default=10, metavar="SECONDS")
    ends = parser.add_subparsers(required=True)
    ends.add_parser("answer").set_defaults(end=answer)
    calling = ends.add_parser("call")
    calling.add_argument("target", metavar="SIP_URI")
    calling.add_argument("speech", type=Path, metavar="FILE")
    calling.set_defaults(end=call)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    try:
        print(json.dumps(asyncio.run(run(args))), flush=True)
    except TimeoutError:
        print(f"the call was not over after {args.limit:g} s", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
