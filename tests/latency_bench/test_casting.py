"""What callers say: synthesised words, recordings whole and cut in two, sounds and keys."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from latency_bench.casting import Cast
from latency_bench.scenario import Scenario
from latency_bench.sounds import sound
from latency_bench.utterance import WIRE_RATE_HZ, SpeechError, write_wav
from latency_bench.wire import level_dbfs
from models.tts.base import AudioChunk

SPEECH = Path(__file__).resolve().parents[3] / "shared" / "speech"
HERE = Path("scenario.toml")


def tone(seconds: float, rate_hz: int) -> NDArray[np.int16]:
    at = np.arange(round(seconds * rate_hz)) / rate_hz
    return (8000 * np.sin(2 * np.pi * 300 * at)).astype(np.int16)


class Voice:
    """Says everything as a tone, a tenth of a second a letter."""

    name = "tones"
    sample_rate_hz = 16_000

    def synthesize(self, text: str, ahead_s: float = 0.0) -> Iterator[AudioChunk]:
        yield AudioChunk(tone(0.1 * len(text), self.sample_rate_hz), self.sample_rate_hz)

    def close(self) -> None:
        pass


def cast(**changes: object) -> Cast:
    return Cast(Voice(), **changes)  # type: ignore[arg-type]


def scenario(*steps: dict[str, object], **changes: object) -> Scenario:
    return Scenario.model_validate({"name": "x", "about": "x", "steps": steps, **changes})


def test_words_in_two_pieces_are_one_turn() -> None:
    parts = cast().parts(scenario({"say": ["I want", "a table"], "pause_s": 0.7}), HERE, 0)
    assert [(p.when, p.at_s, p.text) for p in parts] == [
        ("after", 0.0, "I want"),
        ("continues", 0.7, "a table"),
    ]
    assert all(p.owes_answer and p.last > p.first for p in parts)


def test_keys_are_pressed_or_said() -> None:
    step = {"keys": "1", "say": "Sales."}
    (pressed,) = cast().parts(scenario(step), HERE, 0, keys=True)
    (said,) = cast().parts(scenario(step), HERE, 0, keys=False)
    assert (pressed.kind, pressed.keys, said.kind, said.text) == ("keys", "1", "speech", "Sales.")
    (only,) = cast().parts(scenario({"keys": "9"}), HERE, 0, keys=False)
    assert only.kind == "keys"


def test_sounds_silence_and_repeats() -> None:
    made = scenario(
        {"sound": "pink", "seconds": 2, "level_dbfs": -40},
        {"silence_s": 1.5},
        {"say": "Hello", "repeat": 3, "when": "over"},
    )
    noise, silence, *said = cast().parts(made, HERE, 0)
    assert len(noise.pcm) == 2 * WIRE_RATE_HZ and not noise.owes_answer
    assert level_dbfs(noise.pcm) == pytest.approx(-40, abs=0.5)
    assert len(silence.pcm) == 1.5 * WIRE_RATE_HZ and not silence.pcm.any()
    # Only the first of them interrupts; the rest come after the answers.
    assert [part.when for part in said] == ["over", "after", "after"]


@pytest.mark.parametrize("kind", ["white", "pink", "babble", "music"])
def test_sounds_have_their_level_and_are_the_same_for_a_seed(kind: str) -> None:
    made = sound(kind, 3.0, 16_000, -30.0, seed=4)  # type: ignore[arg-type]
    assert level_dbfs(made) == pytest.approx(-30, abs=0.6)
    assert np.array_equal(made, sound(kind, 3.0, 16_000, -30.0, seed=4))  # type: ignore[arg-type]
    assert np.abs(made.astype(np.int32)).max() < 32767


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two recordings: one with the times of its words, one that stops in the middle."""
    write_wav(tmp_path / "whole.wav", tone(3.0, 16_000), 16_000)
    write_wav(tmp_path / "cut.wav", tone(1.0, 16_000), 16_000)
    words = [
        [word, 0.5 * at, 0.5 * at + 0.4]
        for at, word in enumerate("one two six ten red blue".split())
    ]
    entries = [
        {
            "path": "whole.wav",
            "transcript": "one two six ten red blue",
            "words": words,
            "duration": 3.0,
        },
        {"path": "cut.wav", "transcript": "one two", "category": ["incomplete"], "duration": 1.0},
    ]
    (tmp_path / "manifest.json").write_text(json.dumps(entries))
    return tmp_path


def test_recordings_take_the_place_of_words_where_they_may(folder: Path) -> None:
    made = scenario(
        {"say": "Where is it?"},
        {"say": ["I want", "a table"], "role": "order"},
        {"say": "Send it to the", "role": "incomplete"},
        {"say": "Sales.", "role": "exact"},
    )
    crew = cast(folder=folder)
    whole, first, second, cut, exact = crew.parts(made, HERE, 0)
    assert whole.text == "one two six ten red blue"
    assert (first.text, second.text) == ("one two six ten", "red blue")
    # The cut lies between "ten", which ends at 1.9 s, and "red", which begins at 2.0.
    assert len(first.pcm) / WIRE_RATE_HZ == pytest.approx(1.95, abs=0.01)
    assert cut.text == "one two" and exact.text == "Sales."
    assert "recordings of" in crew.speech and "synthesised" in crew.speech


def test_a_folder_without_a_question_is_named(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("[]")
    with pytest.raises(SpeechError, match="no recording that can be a question"):
        cast(folder=tmp_path).parts(scenario({"say": "Hello?"}), HERE, 0)


def test_real_recordings_are_cast() -> None:
    if not SPEECH.is_dir():
        pytest.skip("no recorded speech beside the repository")
    made = scenario(
        {"say": "Where is it?"},
        {"say": ["I want", "a table"], "role": "order"},
        {"say": "Send it to the", "role": "incomplete"},
        {"sound": "babble", "seconds": 5},
    )
    crew = cast(folder=SPEECH)
    for call in range(6):
        parts = crew.parts(made, HERE, call)
        assert [part.kind for part in parts] == ["speech"] * 4 + ["noise"]
        assert all(part.last > part.first for part in parts)
    assert "synthesised" not in crew.speech
