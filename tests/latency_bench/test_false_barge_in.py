"""What holds a speaking agent back and what silences it: told detectors, then real ones."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from agent.barge_in import Why
from agent.config import Config
from agent.turn_taking import TurnSettings
from latency_bench.quality.clips import CLIP_HZ, Clip, Material, gather
from latency_bench.quality.false_barge_in import (
    Alarms,
    Background,
    Layer,
    agent_speech,
    alarms,
    at_speech_level,
    backgrounds,
    barge,
    behind,
    coughs,
)
from latency_bench.quality.offline_ear import OfflineEar
from latency_bench.quality.over_agent import OverAgent, over_agent
from latency_bench.quality.turns import alarm_tables, barge_summary, barge_table
from latency_bench.sounds import sound
from models.loading import load_stt, load_tts, load_turn, load_vad
from models.stt.base import SpeechRecognizer, Transcript, Utterance, always

RATE_HZ = 8000
SETTINGS = TurnSettings()
QUIET = Layer(np.zeros(RATE_HZ, np.int16))


@dataclass
class VoicedAboveNoise:
    """A voice detector that hears a voice in every loud window."""

    name: str = "loud"
    window_samples: int = 256

    def open(self, sample_rate_hz: int) -> "VoicedAboveNoise":
        return self

    def speech_probability(self, window: NDArray[np.int16]) -> float:
        return float(np.abs(window.astype(int)).max() > 1000)

    def reset(self) -> None: ...


@dataclass
class Writes:
    """A recogniser that always writes the same; a turn model that always doubts."""

    text: str = ""
    name: str = "writes"
    device: str = "cpu"

    def completion_probability(self, pcm: NDArray[np.int16], sample_rate_hz: int) -> float:
        return 0.0

    def transcribe(
        self, pcm: NDArray[np.int16], sample_rate_hz: int, *, wanted: Callable[[], bool] = always
    ) -> Transcript:
        return Transcript(self.text, "en", 0.0, 0.0, 1, busy_s=0.1)

    def transcribe_batch(self, utterances: Sequence[Utterance]) -> list[Transcript]:
        return [self.transcribe(*utterance) for utterance in utterances]

    def close(self) -> None: ...


def beep(*spans: tuple[float, float], seconds: float) -> NDArray[np.int16]:
    at_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    on = np.zeros(len(at_s), bool)
    for begin, end in spans:
        on |= (at_s >= begin) & (at_s < end)
    made: NDArray[np.int16] = np.rint(8000 * np.sin(600 * np.pi * at_s) * on).astype(np.int16)
    return made


def over(text: str, *spans: tuple[float, float]) -> OverAgent:
    pcm = beep(*spans, seconds=5.0)
    return over_agent(pcm, RATE_HZ, VoicedAboveNoise(), SETTINGS, Writes(text))


def told(text: str) -> tuple[OfflineEar, Writes]:
    model = Writes(text)
    return OfflineEar(VoicedAboveNoise(), model, SETTINGS, model), model


def said(pcm: NDArray[np.int16], text: str = "two words") -> Clip:
    return Clip("clip", "set", text, np.repeat(pcm, CLIP_HZ // RATE_HZ))


def test_a_word_holds_the_agent_at_once_and_stops_it_when_understood() -> None:
    found = over("Stop.", (1.0, 1.3))
    assert [o.why for o in found.overlaps] == [None] and found.late_stops_s == ()
    assert found.overlaps[0].held_at_s == pytest.approx(1.08, abs=0.03)
    # Its end, a pause of 0.13 s, and what the recogniser takes.
    assert found.stops_s == pytest.approx([1.57], abs=0.05)


def test_a_backchannel_and_a_sound_without_words_hold_it_for_a_moment() -> None:
    for text, why in (("Mm-hmm.", Why.BACKCHANNEL), ("", Why.NO_WORDS)):
        found = over(text, (1.0, 1.3))
        assert [o.why for o in found.in_vain] == [why] and found.stops_s == []
        decided_s = found.in_vain[0].decided_s
        assert decided_s is not None
        assert decided_s - found.in_vain[0].held_at_s == pytest.approx(0.48, abs=0.06)


def test_a_click_asks_nobody() -> None:
    found = over("Stop.", (1.0, 1.1))
    assert [o.why for o in found.in_vain] == [Why.SHORT] and found.stops_s == []


def test_a_long_voice_stops_it_once() -> None:
    found = over("I want something else", (1.0, 3.0))
    assert len(found.stops_s) == 1 and found.stops_s[0] < 1.6


def test_holds_and_stops_are_counted_by_the_minute() -> None:
    ear, _ = told("")
    loud = beep((1.0, 1.3), seconds=6.0)

    def rate(kind: str, text: str, pcm: NDArray[np.int16], false_alarm: bool = True) -> Alarms:
        background = Background(kind, -20.0, pcm, false_alarm)
        return alarms(background, ear, Writes(text), RATE_HZ)

    found = [
        rate("music", "words of a song", loud),
        rate("pink", "", np.zeros_like(loud)),
        rate("babble", "Mm-hmm.", loud),
        rate("competing", "what was that", loud, False),
    ]
    summary = barge_summary(found, [], [])
    assert summary["false_barge_in_music_per_min"] == pytest.approx(10.0)
    assert summary["false_barge_in_per_min"] == pytest.approx(10 / 3)
    assert summary["false_hold_per_min"] == pytest.approx(10 / 3)
    assert summary["false_held_s_per_min"] == pytest.approx(0.48 * 10 / 3, abs=0.2)
    assert summary["false_barge_in_echo_per_min"] is None
    rows = alarm_tables(found)[0]["rows"]
    assert [row[0] for row in rows] == ["music", "pink", "babble", "competing"]
    assert rows[0][2] == "10.0 / 0.0" and rows[2][2] == "0.0 / 10.0"


def test_a_background_that_stopped_the_agent_before_is_told_apart() -> None:
    ear, model = told("stop that")
    word = said(beep((0.3, 0.9), seconds=1.2))
    quiet = barge(word, "quiet", QUIET, ear, model)
    assert quiet.hold_s is not None and 0.02 < quiet.hold_s < 0.13
    assert quiet.stop_s is not None and 0.4 < quiet.stop_s < 0.6 and not quiet.stopped_before
    music = barge(word, "music", Layer(beep((0.0, 1.0), seconds=1.0)), ear, model)
    assert music.stopped_before
    row = barge_table([quiet, music], [])["rows"][0]
    assert row[:4] == ["words, quiet", 1, 0, "100.0%"]


# -- with the real models


@dataclass(frozen=True)
class Engines:
    ear: OfflineEar
    stt: SpeechRecognizer
    material: Material


@pytest.fixture(scope="module")
def engines() -> Iterator[Engines]:
    # Piper draws at random; its pauses must be the same on every run.
    onnxruntime.set_seed(1)
    models = Config().models
    voice, stt = load_tts(models.tts), load_stt(models.stt)
    material = gather(None, voice, "Hello, how can I help you?", sentences=6)
    voice.close()
    ear = OfflineEar(load_vad(models.vad), load_turn(models.turn), SETTINGS, stt)
    yield Engines(ear, stt, material)
    stt.close()


def test_phrases_stop_the_agent_and_noise_coughs_and_its_echo_do_not(engines: Engines) -> None:
    phrases = [clip for clip in engines.material.barge_ins if len(clip.text.split()) > 2]
    assert len(phrases) == 2
    for phrase in phrases:
        found = barge(phrase, "quiet", QUIET, engines.ear, engines.stt)
        assert found.hold_s is not None and found.hold_s < 0.25, phrase.text
        assert found.stop_s is not None and 0.2 < found.stop_s < 1.0, phrase.text
    for cough in coughs(engines.material)[:3]:
        assert barge(cough, "quiet", QUIET, engines.ear, engines.stt).stop_s is None
    noise = Background("white", -30.0, sound("white", 8.0, RATE_HZ, -30.0))
    assert alarms(noise, engines.ear, engines.stt, RATE_HZ).stops == 0


def test_the_agents_own_echo_neither_stops_nor_hides_a_caller(engines: Engines) -> None:
    layers = behind(engines.material)
    echo = layers["echo at -20 dB"]
    assert echo.played is not None
    ten_s = slice(0, 10 * RATE_HZ)
    for played, stopped in ((echo.played[ten_s], False), (None, True)):
        background = Background("echo", -20.0, echo.pcm[ten_s], played=played)
        found = alarms(background, engines.ear, engines.stt, RATE_HZ)
        # Not told what it said, the box takes it for a caller.
        assert (found.stops + found.holds > 0) is stopped
    phrase = next(c for c in engines.material.barge_ins if c.text.startswith("Hold on"))
    assert barge(phrase, "echo", echo, engines.ear, engines.stt).stop_s is not None


def test_backgrounds_have_the_level_that_they_say(engines: Engines) -> None:
    made = backgrounds(engines.material)
    assert {b.kind for b in made} == {"white", "pink", "babble", "music", "echo"}
    for background in made:
        if background.kind != "echo":
            power = np.mean(np.square(background.pcm / 32768))
            # The telephone's band leaves some of what is wider.
            assert 10 * np.log10(power) == pytest.approx(background.level_db, abs=3.5)
    agent = agent_speech(engines.material, RATE_HZ)
    assert len(agent) / RATE_HZ > 20
    levelled = at_speech_level(engines.material.clips[0].pcm, -26.0)
    assert abs(levelled.astype(int)).max() > 2000
