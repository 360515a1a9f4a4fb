"""What a door drives: frames in their order, times that are put right, one end."""

import numpy as np
import pytest

from latency_bench.conversation import Conversation
from latency_bench.leg import EVENTS_LIMIT, NOTES_LIMIT, Leg

RATE_HZ = 8000


def leg() -> tuple[Leg, list[int]]:
    over: list[int] = []
    made = Leg(Conversation([], RATE_HZ), lambda: over.append(1))
    made.dialled(10.0)
    return made, over


def test_sent_frames_have_the_time_at_which_they_left() -> None:
    made, _ = leg()
    made.next_frame(10.5)
    made.answered(11.0)
    for index in range(3):
        made.next_frame(11.0 + index * 0.02)
    made.departed(160, 11.025)
    made.departed(5_000_000, 99.0)
    made.departed(-160, 99.0)
    sent = made.recording("sip", "PCMU/8000", RATE_HZ).sent
    assert sent.at_s == pytest.approx([11.0, 11.025, 11.04])
    assert len(sent.pcm) == 480, "what was sent before the answer is none of it"


def test_the_first_word_on_the_end_holds() -> None:
    made, over = leg()
    made.answered(11.0)
    made.end("remote", 12.0, "bye")
    made.end("failed", 13.0, "too late")
    recording = made.recording("sip", "PCMU/8000", RATE_HZ)
    assert (recording.end, recording.reason, recording.ended_s) == ("remote", "bye", 12.0)
    assert over == [1] and made.ended


def test_what_the_agent_says_of_itself_is_kept_and_bounded() -> None:
    made, _ = leg()
    made.told(11.0, {"type": "joined"})
    for _ in range(EVENTS_LIMIT + 5):
        made.told(12.0, {})
    for number in range(NOTES_LIMIT + 5):
        made.note(str(number))
        made.note("0")
    recording = made.recording("sip", "PCMU/8000", RATE_HZ)
    assert recording.transferred_to == "joined" and len(recording.events) == EVENTS_LIMIT
    assert len(recording.notes) == NOTES_LIMIT


def test_packets_and_sound_are_written_down_as_they_come() -> None:
    made, _ = leg()
    made.answered(11.0)
    assert not made.has_audio
    made.packet(11.1, 0, 0)
    made.packet(11.12, 1, 160)
    made.heard(np.ones(160, np.int16), 11.1, 0)
    made.heard(np.full(160, 2, np.int16), 11.12, 320)
    recording = made.recording("sip", "PCMU/8000", RATE_HZ)
    assert made.has_audio and recording.packets.sequence.tolist() == [0, 1]
    assert recording.packets.timestamp.tolist() == [0, 160]
    # The frame between never came: silence.
    assert recording.received.pcm[::160].tolist() == [1, 0, 2]
