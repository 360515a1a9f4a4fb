"""Clauses and thoughts: cut anywhere, the same words come out."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.text import Clauses, ThoughtFilter


def cut(text: str, size: int = 1, **limits: int) -> list[str]:
    clauses = Clauses(**limits)
    given_up: list[str] = []
    for at in range(0, len(text), size):
        given_up += clauses.feed(text[at : at + size])
    return given_up + clauses.flush()


def words(text: str) -> str:
    return re.sub(r"[\W_]+", "", text)


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize(
    ("text", "clauses"),
    [
        ("Hello there. How are you? Fine!", ["Hello there.", "How are you?", "Fine!"]),
        ("Dr. Smith is in. Ask him.", ["Dr. Smith is in.", "Ask him."]),
        ("It costs $4.50 today. Yes.", ["It costs $4.50 today.", "Yes."]),
        ("Pi is 3.14 or so. Yes.", ["Pi is 3.14 or so.", "Yes."]),
        ("The U.S. economy grew. Yes.", ["The U.S. economy grew.", "Yes."]),
        ("Bring fruit, e.g. apples. Yes.", ["Bring fruit, e.g. apples.", "Yes."]),
        ("Open at 10 a.m. today. Yes.", ["Open at 10 a.m. today.", "Yes."]),
        ("Open at 10 a.m. We close late.", ["Open at 10 a.m.", "We close late."]),
        ("So. Well... maybe not. Yes.", ["So.", "Well... maybe not.", "Yes."]),
        ("So. Well... Maybe not. Yes.", ["So.", "Well...", "Maybe not.", "Yes."]),
        ("So. See example.com today. Yes.", ["So.", "See example.com today.", "Yes."]),
        ("Mail me@example.com today. Yes.", ["Mail me@example.com today.", "Yes."]),
        ("We (Dr. Smith etc.) are in.", ["We (Dr. Smith etc.) are in."]),
        ("John F. Kennedy did. So did I. Yes.", ["John F. Kennedy did.", "So did I.", "Yes."]),
        ("1. Paris is big. 2. So is Rome.", ["1. Paris is big.", "2. So is Rome."]),
        ('He said "Yes." Then he left.', ['He said "Yes."', "Then he left."]),
        ("One line\nand another", ["One line", "and another"]),
        ("Now 1,000 people came at 10:30 today.", ["Now 1,000 people came at 10:30 today."]),
        ("... !! \n\n ?", []),
        ("", []),
    ],
)
def test_cuts_at_sentence_ends_only(text: str, clauses: list[str], size: int) -> None:
    assert cut(text, size) == clauses


def test_first_clause_is_cut_early_and_later_ones_late() -> None:
    text = "Yes, I can help, of course, and I am glad to do that for you today, my dear friend."
    assert cut(text) == [
        "Yes,",
        "I can help, of course, and I am glad to do that for you today,",
        "my dear friend.",
    ]


@pytest.mark.parametrize(
    ("text", "clause"),
    [
        ("Sure,", "Sure,"),
        ("Of course,", "Of course,"),
        ("I\u2019m sorry,", "I\u2019m sorry,"),
        ("We are open today,", "We are open today,"),
        ("It is done.", "It is done."),
        ("No,", "No,"),
        ("So am I.", "So am I."),
        ("How are you?", "How are you?"),
        ('He said "Yes" to me.', 'He said "Yes" to me.'),
    ],
)
def test_the_first_clause_goes_out_with_its_last_character(text: str, clause: str) -> None:
    clauses = Clauses()
    assert clauses.feed(text[:-1]) == []
    assert clauses.feed(text[-1]) == [clause]


@pytest.mark.parametrize(
    "text",
    ["It costs 4.", "This is Dr.", "At 9 a.m.", "Ask J.", "We sold 1,", "Mail me@example.", "1."]
    + ['He said "Yes.', "Really\u2026", "In Paris,", "Anna,", "x.y."],
)
def test_what_may_go_on_waits_for_the_next_character(text: str) -> None:
    assert Clauses().feed(text) == []


def test_stops_and_quotes_that_come_late_are_not_spoken_again() -> None:
    clauses = Clauses()
    assert clauses.feed("Well then.") == ["Well then."]
    assert clauses.feed(".") + clauses.feed('."') + clauses.feed(" Maybe not. ") == ["Maybe not."]
    clauses = Clauses()
    assert clauses.feed("Well then.") == ["Well then."]
    assert clauses.feed(" .5 litres. ") == [".5 litres."]


def test_a_question_is_given_without_waiting_for_more() -> None:
    assert Clauses().feed("How are you?") == ["How are you?"]


def test_a_later_full_stop_waits_for_one_character() -> None:
    clauses = Clauses()
    assert clauses.feed("Yes. It is done.") == ["Yes."]
    assert clauses.feed(" ") == ["It is done."]


def test_a_new_answer_starts_early_again() -> None:
    clauses = Clauses()
    assert clauses.feed("Let me see now, ") == ["Let me see now,"]
    clauses.flush()
    assert clauses.feed("Let me see now, ") == ["Let me see now,"]


def test_a_run_on_is_cut_at_a_space_within_the_limit() -> None:
    clauses = cut("word " * 200, longest=100)
    assert max(map(len, clauses)) <= 100
    assert set(" ".join(clauses).split()) == {"word"}


_SPEECH = st.lists(
    st.sampled_from(
        ["yes", "No", "Dr.", "3.14", "$4.50", "e.g.", "U.S.", "a.m.", "...", "I.", "ok?", "so!"]
        + [",", ";", " - ", "—", "\n", ".", "x.y", "(", ")", '"', "*", "very long words indeed"]
    ),
    max_size=60,
).map(" ".join)


@settings(deadline=None)
@given(_SPEECH, st.integers(1, 30))
def test_no_word_is_lost_wherever_the_stream_is_cut(text: str, size: int) -> None:
    clauses = cut(text, size)
    assert words("".join(clauses)) == words(text)
    assert all(words(clause) for clause in clauses)


@settings(deadline=None)
@given(_SPEECH, st.integers(2, 30))
def test_cuts_do_not_depend_on_where_the_stream_is_cut(text: str, size: int) -> None:
    assert [words(c) for c in cut(text, size)] == [words(c) for c in cut(text, 1)]


@settings(deadline=None)
@given(st.text(max_size=400), st.integers(1, 50))
def test_any_text_keeps_its_words(text: str, size: int) -> None:
    assert words("".join(cut(text, size, longest=40))) == words(text)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("<think>hm</think>Hello", "Hello"),
        ("<thinking>hm</thinking>Hello", "Hello"),
        ("A <THINK>hm</THINK>B", "A B"),
        ("a < b <thin air> <think", "a < b <thin air> <think"),
        ("Hello <think>never closed", "Hello "),
        ("Hello</think> there", "Hello there"),
        ("<think>a < b </thin </think>yes", "yes"),
        ("", ""),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 5, 100])
def test_thoughts_are_not_spoken(text: str, kept: str, size: int) -> None:
    thoughts = ThoughtFilter()
    pieces = [thoughts.feed(text[at : at + size]) for at in range(0, len(text), size)]
    assert "".join(pieces) + thoughts.flush() == kept


def test_a_thought_that_the_prompt_opened() -> None:
    thoughts = ThoughtFilter(inside=True)
    assert thoughts.feed("hm</think>Hello") + thoughts.flush() == "Hello"


def test_text_is_not_held_back_without_reason() -> None:
    assert ThoughtFilter().feed("Hello <b>") == "Hello <b>"


HOSTILE = ["." * 10, "a.", "- ", "<", "<think>", "x", " ", "?\"'", ", ", "—", "\n", "Dr. ", "…"]


@pytest.mark.parametrize("unit", HOSTILE)
def test_time_is_linear_in_hostile_text(unit: str) -> None:
    """Sixteen times the text may take some 16 times as long, not 256 times."""

    def took_s(length: int) -> float:
        text = (unit * length)[:length]
        best = float("inf")
        for _ in range(2):
            clauses, thoughts = Clauses(), ThoughtFilter()
            began = time.process_time()
            for at in range(0, length, 50):
                clauses.feed(thoughts.feed(text[at : at + 50]))
            clauses.flush()
            best = min(best, time.process_time() - began)
        return best

    assert took_s(16_000) < 64 * max(took_s(1_000), 0.001)
