"""What becomes of a turn over the agent, decision by decision."""

import pytest

from agent.barge_in import BargedIn, OverlapBegan, OverlapDecision, OverlapEnded, Why
from agent.overlapped_turn import ANSWER_S, Heard, OverlappedTurn
from agent.turn_taking import Decision, PauseBegan, SpeechDropped, SpeechStarted, TurnEnded

WINDOW_S = 0.032
PAUSE = PauseBegan(1, 1.0)
ENDED = TurnEnded(1, 1.0, 1.2, 0.9)
BEGAN = OverlapBegan(1, 0.5)
MEANT = BargedIn(1, 0.5)


class Following:
    def __init__(self) -> None:
        self.turn = OverlappedTurn(WINDOW_S)

    def window(
        self,
        overlaps: tuple[OverlapDecision, ...] = (),
        decisions: tuple[Decision, ...] = (),
        *,
        voiced: bool = False,
        agent_busy: bool = True,
    ) -> list[Heard]:
        return self.turn.window(
            list(overlaps), list(decisions), voiced=voiced, agent_busy=agent_busy
        )

    def over_the_agent(self) -> "Following":
        assert self.window((BEGAN,), (SpeechStarted(),), voiced=True) == [BEGAN, SpeechStarted()]
        return self


def test_a_turn_to_a_silent_agent_passes_untouched() -> None:
    for decisions in ((SpeechStarted(),), (PAUSE,), (ENDED,), (SpeechDropped(2),)):
        found = Following().window((), decisions, voiced=True, agent_busy=False)
        assert found == list(decisions)


def test_the_end_waits_for_the_overlap_and_follows_a_barge_in() -> None:
    following = Following().over_the_agent()
    assert following.window((), (PAUSE,)) == [PAUSE]
    assert following.window((), (ENDED,)) == []
    assert following.turn.sift([MEANT], [], True) == [MEANT, ENDED]
    assert following.window(agent_busy=False) == []


def test_a_barge_in_before_the_end_lets_it_pass() -> None:
    following = Following().over_the_agent()
    assert following.window((MEANT,), (PAUSE,)) == [MEANT, PAUSE]
    assert following.window((), (ENDED,), agent_busy=False) == [ENDED]


@pytest.mark.parametrize("why", [Why.NO_WORDS, Why.SHORT])
def test_what_was_no_speech_is_dropped_before_or_after_its_end(why: Why) -> None:
    over = OverlapEnded(1, why)
    before = Following().over_the_agent()
    before.window((over,))
    assert before.window((), (ENDED,)) == [SpeechDropped(1)]
    after = Following().over_the_agent()
    after.window((), (PAUSE, ENDED))
    assert after.turn.sift([over], [], True) == [over, SpeechDropped(1)]


def test_nobody_decodes_a_cough() -> None:
    following = Following().over_the_agent()
    over = OverlapEnded(1, Why.SHORT)
    assert following.window((over,), (PAUSE,)) == [over]
    assert following.window((), (SpeechDropped(1),)) == [SpeechDropped(1)]


def test_a_backchannel_is_dropped_once_the_agent_has_gone_on_for_long_enough() -> None:
    following = Following().over_the_agent()
    following.window((OverlapEnded(1, Why.BACKCHANNEL),), (PAUSE,))
    assert following.window((), (ENDED,)) == []
    windows = 1
    while not (found := following.window()):
        windows += 1
        assert windows < 100
    assert found == [SpeechDropped(1)]
    assert windows * WINDOW_S == pytest.approx(ANSWER_S, abs=2 * WINDOW_S)


def test_yes_at_the_end_of_a_question_is_its_answer() -> None:
    following = Following().over_the_agent()
    following.window((OverlapEnded(1, Why.BACKCHANNEL),), (PAUSE,))
    assert following.window((), (ENDED,)) == []
    assert following.window() == []
    assert following.window(agent_busy=False) == [ENDED]
    assert following.window(agent_busy=False) == []


def test_a_new_voice_takes_the_place_of_a_backchannel() -> None:
    following = Following().over_the_agent()
    following.window((OverlapEnded(1, Why.BACKCHANNEL),), (PAUSE, ENDED))
    second = OverlapBegan(2, 1.9)
    assert following.window((second,), (SpeechStarted(),), voiced=True) == [
        SpeechDropped(1),
        second,
        SpeechStarted(),
    ]
    assert following.window((BargedIn(2, 1.9),), (TurnEnded(2, 3, 3, None),))[-1] == TurnEnded(
        2, 3, 3, None
    )


def test_what_nobody_could_tell_in_time_ends_as_a_turn() -> None:
    late = OverlapEnded(1, Why.UNDECIDED)
    following = Following().over_the_agent()
    following.window((), (PAUSE, ENDED))
    assert following.window((late,)) == [late, ENDED]
    faint = Following()
    assert faint.window((), (SpeechStarted(),), voiced=True) == [SpeechStarted()]
    assert faint.window((), (ENDED,)) == [ENDED]


def test_a_word_too_short_for_a_turn_is_one_where_it_interrupted() -> None:
    following = Following().over_the_agent()
    following.window((), (PAUSE,))
    following.turn.sift([MEANT], [], True)
    found = following.window((), (SpeechDropped(1),), agent_busy=False)
    assert found == [TurnEnded(1, PAUSE.speech_end_s, PAUSE.speech_end_s, None)]


def test_a_caller_who_goes_on_after_the_agent_has_ended_has_a_turn() -> None:
    following = Following().over_the_agent()
    following.window((OverlapEnded(1, Why.NO_WORDS),))
    following.window(voiced=True, agent_busy=False)
    assert following.window((), (ENDED,), agent_busy=False) == [ENDED]
