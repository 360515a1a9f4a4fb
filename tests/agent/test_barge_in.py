"""Overlaps are driven window by window, with a clock of their own."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.barge_in import (
    BargedIn,
    BargeIn,
    BargeInSettings,
    OverlapBegan,
    OverlapDecision,
    OverlapEnded,
    Why,
    WordsWanted,
)

WINDOW_S = 0.032
SETTINGS = BargeInSettings()


class Room:
    """What comes from a caller while the agent speaks; collects the decisions."""

    def __init__(self) -> None:
        self.barge_in = BargeIn(SETTINGS, WINDOW_S)
        self.at_s = 0.0

    def hear(
        self, seconds: float, probability: float, agent_busy: bool = True
    ) -> list[OverlapDecision]:
        found: list[OverlapDecision] = []
        for _ in range(round(seconds / WINDOW_S)):
            self.at_s += WINDOW_S
            found += self.barge_in.hear(probability, self.at_s, agent_busy)
        return found

    def speak(self, seconds: float) -> list[OverlapDecision]:
        return self.hear(seconds, 0.95)

    def pause(self, seconds: float) -> list[OverlapDecision]:
        return self.hear(seconds, 0.02)

    def says(self, overlap: int, text: str) -> list[OverlapDecision]:
        return self.barge_in.words(overlap, text, self.at_s)


def kinds(decisions: list[OverlapDecision]) -> list[type]:
    return [type(d) for d in decisions]


def test_a_sure_voice_holds_the_agent_after_two_windows_and_an_unsure_one_after_four() -> None:
    room = Room()
    began = room.hear(10 * WINDOW_S, 0.95)[0]
    assert isinstance(began, OverlapBegan) and began.onset_s == pytest.approx(0.0)
    assert [kinds(Room().hear(n * WINDOW_S, 0.95)) for n in (1, 2)] == [[], [OverlapBegan]]
    assert [kinds(Room().hear(n * WINDOW_S, 0.65)) for n in (3, 4)] == [[], [OverlapBegan]]


def test_nothing_holds_an_agent_that_is_silent() -> None:
    assert Room().hear(3.0, 0.95, agent_busy=False) == []


def test_a_cough_ends_without_asking() -> None:
    room = Room()
    room.speak(4 * WINDOW_S)
    ended = room.pause(0.5)
    assert kinds(ended) == [OverlapEnded]
    assert isinstance(ended[0], OverlapEnded) and ended[0].why is Why.SHORT


def test_a_short_word_is_asked_for_at_its_end_and_interrupts() -> None:
    room = Room()
    room.speak(0.256)
    assert kinds(room.pause(0.2)) == [WordsWanted]
    assert kinds(room.says(1, "Stop.")) == [BargedIn]
    # Said once; until the answer is gone nothing more is to decide.
    assert room.speak(1.0) == [] and room.says(1, "Stop.") == []


@pytest.mark.parametrize(
    ("text", "why"), [("Mm-hmm.", Why.BACKCHANNEL), ("", Why.NO_WORDS), (" ", Why.NO_WORDS)]
)
def test_a_backchannel_or_nothing_lets_the_agent_go_on(text: str, why: Why) -> None:
    room = Room()
    room.speak(0.256)
    room.pause(0.16)
    assert room.says(1, text) == [OverlapEnded(1, why)]


def test_a_voice_that_goes_on_interrupts_without_words() -> None:
    room = Room()
    assert kinds(room.speak(0.672)) == [OverlapBegan, WordsWanted]
    assert kinds(room.speak(0.064)) == [BargedIn]


def test_words_in_the_middle_interrupt_and_a_backchannel_in_the_middle_waits() -> None:
    room = Room()
    room.speak(0.416)
    assert kinds(room.says(1, "I don't")) == [BargedIn]
    room = Room()
    room.speak(0.416)
    assert room.says(1, "Mm-hmm.") == []
    # It said more since: asked again, and only that answer counts.
    room.speak(0.128)
    assert kinds(room.pause(0.16)) == [WordsWanted]
    assert kinds(room.says(1, "Mm-hmm.")) == [OverlapEnded]


def test_an_answer_from_before_the_end_does_not_end_it() -> None:
    room = Room()
    room.speak(0.416)
    assert kinds(room.pause(0.16)) == [WordsWanted]
    assert room.says(1, "") == []
    assert kinds(room.says(1, "Wait.")) == [BargedIn]


def test_an_answer_on_all_of_it_that_came_before_the_pause_counts_at_the_pause() -> None:
    room = Room()
    assert kinds(room.speak(0.352))[-1] is WordsWanted
    room.pause(0.064)
    assert room.says(1, "Uh-huh.") == []
    assert kinds(room.pause(0.1)) == [OverlapEnded]


def test_the_agent_is_not_held_for_ever_by_a_slow_recogniser() -> None:
    room = Room()
    room.speak(0.256)
    found = room.pause(2.0)
    assert kinds(found) == [WordsWanted, OverlapEnded]
    assert room.says(1, "Stop.") == []


def test_holds_in_vain_make_the_next_ones_harder_and_are_forgotten() -> None:
    room = Room()

    def needed() -> float:
        at_s = room.at_s
        began = next(i for i in range(100) if OverlapBegan in kinds(room.speak(WINDOW_S)))
        assert room.at_s - at_s == pytest.approx((began + 1) * WINDOW_S)
        room.pause(0.16)
        room.says(room.barge_in.undecided or 0, "")
        room.pause(0.5)
        return (began + 1) * WINDOW_S

    times = [needed() for _ in range(5)]
    assert times[0] == pytest.approx(0.064) and times == sorted(times)
    assert times[-1] == times[-2] > 3 * times[0]
    room.pause(60.0)
    assert needed() == pytest.approx(times[0])


def test_in_a_noisy_room_only_words_interrupt() -> None:
    room = Room()
    for _ in range(2):
        room.speak(0.416)
        room.pause(0.16)
        for _ in range(2):
            room.says(room.barge_in.undecided or 0, "")
        room.pause(0.5)
    found = room.speak(1.3)
    assert BargedIn not in kinds(found) and kinds(found)[-1] is OverlapEnded
    room.pause(0.5)
    room.speak(0.6)
    overlap = room.barge_in.undecided
    assert overlap is not None and kinds(room.says(overlap, "Please stop.")) == [BargedIn]


def test_an_agent_that_comes_to_its_end_leaves_nothing_to_hold() -> None:
    room = Room()
    room.speak(0.128)
    assert kinds(room.hear(WINDOW_S, 0.95, agent_busy=False)) == [OverlapEnded]


@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.0, 0.3, 0.7, 0.95]),
            st.integers(1, 40),
            st.booleans(),
            st.sampled_from([None, "", "Mm-hmm.", "Stop."]),
        ),
        max_size=30,
    )
)
@settings(max_examples=60, deadline=None)
def test_every_hold_ends_in_time_and_once(
    heard: list[tuple[float, int, bool, str | None]],
) -> None:
    barge_in, at_s, held_since_s, open_overlap = BargeIn(SETTINGS, WINDOW_S), 0.0, 0.0, None
    for probability, windows, agent_busy, text in heard:
        for number in range(windows):
            at_s += WINDOW_S
            found = barge_in.hear(probability, at_s, agent_busy)
            if text is not None and number == windows // 2 and barge_in.undecided is not None:
                found += barge_in.words(barge_in.undecided, text, at_s)
            for decision in found:
                if isinstance(decision, OverlapBegan):
                    assert open_overlap is None and agent_busy
                    open_overlap, held_since_s = decision.overlap, at_s
                else:
                    assert decision.overlap == open_overlap
                    if isinstance(decision, OverlapEnded | BargedIn):
                        open_overlap = None
            if open_overlap is not None:
                assert at_s - held_since_s <= SETTINGS.hold_s + WINDOW_S


def test_the_answer_after_an_interruption_can_be_interrupted_at_once() -> None:
    """The old answer goes and the new one comes between two windows."""
    settings = BargeInSettings()
    barge = BargeIn(settings, 0.032)

    def voiced(windows: int, since: int) -> list[OverlapDecision]:
        return [
            decision
            for n in range(windows)
            for decision in barge.hear(0.95, (since + n) * 0.032, True)
        ]

    assert any(isinstance(d, BargedIn) for d in voiced(40, 0))
    assert voiced(40, 40) == []
    barge.agent_stopped()
    assert any(isinstance(d, BargedIn) for d in voiced(40, 80))


def test_words_over_an_answer_that_is_gone_do_not_stop_the_next() -> None:
    barge = BargeIn(BargeInSettings(), 0.032)
    began = [d for n in range(6) for d in barge.hear(0.95, n * 0.032, True)]
    overlap = next(d.overlap for d in began if isinstance(d, OverlapBegan))
    barge.agent_stopped()
    assert barge.words(overlap, "Hello? Is anybody there?", 0.5) == []
    assert barge.undecided is None
