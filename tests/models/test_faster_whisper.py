"""The parts of the recogniser that need no model."""

import numpy as np
import pytest

from models.stt.faster_whisper import split_at_quiet
from models.stt.gates import is_speech, repeats_itself


@pytest.mark.parametrize(
    "text",
    [
        "no no no no",
        "Yes please, yes please, yes please",
        "enter five four enter five four",
        "I would like to book a table I would like to book a",
        "one chyyyyyyy",
    ],
)
def test_runaways_are_seen(text: str) -> None:
    assert repeats_itself(text)


@pytest.mark.parametrize(
    "text",
    ["", "no no no", "hold on hold fast hold out", "my number is five five five one two one two"],
)
def test_speech_is_left_alone(text: str) -> None:
    assert not repeats_itself(text)


@pytest.mark.parametrize(
    ("text", "no_speech", "log_probability", "said"),
    [
        ("you", 0.988, -0.81, False),
        ("I'm gonna go to the left.", 0.919, -1.88, False),
        ("political", 0.65, -2.1, False),
        ("Thank you.", 0.873, -0.79, False),
        ("Thank you.", 0.1, -0.3, True),
        ("ah ah ah ah ah", 0.569, -0.54, False),
        ("AHHHHHHHHHHHHHHHHH", 0.76, -1.15, False),
        ("West Coast.", 0.29, -1.73, False),
        ("uh", 0.68, -1.69, False),
        ("one", 0.34, -1.56, True),
        ("no no no no no", 0.1, -0.3, True),
        ("one.", 0.882, -0.76, True),
        ("3", 0.769, -1.23, True),
    ],
)
def test_what_counts_as_said(
    text: str, no_speech: float, log_probability: float, said: bool
) -> None:
    assert is_speech(text, no_speech, log_probability) is said


def test_long_audio_is_cut_where_it_is_quiet() -> None:
    audio = np.full(60 * 16000, 0.5, dtype=np.float32)
    audio[24 * 16000 : 25 * 16000] = 0.0
    pieces = split_at_quiet(audio)
    assert np.array_equal(np.concatenate(pieces), audio)
    assert 24 * 16000 <= pieces[0].size <= 25 * 16000
    assert all(piece.size <= 28 * 16000 for piece in pieces)


def test_short_audio_stays_whole_and_none_gives_nothing() -> None:
    assert [piece.size for piece in split_at_quiet(np.zeros(100, dtype=np.float32))] == [100]
    assert split_at_quiet(np.zeros(0, dtype=np.float32)) == []
