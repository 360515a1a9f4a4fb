"""The endpointing bench: known utterances, engines that are told what to say, what is counted."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.expected_answer import ExpectedAnswer
from agent.turn_settings import TurnSettings
from latency_bench.endpointing.curve import Cutoffs, point
from latency_bench.endpointing.remembered import Remembered
from latency_bench.endpointing.replay import Delays, replay
from latency_bench.endpointing.rules import contenders, fixed_silence, turn_model_alone
from latency_bench.endpointing.trace import Span, Trace, expected, half, traces
from latency_bench.quality.clips import CLIP_HZ, Clip
from latency_bench.quality.line_codecs import NONE
from latency_bench.utterance import SpeechError
from models.stt.base import Transcript, Utterance, always

SETTINGS = TurnSettings()


@dataclass
class Loud:
    """A voice detector that hears a voice in every loud window."""

    name: str = "loud"
    window_samples: int = 512

    def open(self, sample_rate_hz: int) -> "Loud":
        return self

    def speech_probability(self, window: NDArray[np.int16]) -> float:
        return float(np.abs(window.astype(int)).max() > 1000)

    def reset(self) -> None: ...


@dataclass
class BySeconds:
    """A turn model and a recogniser that go by how much of the audio is loud."""

    whole_s: float
    name: str = "by seconds"
    device: str = "cpu"
    asked: list[str] = field(default_factory=list)

    def _whole(self, pcm: NDArray[np.int16]) -> bool:
        return bool((np.abs(pcm.astype(int)) > 1000).sum() >= self.whole_s * CLIP_HZ * 0.8)

    def completion_probability(self, pcm: NDArray[np.int16], sample_rate_hz: int) -> float:
        self.asked.append("turn")
        return 0.97 if self._whole(pcm) else 0.05

    def transcribe(
        self, pcm: NDArray[np.int16], sample_rate_hz: int, *, wanted: Callable[[], bool] = always
    ) -> Transcript:
        self.asked.append("stt")
        text = "Two coffees, please." if self._whole(pcm) else "Two coffees and"
        return Transcript(text, "en", 0.0, 0.0, 1, busy_s=0.1)

    def transcribe_batch(self, utterances: Sequence[Utterance]) -> list[Transcript]:
        return [self.transcribe(*utterance) for utterance in utterances]

    def close(self) -> None: ...


def tone(*spans: tuple[float, float], seconds: float) -> NDArray[np.int16]:
    at_s = np.arange(round(seconds * CLIP_HZ)) / CLIP_HZ
    on = np.zeros(len(at_s), bool)
    for begin, end in spans:
        on |= (at_s >= begin) & (at_s < end)
    # Square: every sample of it is loud.
    pcm: NDArray[np.int16] = (8000 * np.sign(np.sin(2 * np.pi * 301 * at_s)) * on).astype(np.int16)
    return pcm


def paused() -> Clip:
    return Clip("c", "set", "two coffees", tone((0.2, 1.0), (1.6, 2.2), seconds=2.5))


def known(clip: Clip) -> Trace:
    (trace,) = traces([clip], [], NONE)
    return trace


def engines() -> tuple[Remembered, BySeconds]:
    model = BySeconds(1.4)
    return Remembered(Loud(), model, model), model


def test_an_utterances_end_and_its_pauses_are_known() -> None:
    trace = known(paused())
    assert trace.complete and trace.expected is ExpectedAnswer.OPEN
    assert trace.over_s == pytest.approx(2.7, abs=0.02)
    (pause,) = trace.pauses
    assert (pause.begin_s, pause.end_s) == pytest.approx((1.5, 2.1), abs=0.02)


def test_pauses_are_put_in_between_words_and_counted_there_alone() -> None:
    words = tuple((word, at_s, at_s + 0.4) for word, at_s in (("a", 0.2), ("b", 0.6), ("c", 1.6)))
    clip = Clip("c", "set", "a b c", paused().pcm, words=words)
    said, *put_in = traces([clip], [], NONE)
    assert len(said.pauses) == 1 and len(put_in) == 2
    assert {trace.kind for trace in put_in} == {"pause put in"}
    (first,) = put_in[0].pauses
    assert first.end_s - first.begin_s == pytest.approx(0.4, abs=0.03)


def test_what_was_asked_is_read_from_the_recordings_categories() -> None:
    clip = Clip("c", "set", "x", paused().pcm, frozenset({"digits", "phone-number"}))
    assert expected(clip) is ExpectedAnswer.PHONE_NUMBER


def test_words_that_lead_on_keep_the_box_from_cutting_a_pause() -> None:
    trace, (told, _) = known(paused()), engines()
    ours = [contender for contender in contenders(SETTINGS) if contender.name == "this box"][0]
    outcome = replay(trace, told, SETTINGS, ours.rule, Delays())
    assert outcome.cut == (False,) and outcome.elsewhere == 0
    assert outcome.wait_s is not None and 0.1 < outcome.wait_s < 0.45


def test_a_fixed_silence_cuts_what_is_longer_and_asks_no_engine() -> None:
    trace, (told, model) = known(paused()), engines()
    short, long = (TurnSettings(stop_s=seconds) for seconds in (0.3, 0.8))
    assert replay(trace, told, short, fixed_silence, Delays(), asks="nobody").cut == (True,)
    patient = replay(trace, told, long, fixed_silence, Delays(), asks="nobody")
    assert patient.cut == (False,)
    assert patient.wait_s == pytest.approx(0.8, abs=0.05)
    assert model.asked == []


def test_the_turn_model_alone_is_not_told_the_words() -> None:
    trace, (told, model) = known(paused()), engines()
    outcome = replay(trace, told, SETTINGS, turn_model_alone, Delays(), asks="turn model")
    assert outcome.cut == (False,) and set(model.asked) == {"turn"}


def test_an_engine_is_asked_once_for_the_same_audio(tmp_path: Path) -> None:
    trace, (told, model) = known(paused()), engines()
    for patience in (0.5, 1.0, 1.0):
        replay(trace, told, TurnSettings(patience=patience), turn_model_alone, Delays())
    asked = len(model.asked)
    told.write(tmp_path / "kept.json")
    again, fresh = engines()
    again.read(tmp_path / "kept.json")
    replay(trace, again, SETTINGS, turn_model_alone, Delays())
    assert asked > 0 and fresh.asked == [] and again.asked == 0


def test_a_cache_that_is_none_is_told_of(tmp_path: Path) -> None:
    told, _ = engines()
    told.read(tmp_path / "not there yet.json")
    (tmp_path / "kept.json").write_text("[]")
    with pytest.raises(SpeechError, match=r"kept\.json.*remove it"):
        told.read(tmp_path / "kept.json")


def test_a_point_counts_utterances_and_pauses_apart() -> None:
    trace = known(paused())
    cut = Trace("i", "s", "cut", ExpectedAnswer.OPEN, trace.pcm, CLIP_HZ, 2.0, (Span(1.0, 1.3),))
    told, _ = engines()
    slow = replay(trace, told, TurnSettings(stop_s=0.8), fixed_silence, Delays(), asks="nobody")
    fast = replay(trace, told, TurnSettings(stop_s=0.3), fixed_silence, Delays(), asks="nobody")
    broken = replay(cut, told, TurnSettings(stop_s=0.3), fixed_silence, Delays(), asks="nobody")
    found = point([slow, fast, broken])
    assert (found.utterances, found.utterances_cut, found.missed) == (2, 1, 0)
    assert found.own == Cutoffs(2, 1) and found.own.rate == 0.5
    assert found.put_in.rate is None and found.broken_off.pauses == 1
    assert found.p50_ms == pytest.approx(550, abs=60) and found.long_waits == 0
    assert found.as_json()["false_cutoffs"]["own"]["cut"] == 1
    assert point([]).p50_ms is None


def test_speakers_stay_in_their_half() -> None:
    halves = [half(f"speaker {number}") for number in range(60)]
    assert halves == [half(f"speaker {number}") for number in range(60)]
    assert 15 < sum(halves) < 45
