"""The turn taker is driven window by window, with a clock of its own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.expected_answer import ExpectedAnswer
from agent.turn_taking import (
    JUDGE_AGAIN_S,
    Decision,
    JudgeAgain,
    PauseBegan,
    SpeechDropped,
    SpeechResumed,
    SpeechStarted,
    TurnEnded,
    TurnSettings,
    TurnTaker,
)

WINDOW_S = 0.032
WHOLE = "Where is the station?"
BROKEN_OFF = "I would like a coffee with"


class Caller:
    """Speaks and falls silent by the window; collects the decisions."""

    def __init__(self, settings: TurnSettings | None = None) -> None:
        self.settings = settings or TurnSettings()
        self.taker = TurnTaker(self.settings, WINDOW_S)
        self.at_s = 0.0
        self.decisions: list[Decision] = []

    def hear(self, seconds: float, probability: float) -> list[Decision]:
        """Feeds ``seconds`` of windows; returns what they led to."""
        new: list[Decision] = []
        for _ in range(round(seconds / WINDOW_S)):
            self.at_s += WINDOW_S
            new += self.taker.hear(probability, self.at_s, False)
        self.decisions += new
        return new

    def speak(self, seconds: float) -> list[Decision]:
        return self.hear(seconds, 0.95)

    def pause(self, seconds: float) -> list[Decision]:
        return self.hear(seconds, 0.02)

    def begin_pause(self) -> PauseBegan:
        """Falls silent until a pause begins."""
        (began,) = self.pause(2 * WINDOW_S)
        assert isinstance(began, PauseBegan)
        return began

    def waited_s(self, *, judged: float | None = None, text: str | None = None) -> float:
        """How long a silence with that evidence lasts, after speech, until the turn ends."""
        self.speak(1.0)
        spoke_until_s = self.at_s
        pause = self.begin_pause().pause
        found: list[Decision] = []
        if judged is not None:
            found += self.taker.judge(pause, judged, self.at_s)
        if text is not None:
            found += self.taker.words(pause, text, self.at_s)
        while not found:
            found = [d for d in self.pause(WINDOW_S) if not isinstance(d, JudgeAgain)]
        assert kinds(found) == [TurnEnded]
        return self.at_s - spoke_until_s


def kinds(decisions: list[Decision]) -> list[type]:
    return [type(d) for d in decisions]


def test_a_complete_turn_ends_after_stop_s() -> None:
    caller = Caller()
    assert kinds(caller.speak(1.0)) == [SpeechStarted]
    spoke_until_s = caller.at_s
    began = caller.begin_pause()
    assert began.speech_end_s == pytest.approx(spoke_until_s)
    # The evidence comes before the silence is long enough: it is kept until then.
    assert caller.taker.judge(began.pause, 0.98, caller.at_s) == []
    assert caller.taker.words(began.pause, "Yes.", caller.at_s) == []
    (ended,) = caller.pause(0.128)
    assert isinstance(ended, TurnEnded)
    assert ended.speech_end_s == pytest.approx(spoke_until_s)
    assert ended.complete_probability == 0.98
    assert ended.at_s - spoke_until_s == pytest.approx(caller.settings.stop_s, abs=0.033)
    assert not caller.taker.speaking


@pytest.mark.parametrize("words_first", [True, False])
def test_evidence_that_comes_late_ends_the_turn_at_once(words_first: bool) -> None:
    caller = Caller()
    caller.speak(1.0)
    pause = caller.begin_pause().pause
    assert caller.pause(0.5) == []
    found: list[Decision] = []
    if words_first:
        found += caller.taker.words(pause, WHOLE, caller.at_s)
    found += caller.taker.judge(pause, 0.98, caller.at_s)
    if not words_first:
        found += caller.taker.words(pause, WHOLE, caller.at_s)
    assert kinds(found) == [TurnEnded]


def test_an_open_pause_is_judged_once_more_and_both_words_count() -> None:
    caller = Caller()
    caller.speak(1.0)
    pause = caller.begin_pause().pause
    caller.taker.judge(pause, 0.1, caller.at_s)
    caller.taker.words(pause, WHOLE, caller.at_s)
    asked = caller.pause(0.5)
    assert asked == [JudgeAgain(pause)]
    ended = [*caller.taker.judge(pause, 0.9, caller.at_s), *caller.pause(0.6)]
    assert kinds(ended) == [TurnEnded]
    assert isinstance(ended[0], TurnEnded)
    assert ended[0].complete_probability == pytest.approx(0.5)


def test_a_turn_model_is_not_asked_again_before_it_has_answered() -> None:
    caller = Caller()
    caller.speak(1.0)
    pause = caller.begin_pause().pause
    assert caller.pause(JUDGE_AGAIN_S) == []
    caller.taker.judge(pause, 0.1, caller.at_s)
    assert caller.pause(WINDOW_S) == [JudgeAgain(pause)]


def test_words_that_lead_on_are_waited_for_whatever_the_sound_says() -> None:
    sure = Caller().waited_s(judged=0.98, text=WHOLE)
    assert Caller().waited_s(judged=0.9, text=BROKEN_OFF) > sure + 0.6
    assert Caller().waited_s(judged=0.02, text=BROKEN_OFF) == pytest.approx(
        TurnSettings().max_wait_s, abs=0.07
    )


def test_a_number_that_was_asked_for_is_waited_for_until_it_is_told() -> None:
    def waited_s(expected: ExpectedAnswer, text: str) -> float:
        caller = Caller()
        caller.taker.expect(expected)
        return caller.waited_s(judged=0.7, text=text)

    phone = ExpectedAnswer.PHONE_NUMBER
    assert waited_s(phone, "4 1 2") > waited_s(ExpectedAnswer.OPEN, "4 1 2") + 0.3
    assert waited_s(phone, "412 268 7720") < waited_s(phone, "4 1 2") - 0.3


def test_transcripts_of_a_pause_that_go_on_are_taken_anew() -> None:
    caller = Caller()
    caller.speak(1.0)
    pause = caller.begin_pause().pause
    caller.taker.judge(pause, 0.98, caller.at_s)
    assert caller.taker.words(pause, BROKEN_OFF, caller.at_s) == []
    assert TurnEnded not in kinds(caller.pause(0.3))
    assert kinds(caller.taker.words(pause, WHOLE, caller.at_s)) == [TurnEnded]


def test_engines_that_never_answer_cannot_hold_the_turn() -> None:
    caller = Caller()
    assert caller.waited_s() <= caller.settings.max_wait_s + WINDOW_S


@given(
    judged=st.none() | st.floats(0, 1),
    text=st.none() | st.sampled_from(["", "um", BROKEN_OFF, WHOLE, "Yes.", "4 1 2", "noch was"]),
    expected=st.sampled_from(ExpectedAnswer),
)
def test_no_evidence_keeps_a_caller_waiting_longer_than_max_wait_s(
    judged: float | None, text: str | None, expected: ExpectedAnswer
) -> None:
    caller = Caller()
    caller.taker.expect(expected)
    assert caller.waited_s(judged=judged, text=text) <= caller.settings.max_wait_s + WINDOW_S


def test_speech_that_goes_on_voids_the_pause_and_its_evidence() -> None:
    caller = Caller()
    caller.speak(1.0)
    first = caller.begin_pause().pause
    assert kinds(caller.speak(0.5)) == [SpeechResumed]
    assert caller.taker.judge(first, 0.99, caller.at_s) == []
    assert caller.taker.words(first, "Yes.", caller.at_s) == []
    second = caller.begin_pause().pause
    assert second != first
    assert caller.pause(0.3) == []
    assert caller.taker.judge(first, 0.99, caller.at_s) == []
    assert caller.taker.words(first, "Yes.", caller.at_s) == []
    caller.taker.judge(second, 0.99, caller.at_s)
    assert caller.taker.words(second, "Yes.", caller.at_s) or not caller.taker.speaking


def test_a_dip_shorter_than_a_pause_is_not_one() -> None:
    caller = Caller()
    caller.speak(0.5)
    assert caller.pause(WINDOW_S) == []
    assert caller.speak(0.5) == []


def test_when_a_pause_begins_is_a_setting() -> None:
    caller = Caller(TurnSettings(decode_after_s=0.096))
    caller.speak(0.5)
    assert caller.pause(0.064) == []
    assert kinds(caller.pause(WINDOW_S)) == [PauseBegan]


def test_a_click_is_no_speech() -> None:
    caller = Caller()
    assert caller.speak(0.064) == []
    assert caller.pause(2.0) == []


def test_a_cough_is_dropped_once_no_words_are_found_in_it() -> None:
    caller = Caller()
    caller.speak(0.16)
    pause = caller.begin_pause().pause
    caller.taker.judge(pause, 0.98, caller.at_s)
    assert caller.pause(0.2) == []
    assert kinds(caller.taker.words(pause, "", caller.at_s)) == [SpeechDropped]
    assert not caller.taker.speaking


def test_a_cough_of_which_nobody_says_anything_is_dropped_in_the_end() -> None:
    caller = Caller()
    caller.speak(0.16)
    assert kinds(caller.pause(2.0)) == [PauseBegan, SpeechDropped]


def test_a_very_short_word_is_a_turn() -> None:
    caller = Caller()
    caller.speak(0.16)
    pause = caller.begin_pause().pause
    caller.taker.judge(pause, 0.9, caller.at_s)
    assert kinds(caller.taker.words(pause, "No.", caller.at_s) + caller.pause(0.3)) == [TurnEnded]


def test_noise_just_under_the_threshold_is_never_speech() -> None:
    caller = Caller()
    assert caller.hear(60.0, 0.59) == []


def test_hysteresis_carries_a_soft_word() -> None:
    caller = Caller()
    caller.speak(0.5)
    assert caller.hear(1.0, 0.45) == []
    assert caller.taker.speaking


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
