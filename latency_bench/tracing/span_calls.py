"""Which of the agent's traced conversations is which call of the bench. Pure."""

from collections.abc import Sequence
from dataclasses import replace

from latency_bench.recording import CallRecording
from latency_bench.tracing.call_fit import misfit_s
from latency_bench.tracing.span_turns import Conversation

NEAR_S = 5.0
"""The agent begins its conversation so shortly before or after the caller heard the answer."""


def with_spans(
    recording: CallRecording, conversations: Sequence[Conversation], offset_s: float
) -> CallRecording:
    """The recording with the turns of the agent's conversation that it is.

    That is one that began near the call's answer; of several, the one that heard its caller stop
    speaking when ours did. ``offset_s``: from the agent's wall clock to the caller's monotonic
    clock. The recording as it is where none began near it, or the agent told of its turns over
    the call itself, for which no clock is needed.
    """
    if any(event.body.get("type") == "turn" for event in recording.events):
        return recording
    near = [
        conversation
        for conversation in conversations
        if abs(conversation.began_s + offset_s - recording.answered_s) <= NEAR_S
    ]
    if not near:
        return recording

    def misfit(conversation: Conversation) -> tuple[float, float]:
        heard_s = [at_s + offset_s for at_s in conversation.speech_ends_s]
        apart_s = abs(conversation.began_s + offset_s - recording.answered_s)
        fits_s = misfit_s(recording, heard_s)
        return (NEAR_S if fits_s is None else fits_s, apart_s)

    told = min(near, key=misfit).events(offset_s)
    events = sorted([*recording.events, *told], key=lambda event: event.at_s)
    return replace(recording, events=tuple(events))
