"""The ear as a call uses it: audio in, decisions of both kinds out, with a told voice detector."""

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.barge_in import BargedIn, OverlapBegan, OverlapEnded, Why, WordsWanted
from agent.ear import OVERLAP_PRE_ROLL_S, Ear
from agent.overlapped_turn import Heard
from agent.quiet_fall import FellQuiet
from agent.turn_taking import (
    PauseBegan,
    SpeechDropped,
    SpeechStarted,
    TurnEnded,
    TurnSettings,
)

RATE_HZ = 8000
WINDOW_S = 0.032


class LoudIsVoiced:
    window_samples = 256

    def speech_probability(self, window: NDArray[np.int16]) -> float:
        return float(np.abs(window.astype(int)).max() > 1000)

    def reset(self) -> None: ...


class Line:
    """A caller's audio, window by window."""

    def __init__(self) -> None:
        self.ear = Ear(LoudIsVoiced(), RATE_HZ, TurnSettings())
        self.at_s = 0.0

    def hears(self, seconds: float, amplitude: int, agent_busy: bool) -> list[Heard]:
        found: list[Heard] = []
        for _ in range(round(seconds / WINDOW_S)):
            self.at_s += WINDOW_S
            self.ear.feed(np.full(256, amplitude, np.int16).tobytes())
            while (heard := self.ear.step(self.at_s, agent_busy)) is not None:
                found += heard
        return found

    def voice(self, seconds: float, agent_busy: bool = True) -> list[Heard]:
        return self.hears(seconds, 5000, agent_busy)

    def silence(self, seconds: float, agent_busy: bool = True) -> list[Heard]:
        return self.hears(seconds, 100, agent_busy)


def kinds(heard: list[Heard]) -> list[type]:
    return [type(decision) for decision in heard]


def test_a_turn_to_a_silent_agent_holds_nothing() -> None:
    line = Line()
    heard = line.voice(1.0, agent_busy=False) + line.silence(2.0, agent_busy=False)
    # The voice's fall, at which words are decoded early, is never after the pause.
    assert kinds(heard)[:3] == [SpeechStarted, FellQuiet, PauseBegan]
    assert kinds(heard)[-1] is TurnEnded
    assert line.ear.fall is None


def test_a_fall_lasts_until_the_next_sound_and_is_none_over_the_agent() -> None:
    line = Line()
    line.voice(1.0, agent_busy=False)
    heard = line.silence(0.1, agent_busy=False)
    assert [d.fall for d in heard if isinstance(d, FellQuiet)] == [line.ear.fall] == [1]
    line.voice(0.1, agent_busy=False)
    assert line.ear.fall is None
    over_agent = Line()
    assert FellQuiet not in kinds(over_agent.voice(1.0) + over_agent.silence(0.5))


def test_a_word_over_the_agent_interrupts_and_then_is_a_turn() -> None:
    line = Line()
    assert {OverlapBegan, SpeechStarted} <= set(kinds(line.voice(0.32)))
    heard = line.silence(0.128)
    assert {PauseBegan, WordsWanted} <= set(kinds(heard))
    pause = next(d.pause for d in heard if isinstance(d, PauseBegan))
    assert kinds(line.ear.overlap_words(1, "Stop.", line.at_s)) == [BargedIn]
    line.ear.judge(pause, 0.99, line.at_s)
    line.ear.words(pause, "Stop.", line.at_s)
    assert kinds(line.silence(2.0, agent_busy=False))[-1] is TurnEnded


def test_what_an_overlap_wants_decoded_is_the_overlap() -> None:
    line = Line()
    line.silence(2.0)
    line.voice(0.32)
    line.silence(0.128)
    pcm = line.ear.overlap_audio
    assert len(pcm) / RATE_HZ == pytest.approx(OVERLAP_PRE_ROLL_S + 0.45, abs=0.05)
    voiced = np.flatnonzero(np.abs(pcm.astype(int)) > 1000)
    assert voiced[0] / RATE_HZ == pytest.approx(OVERLAP_PRE_ROLL_S, abs=0.05)


def test_a_backchannel_is_no_turn_and_the_next_words_do_not_begin_with_it() -> None:
    line = Line()
    line.voice(0.32)
    heard = line.silence(0.128)
    pause = next(d.pause for d in heard if isinstance(d, PauseBegan))
    assert line.ear.overlap_words(1, "Mm-hmm.", line.at_s) == [OverlapEnded(1, Why.BACKCHANNEL)]
    line.ear.words(pause, "Mm-hmm.", line.at_s)
    heard = line.silence(3.0)
    assert TurnEnded not in kinds(heard) and SpeechDropped in kinds(heard)
    line.voice(0.5)
    assert np.count_nonzero(np.abs(line.ear.utterance.astype(int)) > 1000) / RATE_HZ < 0.6


def test_yes_in_the_agents_last_words_answers_it() -> None:
    line = Line()
    line.voice(0.32)
    heard = line.silence(0.128)
    pause = next(d.pause for d in heard if isinstance(d, PauseBegan))
    line.ear.overlap_words(1, "Yes.", line.at_s)
    line.ear.judge(pause, 0.99, line.at_s)
    line.ear.words(pause, "Yes.", line.at_s)
    heard = line.silence(0.3) + line.silence(2.0, agent_busy=False)
    assert [d.pause for d in heard if isinstance(d, TurnEnded)] == [pause]


def test_restarting_forgets_an_overlap() -> None:
    line = Line()
    line.voice(0.32)
    line.ear.restart()
    assert line.ear.overlap_words(1, "Stop.", line.at_s) == []
    assert not line.ear.speaking and not len(line.ear.utterance)


def test_the_agents_own_voice_is_nobodys_turn() -> None:
    line, draw = Line(), np.random.default_rng(1)
    syllables = np.repeat(draw.choice([0.0, 1.0], 120, p=[0.3, 0.7]), 800)
    agent = (draw.standard_normal(len(syllables)) * 6000 * syllables).clip(-32768, 32767)
    found: list[Heard] = []
    for first in range(0, len(agent) - 255, 256):
        line.at_s += WINDOW_S
        line.ear.played(agent[first : first + 256].astype(np.int16).tobytes(), line.at_s)
        late = agent[first - 1024 : first - 768] if first >= 1024 else np.zeros(256)
        line.ear.feed((late * 0.25).astype(np.int16).tobytes())
        while (heard := line.ear.step(line.at_s, True)) is not None:
            found += heard
    assert BargedIn not in kinds(found) and kinds(found).count(OverlapBegan) <= 1
