"""An agent without models: answers SIP calls with a tone, or with the caller's own audio.

What is measured against it is the telephone door alone. Run as a process of its own:
``python -m latency_bench.tone_agent --port 5070``; it prints ``ready PORT`` once it listens.
"""

import argparse
import asyncio
import logging
import signal
import time
from pathlib import Path

import numpy as np

from telephony.sip import SipStack
from telephony.sip_settings import SipSettings
from telephony.transport import FRAME_S, Held, Line, Ringing

log = logging.getLogger(__name__)

TONE_HZ = 440.0
AMPLITUDE = 8000
SILENT_PEAK = 200


class ToneAgent:
    """Answers every call of a stack until it is closed."""

    def __init__(self, stack: SipStack, *, echo: bool = False, quiet: bool = False) -> None:
        self._stack = stack
        self._echo = echo
        self._quiet = quiet
        self.answered = 0
        self.keys: list[str] = []

    async def on_call(self, ringing: Ringing) -> None:
        """One call, from answer to its end."""
        line = await ringing.answer()
        self.answered += 1
        sending = (
            None if self._echo or self._quiet else asyncio.create_task(play_tone(line), name="tone")
        )
        try:
            while (got := await line.receive()) is not None:
                if isinstance(got, bytes):
                    # Silence is not sent, as an agent does not: it would only queue.
                    if self._echo and np.abs(np.frombuffer(got, np.int16)).max() > SILENT_PEAK:
                        await line.send(got)
                elif not isinstance(got, Held):
                    self.keys.append(got.key)
                    log.info("key %s", got.key)
        finally:
            if sending is not None:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
            log.info("call over: %s", line.cause.value)


async def play_tone(line: Line) -> None:
    """Sends the tone until it is cancelled."""
    rate_hz = line.sample_rate_hz
    # A whole number of periods, so that the seam is silent.
    seconds = np.arange(rate_hz) / rate_hz
    pcm = (AMPLITUDE * np.sin(2 * np.pi * TONE_HZ * seconds)).astype(np.int16).tobytes()
    size = int(rate_hz * FRAME_S) * 2
    at = 0
    while True:
        await line.send(pcm[at : at + size])
        at = (at + size) % len(pcm)


async def _busy_interpreter(busy_s: float, every_s: float) -> None:
    """Holds the interpreter as a careless library would: what the audio must survive."""
    while busy_s:
        await asyncio.sleep(every_s)
        until_s = time.monotonic() + busy_s
        while time.monotonic() < until_s:
            pass


async def run(
    settings: SipSettings, *, echo: bool, quiet: bool, busy_s: float, busy_every_s: float
) -> None:
    """Answers until SIGINT or SIGTERM."""
    stack = SipStack(settings)
    agent = ToneAgent(stack, echo=echo, quiet=quiet)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    await stack.open(agent.on_call)
    busy = asyncio.create_task(_busy_interpreter(busy_s, busy_every_s), name="busy")
    print(f"ready {stack.port}", flush=True)
    await stopped.wait()
    busy.cancel()
    await asyncio.gather(busy, return_exceptions=True)
    await stack.close()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--echo", action="store_true", help="send back what is heard")
    parser.add_argument("--quiet", action="store_true", help="say nothing")
    parser.add_argument("--codecs", default="opus,g722,pcmu,pcma")
    parser.add_argument(
        "--tls-certificate", type=Path, metavar="PEM", help="listen for TLS on the next port"
    )
    parser.add_argument("--srtp", choices=("off", "optional", "required"), default="optional")
    parser.add_argument("--rtp-ports", default="20000-29999")
    parser.add_argument("--rtp-timeout", type=int, default=10)
    parser.add_argument("--busy", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--busy-every", type=float, default=2.0, metavar="SECONDS")
    parser.add_argument("--trace", action="store_true", help="log every SIP message")
    args = parser.parse_args()
    logging.basicConfig(level=logging.DEBUG if args.trace else logging.INFO)
    settings = SipSettings(
        host=args.host,
        port=args.port,
        tls_certificate=args.tls_certificate,
        srtp=args.srtp,
        rtp_ports=args.rtp_ports,
        codecs=tuple(args.codecs.split(",")),
        rtp_timeout_s=args.rtp_timeout,
        trace=args.trace,
    )
    asyncio.run(
        run(
            settings,
            echo=args.echo,
            quiet=args.quiet,
            busy_s=args.busy,
            busy_every_s=args.busy_every,
        )
    )


if __name__ == "__main__":
    main()
