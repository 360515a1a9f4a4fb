"""The answer's words, and sounds that are no answer yet."""

import numpy as np
import pytest
from constructed_call import RATE_HZ, call
from numpy.typing import NDArray

from latency_bench.figures import TurnFigures
from latency_bench.measures.fillers import is_filler
from latency_bench.measures.measure import measure_call, with_words
from latency_bench.measures.summary import run_report

MS = 1.1


class Listener:
    """Says of a piece of sound what the script has for a piece with so many voiced seconds."""

    def __init__(self, words: dict[float, str]) -> None:
        self._words = words
        self.heard: list[float] = []

    def __call__(self, pcm: NDArray[np.int16], rate_hz: int) -> str:
        assert pcm.dtype == np.int16 and rate_hz == RATE_HZ
        # A tone's own zeros do not count as silence.
        voiced = np.convolve(np.abs(pcm.astype(np.int32)) > 0, np.ones(9), "same") > 0
        seconds = round(float(np.count_nonzero(voiced)) / rate_hz, 1)
        self.heard.append(seconds)
        return f" {self._words[seconds]} "


def listened(agent: list[tuple[float, float]], words: dict[float, str]) -> TurnFigures:
    recording = call([(2, 1)], agent)
    figures = measure_call(recording, call=0, scenario="s", began_s=0)
    return with_words(figures, recording, Listener(words)).turns[0]


def test_a_filler_is_a_first_sound_and_no_answer() -> None:
    words = {0.4: "One moment.", 1.4: "One moment. You have two cats."}
    turn = listened([(3.3, 0.4), (4.2, 1)], words)
    assert turn.filler and turn.recognised == "One moment. You have two cats."
    assert turn.v2v_ms == pytest.approx(300, abs=MS)
    assert turn.first_answer_ms == pytest.approx(1200, abs=MS)


def test_fillers_may_follow_one_another() -> None:
    words = {0.4: "Hmm.", 0.6: "Let me see.", 2.0: "Hmm. Let me see. At noon."}
    turn = listened([(3.3, 0.4), (4.2, 0.6), (6, 1)], words)
    assert turn.filler and turn.first_answer_ms == pytest.approx(3000, abs=MS)


def test_an_answer_is_not_a_filler_nor_is_a_last_word() -> None:
    answer = listened([(3.3, 0.4), (4.2, 1)], {0.4: "At noon.", 1.4: "At noon. Or later."})
    assert not answer.filler and answer.first_answer_ms == answer.v2v_ms
    alone = listened([(3.3, 0.4)], {0.4: "Okay."})
    assert not alone.filler and alone.recognised == "Okay."


@pytest.mark.parametrize("sound", ["", " ...", "Okay."])
def test_typing_and_beeps_before_the_answer_are_none(sound: str) -> None:
    turn = listened([(3.3, 0.4), (4.2, 1)], {0.4: sound, 1.4: f"{sound} At noon."})
    assert turn.filler and turn.first_answer_ms == pytest.approx(1200, abs=MS)


def test_where_nobody_listened_the_first_answer_is_not_known() -> None:
    figures = measure_call(call([(2, 1)], [(3.3, 1)]), call=0, scenario="s", began_s=0)
    assert figures.turns[0].v2v_ms is not None and figures.turns[0].first_answer_ms is None
    assert run_report([figures])["summary"]["first_answer_p50_ms"] is None


def test_a_filler_without_a_pause_after_it_belongs_to_the_answer() -> None:
    turn = listened([(3.3, 0.4), (3.93, 1)], {1.4: "Okay, at noon."})
    assert not turn.filler and turn.first_answer_ms == turn.v2v_ms


def test_a_long_clause_is_heard_once_and_is_no_filler() -> None:
    recording = call([(2, 1)], [(3.3, 3.5), (7.5, 1)])
    listener = Listener({4.5: "a long answer"})
    figures = measure_call(recording, call=0, scenario="s", began_s=0)
    (turn,) = with_words(figures, recording, listener).turns
    assert not turn.filler and listener.heard == [4.5]


def test_nobody_listens_where_nothing_was_said() -> None:
    recording = call([(2, 1)])
    listener = Listener({})
    figures = measure_call(recording, call=0, scenario="s", began_s=0)
    assert with_words(figures, recording, listener) == figures
    assert listener.heard == [] and figures.turns[0].recognised is None


@pytest.mark.parametrize(
    "text",
    [
        "One moment.",
        "Okay, one moment please.",
        "Sure!",
        "Hmm",
        "Um, let me check that for you.",
        "Just a second.",
        "I'll check that now.",
        "Let's see...",
        "All right, so...",
    ],
)
def test_fillers(text: str) -> None:
    assert is_filler(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "...",
        "Yes.",
        "One moment in time.",
        "Sure, it is twelve.",
        "For you.",
        "Twelve",
        "Please",
    ],
)
def test_answers(text: str) -> None:
    assert not is_filler(text)
