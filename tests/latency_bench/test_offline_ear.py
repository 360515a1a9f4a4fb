"""The box's ear on simulated time: with detectors that are told what to say, then real ones."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from agent.config import Config
from agent.turn_taking import TurnSettings
from latency_bench.quality.clips import CLIP_HZ, Clip, Material, gather
from latency_bench.quality.degrade import room_tone
from latency_bench.quality.endpointing import (
    Case,
    Endpoint,
    boundary_s,
    cases,
    judge,
    judge_all,
    longest_pause_s,
    whole,
)
from latency_bench.quality.offline_ear import OfflineEar
from latency_bench.quality.turns import end_summary, end_table
from latency_bench.quality.word_quality import heard_by_ear
from latency_bench.utterance import read_wav
from models.loading import load_stt, load_tts, load_turn, load_vad
from models.stt.base import SpeechRecognizer, Transcript, Utterance, always

SPEECH = Path(__file__).resolve().parents[2].parent / "shared" / "speech"
RATE_HZ = 8000


@dataclass
class LoudIsVoice:
    """A voice detector that hears a voice in every loud window."""

    name: str = "loud"
    window_samples: int = 256

    def open(self, sample_rate_hz: int) -> "LoudIsVoice":
        return self

    def speech_probability(self, window: NDArray[np.int16]) -> float:
        return float(np.abs(window.astype(int)).max() > 1000)

    def reset(self) -> None: ...


@dataclass
class Says:
    """A turn model, and a recogniser, that always say the same."""

    probability: float = 1.0
    text: str = ""
    name: str = "says"
    device: str = "cpu"
    asked: int = 0

    def completion_probability(self, pcm: NDArray[np.int16], sample_rate_hz: int) -> float:
        self.asked += 1
        return self.probability

    def transcribe(
        self, pcm: NDArray[np.int16], sample_rate_hz: int, *, wanted: Callable[[], bool] = always
    ) -> Transcript:
        return Transcript(self.text, "en", 0.0, 0.0, 1, busy_s=0.1)

    def transcribe_batch(self, utterances: Sequence[Utterance]) -> list[Transcript]:
        return [self.transcribe(*utterance) for utterance in utterances]

    def close(self) -> None: ...


def tone(*spans: tuple[float, float], seconds: float) -> NDArray[np.int16]:
    at_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    on = np.zeros(len(at_s), bool)
    for begin, end in spans:
        on |= (at_s >= begin) & (at_s < end)
    return np.rint(8000 * np.sin(2 * np.pi * 300 * at_s) * on).astype(np.int16)


def told_ear(probability: float, text: str = "Yes.") -> tuple[OfflineEar, Says]:
    model = Says(probability, text)
    return OfflineEar(LoudIsVoice(), model, TurnSettings(), model), model


def clip_of(pcm: NDArray[np.int16], text: str = "two words") -> Clip:
    return Clip("clip", "set", text, np.repeat(pcm, CLIP_HZ // RATE_HZ))


def test_a_complete_turn_ends_after_stop_s() -> None:
    ear, model = told_ear(0.9)
    followed = ear.follow(tone((0.5, 1.5), seconds=4.0), RATE_HZ)
    assert [e.at_s for e in followed.ended] == pytest.approx([1.72], abs=0.05)
    assert followed.ended[0].judged and model.asked == 1 and not followed.open
    # From half a second before the voice was noticed, which took 0.1 s, to the pause's beginning.
    assert len(followed.ended[0].pcm) / RATE_HZ == pytest.approx(1.5, abs=0.07)


def test_an_incomplete_one_is_waited_for() -> None:
    ear, _ = told_ear(0.02, "I would like a coffee with")
    followed = ear.follow(tone((0.5, 1.5), seconds=4.0), RATE_HZ)
    assert [e.at_s for e in followed.ended] == pytest.approx([2.9], abs=0.06)
    assert not followed.ended[0].judged


def test_a_short_pause_asks_nobody_and_a_word_that_comes_too_late_is_void() -> None:
    ear, model = told_ear(0.9)
    followed = ear.follow(tone((0.5, 1.5), (1.58, 2.5), seconds=4.0), RATE_HZ)
    assert len(followed.ended) == 1 and model.asked == 1


def test_a_turn_that_ends_in_a_pause_is_a_false_end() -> None:
    ear, _ = told_ear(0.9)
    pcm = tone((0.5, 1.5), (2.1, 3.0), seconds=6.0)
    found = judge(Case(clip_of(pcm), "pause inside"), pcm, RATE_HZ, ear)
    assert found.false_ends == 1
    assert found.wait_s == pytest.approx(0.22, abs=0.05)


def test_what_is_too_short_for_speech_and_no_word_is_missed() -> None:
    ear, _ = told_ear(0.9, "")
    pcm = tone((0.5, 0.62), seconds=4.0)
    found = judge(Case(clip_of(pcm), "complete"), pcm, RATE_HZ, ear)
    assert found.wait_s is None and found.false_ends == 0
    assert ear.follow(pcm, RATE_HZ).dropped == 1
    a_word, _ = told_ear(0.9, "No.")
    assert judge(Case(clip_of(pcm), "complete"), pcm, RATE_HZ, a_word).wait_s is not None


def test_boundaries_pauses_and_ends_of_recordings() -> None:
    paused = clip_of(tone((0.5, 1.0), (1.5, 2.0), seconds=2.5))
    assert longest_pause_s(paused) == pytest.approx(0.5, abs=0.02)
    assert boundary_s(paused) == pytest.approx(1.25, abs=0.25)
    assert whole(paused) and not whole(clip_of(tone((0.0, 1.0), seconds=1.0)))
    timed = Clip(
        "c", "s", "a b c", paused.pcm, words=(("a", 0.5, 1), ("b", 1.1, 1.3), ("c", 1.5, 2))
    )
    assert boundary_s(timed) == pytest.approx(1.4)
    assert boundary_s(clip_of(tone((0.5, 1.0), seconds=2.0), "one")) is None
    flowing = clip_of(tone((0.5, 1.5), seconds=2.0))
    kinds = [(case.kind, case.pause_s) for case in cases([paused, flowing], [flowing])]
    assert kinds == [
        ("pause inside", None),
        ("complete", None),
        ("pause put in", 0.4),
        ("pause put in", 0.8),
        ("pause put in", 1.2),
        ("incomplete", None),
    ]


def test_rates_of_turns_are_counted_by_kind() -> None:
    clip = clip_of(tone((0.5, 1.0), seconds=2.0))
    found = [
        Endpoint(Case(clip, "complete"), 0, 0.3, True),
        Endpoint(Case(clip, "complete"), 1, 0.5, True),
        Endpoint(Case(clip, "complete"), 0, None),
        Endpoint(Case(clip, "pause put in", 0.4), 1, 0.3),
        Endpoint(Case(clip, "pause inside"), 0, 0.3),
        Endpoint(Case(clip, "incomplete"), 0, 1.2),
    ]
    summary = end_summary(found)
    assert summary["false_end_rate"] == 0.5
    assert summary["false_end_complete_rate"] == pytest.approx(1 / 3)
    assert summary["false_end_incomplete_1000ms_rate"] == 0.0
    assert summary["false_end_incomplete_1500ms_rate"] == 1.0
    assert summary["end_missed_rate"] == pytest.approx(1 / 3)
    assert summary["end_wait_p50_ms"] == pytest.approx(400)
    assert [row[0] for row in end_table(found)["rows"]] == [
        "complete",
        "pause put in, 0.4 s",
        "pause inside",
        "incomplete",
    ]


# -- with the real models


@dataclass(frozen=True)
class Real:
    ear: OfflineEar
    stt: SpeechRecognizer
    material: Material


@pytest.fixture(scope="module")
def real() -> Iterator[Real]:
    # Piper draws at random; its pauses must be the same on every run.
    onnxruntime.set_seed(1)
    models = Config().models
    voice, stt = load_tts(models.tts), load_stt(models.stt)
    material = gather(None, voice, "Hello, how can I help you?", sentences=6, barge_in=False)
    voice.close()
    settings = TurnSettings(**Config().turn.model_dump())
    ear = OfflineEar(load_vad(models.vad), load_turn(models.turn), settings, stt)
    yield Real(ear, stt, material)
    stt.close()


def test_synthesised_questions_are_ended_in_time(real: Real) -> None:
    asked = [case for case in cases(real.material.clips[:6], []) if case.kind == "complete"]
    assert len(asked) >= 4
    found = list(judge_all(asked, real.ear))
    waits = [e.wait_s for e in found if e.wait_s is not None]
    assert len(waits) == len(found)
    assert 0.1 < float(np.median(waits)) < 0.6
    assert sum(e.false_ends > 0 for e in found) <= 1
    assert found == list(judge_all(asked, real.ear))


def test_words_of_all_turns_are_put_together(real: Real) -> None:
    clip = real.material.clips[0]
    pcm = np.concatenate([clip.pcm, room_tone(clip.pcm, CLIP_HZ, 2.0), clip.pcm])
    assert heard_by_ear(pcm, CLIP_HZ, real.stt, real.ear).lower().count("train") == 2


def test_recorded_orders_that_break_off_are_waited_for_longer_than_whole_ones(real: Real) -> None:
    if not SPEECH.is_dir():
        pytest.skip("real recordings are not beside this checkout (../shared/speech)")
    entries = json.loads((SPEECH / "manifest.json").read_text())

    def clips(folder: str) -> list[Clip]:
        found = []
        for entry in [e for e in entries if e["path"].startswith(f"{folder}/")][:5]:
            pcm, rate_hz = read_wav(SPEECH / entry["path"])
            assert rate_hz == CLIP_HZ
            found.append(Clip(entry["path"], folder, entry["transcript"], pcm))
        return found

    complete = [Case(clip, "complete") for clip in clips("s2i")]
    broken_off = [Case(clip, "incomplete") for clip in clips("s2i_incomplete")]
    waits = [
        float(np.median([e.wait_s for e in judge_all(asked, real.ear) if e.wait_s is not None]))
        for asked in (complete, broken_off)
    ]
    assert waits[0] < 0.6 < waits[1]
