"""An agent whose delay is known exactly, and which can behave badly in one exact way at a time.

``python -m latency_bench.reference.agent --door sip --port 0`` prints ``ready PORT`` once it
listens, and a JSON line of `reference_talk.Truth` for each call that ended. Which behaviour a call
gets is named by its address: ``sip:late@127.0.0.1:PORT``, ``http://127.0.0.1:PORT/api/offer?agent=late``,
``ws://127.0.0.1:PORT/?agent=late``. It listens on loopback only.
"""

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Callable
from typing import Protocol

from latency_bench.reference.behaviour import BEHAVIOURS
from latency_bench.reference.talk import Truth

HOST = "127.0.0.1"
DOORS = ("sip", "webrtc", "twilio")


class ReferenceDoor(Protocol):
    """Where calls come in."""

    async def open(self, host: str, port: int) -> int:
        """Listens; returns the port."""
        ...

    async def close(self) -> None:
        """Ends every call."""
        ...


def door_of(
    name: str, behaviour: str, seed: int, on_truth: Callable[[Truth], None]
) -> ReferenceDoor:
    """The door of that name; its libraries are loaded only where it is used."""
    match name:
        case "sip":
            from latency_bench.reference.sip import SipDoor

            return SipDoor(behaviour, seed, on_truth)
        case "webrtc":
            from latency_bench.reference.webrtc import WebrtcDoor

            return WebrtcDoor(behaviour, seed, on_truth)
        case "twilio":
            from latency_bench.reference.twilio import TwilioDoor

            return TwilioDoor(behaviour, seed, on_truth)
    raise ValueError(f"no door {name!r}: {', '.join(DOORS)}")


async def serve(name: str, port: int, behaviour: str, seed: int, *, until_eof: bool) -> None:
    """Answers calls until SIGINT or SIGTERM, or with ``until_eof`` the end of its input."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    if until_eof:
        loop.add_reader(sys.stdin.fileno(), stopped.set)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    door = door_of(name, behaviour, seed, _print_truth)
    bound = await door.open(HOST, port)
    print(f"ready {bound}", flush=True)
    try:
        await stopped.wait()
    finally:
        await door.close()


def _print_truth(truth: Truth) -> None:
    sys.stdout.write(json.dumps(truth.to_json()) + "\n")
    sys.stdout.flush()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--door", choices=DOORS, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument(
        "--behaviour",
        choices=sorted(BEHAVIOURS),
        default="good",
        help="of calls whose address names none (default: good)",
    )
    parser.add_argument("--seed", type=int, default=1, help="of what is random (default: 1)")
    parser.add_argument("--until-eof", action="store_true", help="end when the standard input does")
    args = parser.parse_args()
    asyncio.run(serve(args.door, args.port, args.behaviour, args.seed, until_eof=args.until_eof))


if __name__ == "__main__":
    main()
