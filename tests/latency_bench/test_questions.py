import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from latency_bench.questions import (
    PACE,
    QUESTIONS,
    choose,
    from_folder,
    from_wav,
    synthesised,
)
from latency_bench.utterance import SpeechError, write_wav
from models.loading import load_tts
from models.tts.base import AudioChunk

SHARED = Path(__file__).resolve().parents[2] / ".." / "shared" / "speech"


def entry(path: str, **changes: Any) -> dict[str, Any]:
    usual = {
        "path": path,
        "transcript": "a question",
        "duration": 3.0,
        "speech_start": 0.3,
        "speech_end": 2.7,
        "max_pause": 0.1,
        "snr_db": 30.0,
        "category": ["caller-request"],
    }
    return {**usual, **changes}


class Beeper:
    """A voice that says everything as a second of tone."""

    name = "beeper"
    device = "cpu"
    sample_rate_hz = 16_000

    def synthesize(self, text: str, ahead_s: float = 0.0) -> Iterator[AudioChunk]:
        if text:
            t = np.arange(self.sample_rate_hz) / self.sample_rate_hz
            half = (np.cos(2 * np.pi * 200 * t) * 8000).astype(np.int16)
            yield AudioChunk(half[:8_000], 0.0)
            yield AudioChunk(half[8_000:], 0.0)

    def close(self) -> None:
        pass


def test_preferred_sets_take_turns_and_others_follow() -> None:
    names = ["an4/a.wav", "an4/b.wav", "zoo/a.wav", "s2i/b.wav", "s2i/a.wav", "librispeech/a.wav"]
    chosen = [e["path"] for e in choose([entry(name) for name in names], 20)]
    assert chosen == [
        *("s2i/a.wav", "librispeech/a.wav", "an4/a.wav", "s2i/b.wav", "an4/b.wav"),
        "zoo/a.wav",
    ]
    assert [e["path"] for e in choose([entry(n) for n in reversed(names)], 2)] == chosen[:2]


@pytest.mark.parametrize(
    "changes",
    [
        {"transcript": None},
        {"speech_end": 0.9},
        {"speech_end": 6.9},
        {"max_pause": 0.9},
        {"snr_db": 5.0},
        {"category": ["caller-request", "incomplete"]},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_is_no_plain_question_is_left_out(changes: dict[str, Any]) -> None:
    assert choose([entry("s2i/a.wav", **changes)], 20) == []


def test_a_manifest_of_paths_and_transcripts_is_enough(tmp_path: Path) -> None:
    tone = np.concatenate([c.pcm for c in Beeper().synthesize("x")])
    write_wav(tmp_path / "a.wav", tone, 16_000)
    manifest = [{"path": "a.wav", "transcript": "hello there"}]
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    (found,) = from_folder(tmp_path, 20)
    assert found.expected == "hello there" and found.speech_s == pytest.approx(1.0, abs=0.02)


def test_bad_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(SpeechError, match=r"manifest\.json: no such file"):
        from_folder(tmp_path, 20)
    for content, said in (
        ("{", "cannot be read"),
        ('{"path": "a.wav"}', "must be a list"),
        ("[]", "no recording with a transcript"),
        ('[{"path": "a.wav", "transcript": "hello"}]', r"a\.wav: no such file"),
    ):
        (tmp_path / "manifest.json").write_text(content)
        with pytest.raises(SpeechError, match=said):
            from_folder(tmp_path, 20)


def test_synthesised_questions_run_faster_and_higher_and_say_so() -> None:
    (found,) = synthesised(["hello"], Beeper())
    assert found.speech_s == pytest.approx(1 / PACE, abs=0.02)
    spectrum = np.abs(np.fft.rfft(found.pcm.astype(np.float64)))
    peak_hz = float(np.argmax(spectrum)) * 48_000 / len(found.pcm)
    assert peak_hz == pytest.approx(200 * PACE, abs=2)
    assert found.expected == "hello"
    assert "synthesised by beeper, 12% faster and higher" in found.source


def test_words_without_sound_are_refused() -> None:
    with pytest.raises(SpeechError, match="makes no sound of ''"):
        synthesised([""], Beeper())


def test_the_agents_own_voice_asks_a_plain_question() -> None:
    voice = load_tts("piper-en_US-joe-medium", device="cpu")
    try:
        (found,) = synthesised(QUESTIONS[:1], voice)
    finally:
        voice.close()
    assert 0.8 < found.speech_s < 4.0
    assert found.first_voiced < found.last_voiced < len(found.pcm)


def test_there_are_twenty_different_questions() -> None:
    assert len(set(QUESTIONS)) == 20


def test_one_recording_has_no_known_words(tmp_path: Path) -> None:
    tone = np.concatenate([c.pcm for c in Beeper().synthesize("x")])
    write_wav(tmp_path / "mine.wav", tone, 16_000)
    assert from_wav(tmp_path / "mine.wav").expected is None


@pytest.mark.skipif(not SHARED.is_dir(), reason="no recorded speech beside the repository")
def test_ends_found_in_recorded_speech_are_those_of_its_manifest() -> None:
    found = from_folder(SHARED, 20)
    assert len(found) == 20 and len({q.source for q in found}) == 20
    known = {e["path"]: e for e in json.loads((SHARED / "manifest.json").read_text())}
    apart_s = []
    for question in found:
        path = Path(question.source).relative_to(SHARED).as_posix()
        apart_s.append(question.last_voiced / 48_000 - known[path]["speech_end"])
    assert abs(np.median(apart_s)) < 0.03 and max(map(abs, apart_s)) < 0.3
