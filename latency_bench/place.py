"""Places a call through whichever door the target has."""

import asyncio
from collections.abc import Callable

from latency_bench.conversation import Conversation
from latency_bench.options import RING_S
from latency_bench.recording import CallRecording
from latency_bench.target import Target


async def place_call(
    target: Target,
    talk: Callable[[int], Conversation],
    *,
    limit_s: float,
    stop: asyncio.Event | None = None,
    answer_limit_s: float = RING_S,
) -> CallRecording:
    """Calls ``target`` and holds the conversation that ``talk`` makes for the line's rate in Hz.

    ``limit_s`` counts from the answer; ``stop`` ends the call early. Raises CallFailed.
    """
    # Each door's libraries are loaded only where it is used.
    match target.door:
        case "sip":
            from latency_bench import caller_sip as door
        case "webrtc":
            from latency_bench import caller_webrtc as door  # type: ignore[no-redef]
        case "twilio":
            from latency_bench import caller_twilio as door  # type: ignore[no-redef]
    return await door.place_call(
        target, talk, limit_s=limit_s, stop=stop, answer_limit_s=answer_limit_s
    )
