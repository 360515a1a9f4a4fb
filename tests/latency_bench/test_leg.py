"""What a door drives: frames in their order, times that are put right, one end."""

import json

import numpy as np
import pytest

from latency_bench.conversation import Conversation
from latency_bench.leg import (
    EVENTS_LIMIT,
    EVENTS_LIMIT_BYTES,
    NOTES_LIMIT,
    PACKETS_START,
    SOUND_START_S,
    WORDS_LIMIT,
    Leg,
)

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


def test_what_no_file_can_hold_is_replaced() -> None:
    made, _ = leg()
    made.told(11.0, {"\ud800k": ["a\udfffb", {"deep": "\ud83d"}], "number": float("nan"), "n": 1})
    made.note("note \ud800")
    made.transferred("sip:\udc80")
    made.end("remote", 12.0, "\ud800" * 2 * WORDS_LIMIT)
    recording = made.recording("sip", "PCMU/8000", RATE_HZ)
    (event,) = recording.events
    assert event.body == {"\ufffdk": ["a\ufffdb", {"deep": "\ufffd"}], "number": None, "n": 1}
    json.dumps(event.body, allow_nan=False, ensure_ascii=False).encode()
    assert recording.notes == ("note \ufffd",) and recording.transferred_to == "sip:\ufffd"
    assert recording.reason == "\ufffd" * WORDS_LIMIT


def test_messages_too_deep_or_too_large_are_noted_and_not_kept() -> None:
    made, _ = leg()
    body: dict[str, object] = {}
    for _ in range(900):
        body = {"in": body}
    made.told(11.0, body)
    made.told(11.0, {"many": [0] * 20_000})
    recording = made.recording("sip", "PCMU/8000", RATE_HZ)
    assert recording.events == ()
    assert recording.notes == (
        "the agent sent a message that is over 32 levels deep",
        "the agent sent a message of over 10000 values",
    )


def test_messages_are_kept_up_to_a_number_of_bytes() -> None:
    made, _ = leg()
    size = 4 << 20
    for number in range(EVENTS_LIMIT_BYTES // size + 5):
        made.told(11.0, {"number": number, "text": "x" * size})
    # A small one has a place yet.
    made.told(12.0, {"type": "joined"})
    recording = made.recording("sip", "PCMU/8000", RATE_HZ)
    assert len(recording.events) == EVENTS_LIMIT_BYTES // size
    assert recording.events[-1].body == {"type": "joined"}
    assert recording.notes == ("the agent sent more messages than are kept",)


def test_a_flood_of_packets_and_of_sound_is_cut_off_and_noted() -> None:
    made, _ = leg()
    made.answered(11.0)
    for number in range(PACKETS_START + 5_000):
        made.packet(12.0, number, number)
    second = np.zeros(RATE_HZ, np.int16)
    for number in range(100):
        made.heard(second, 13.0, number * RATE_HZ)
    made.heard(second, 113.0, 113 * RATE_HZ)
    recording = made.recording("sip", "PCMU/8000", RATE_HZ)
    assert len(recording.packets.at_s) == PACKETS_START + 400
    # What is within its pace again is heard again.
    assert np.sum(np.diff(recording.received.frame_start) == RATE_HZ) >= SOUND_START_S
    assert recording.received.at_s[-1] == 113.0
    assert len(recording.notes) == 2 and all("floods" in note for note in recording.notes)


def test_tiny_frames_are_a_flood_too() -> None:
    made, _ = leg()
    made.answered(11.0)
    sample = np.ones(1, np.int16)
    for number in range(PACKETS_START + 100):
        made.heard(sample, 11.0, number)
    recording = made.recording("sip", "PCMU/8000", RATE_HZ)
    assert len(recording.received.pcm) == PACKETS_START


def test_what_breaks_on_this_side_ends_the_call_and_says_so() -> None:
    made, over = leg()
    made.broke(KeyError("gone"))
    recording = made.recording("sip", "PCMU/8000", RATE_HZ)
    assert (recording.end, recording.reason) == ("failed", "the caller broke: KeyError('gone')")
    assert over == [1]


def test_frames_early_and_late_by_turns_make_no_line_of_silence() -> None:
    made, _ = leg()
    made.answered(10.0)
    frame = np.ones(160, np.int16)
    for index in range(250):
        # Every other one comes almost 5 s late.
        made.heard(frame, 10.0 + index * 0.02 + 4.9 * (index % 2), index * 160)
    received = made.recording("sip", "PCMU/8000", RATE_HZ).received
    assert len(received.pcm) <= (5 + 5) * RATE_HZ + 160
