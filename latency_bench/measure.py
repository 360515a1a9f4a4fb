"""One call's recording -> its figures. Pure; docs/measuring.md defines each figure."""

from typing import Any

from latency_bench.recording import CallRecording
from latency_bench.turns import turns_of

__all__ = ["cost_of", "turns_of"]


def cost_of(recording: CallRecording) -> dict[str, Any]:
    """The last word of the agent on what the call cost; empty where it said none."""
    for event in reversed(recording.events):
        if event.body.get("type") == "cost":
            return {key: value for key, value in event.body.items() if key != "type"}
    return {}
