"""The turn taker is driven window by window, with a clock of its own."""

import pytest

from agent.turn_taking import (
    BargedIn,
    Decision,
    PauseBegan,
    SpeechDropped,
    SpeechResumed,
    SpeechStarted,
    TurnEnded,
    TurnSettings,
    TurnTaker,
)

WINDOW_S = 0.032


class Caller:
    """Speaks and falls silent by the window; collects the decisions."""

    def __init__(self, settings: TurnSettings | None = None) -> None:
        self.taker = TurnTaker(settings or TurnSettings(), WINDOW_S)
        self.at_s = 0.0
        self.decisions: list[Decision] = []

    def hear(self, seconds: float, probability: float, agent_busy: bool = False) -> list[Decision]:
        """Feeds ``seconds`` of windows; returns what they led to."""
        new: list[Decision] = []
        for _ in range(round(seconds / WINDOW_S)):
            self.at_s += WINDOW_S
            new += self.taker.hear(probability, self.at_s, agent_busy)
        self.decisions += new
        return new

    def speak(self, seconds: float, agent_busy: bool = False) -> list[Decision]:
        return self.hear(seconds, 0.95, agent_busy)

    def pause(self, seconds: float) -> list[Decision]:
        return self.hear(seconds, 0.02)


def kinds(decisions: list[Decision]) -> list[type]:
    return [type(d) for d in decisions]


def test_a_complete_turn_ends_once_judged_and_silent_for_stop_s() -> None:
    caller = Caller()
    assert kinds(caller.speak(1.0)) == [SpeechStarted]
    spoke_until_s = caller.at_s
    began = caller.pause(0.128)
    assert kinds(began) == [PauseBegan]
    assert began[0].speech_end_s == pytest.approx(spoke_until_s)
    # The word comes before the silence is long enough: it is kept until then.
    assert caller.taker.judge(began[0].pause, 0.9, caller.at_s) == []
    ended = caller.pause(0.2)
    assert kinds(ended) == [TurnEnded]
    assert ended[0].speech_end_s == pytest.approx(spoke_until_s)
    assert ended[0].at_s - spoke_until_s == pytest.approx(0.2, abs=WINDOW_S)
    assert not caller.taker.speaking


def test_a_word_that_comes_late_ends_the_turn_at_once() -> None:
    caller = Caller()
    caller.speak(1.0)
    pause = caller.pause(0.4)[0].pause
    assert kinds(caller.taker.judge(pause, 0.9, caller.at_s)) == [TurnEnded]


def test_an_incomplete_turn_waits_for_max_wait_s() -> None:
    caller = Caller()
    caller.speak(1.0)
    pause = caller.pause(0.128)[0].pause
    caller.taker.judge(pause, 0.1, caller.at_s)
    assert caller.pause(1.3) == []
    assert kinds(caller.pause(0.2)) == [TurnEnded]


def test_a_turn_model_that_never_answers_cannot_hold_the_turn() -> None:
    caller = Caller()
    caller.speak(1.0)
    ended = caller.pause(2.0)[-1]
    assert isinstance(ended, TurnEnded)
    assert ended.complete_probability is None


def test_speech_that_goes_on_voids_the_pause_and_its_verdict() -> None:
    caller = Caller()
    caller.speak(1.0)
    first = caller.pause(0.128)[0].pause
    assert kinds(caller.speak(0.5)) == [SpeechResumed]
    assert caller.taker.judge(first, 0.99, caller.at_s) == []
    second = caller.pause(0.3)[0].pause
    assert second != first
    assert caller.taker.judge(first, 0.99, caller.at_s) == []
    assert kinds(caller.taker.judge(second, 0.99, caller.at_s)) == [TurnEnded]


def test_a_dip_shorter_than_a_pause_is_not_one() -> None:
    caller = Caller()
    caller.speak(0.5)
    assert caller.pause(0.064) == []
    assert caller.speak(0.5) == []


def test_a_click_is_no_speech() -> None:
    caller = Caller()
    assert caller.speak(0.064) == []
    assert caller.pause(2.0) == []


def test_a_cough_is_dropped() -> None:
    caller = Caller(TurnSettings(min_speech_s=0.25))
    caller.speak(0.16)
    assert kinds(caller.pause(2.0)) == [PauseBegan, SpeechDropped]
    assert not caller.taker.speaking


def test_noise_just_under_the_threshold_is_never_speech() -> None:
    caller = Caller()
    assert caller.hear(60.0, 0.59) == []


def test_hysteresis_carries_a_soft_word() -> None:
    caller = Caller()
    caller.speak(0.5)
    assert caller.hear(1.0, 0.45) == []
    assert caller.taker.speaking


def test_barge_in_needs_its_time_and_comes_once() -> None:
    caller = Caller(TurnSettings(barge_in_s=0.25))
    assert kinds(caller.speak(0.2, agent_busy=True)) == [SpeechStarted]
    assert kinds(caller.speak(0.1, agent_busy=True)) == [BargedIn]
    assert caller.speak(1.0, agent_busy=True) == []


def test_no_barge_in_when_the_agent_is_quiet() -> None:
    caller = Caller()
    assert BargedIn not in kinds(caller.speak(2.0))


def test_a_turn_that_never_pauses_is_cut() -> None:
    caller = Caller(TurnSettings(max_turn_s=5.0))
    decisions = caller.speak(11.0)
    assert kinds(decisions).count(TurnEnded) == 2
    for began, ended in zip(decisions, decisions[1:], strict=False):
        if isinstance(ended, TurnEnded):
            assert isinstance(began, PauseBegan)
            assert began.pause == ended.pause


def test_every_pause_has_a_name_of_its_own() -> None:
    caller = Caller()
    for _ in range(5):
        caller.speak(0.5)
        caller.pause(2.0)
    pauses = [d.pause for d in caller.decisions if isinstance(d, PauseBegan)]
    assert len(pauses) == len(set(pauses)) == 5
