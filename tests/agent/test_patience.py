"""More evidence of an end never makes the caller wait longer, and no wait is over the longest."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.ending import Ending, EndingKind, ending
from agent.expected_answer import ExpectedAnswer, expected_answer
from agent.patience import ENDINGS, Evidence, wait_s
from agent.turn_settings import TurnSettings

SETTINGS = TurnSettings()
PROBABILITY = st.floats(0, 1)
MAYBE_PROBABILITY = st.none() | PROBABILITY
ENDING = st.builds(Ending, st.sampled_from(EndingKind), st.integers(0, 12))
EXPECTED = st.sampled_from(ExpectedAnswer)


@given(st.builds(Evidence, MAYBE_PROBABILITY, st.none() | ENDING, EXPECTED), st.floats(0, 10))
def test_every_wait_lies_between_the_shortest_and_the_longest(
    evidence: Evidence, patience: float
) -> None:
    settings = TurnSettings(patience=patience)
    assert settings.stop_s <= wait_s(evidence, settings) <= settings.max_wait_s


@given(PROBABILITY, PROBABILITY, st.none() | ENDING, EXPECTED)
def test_a_surer_turn_model_never_lengthens_the_wait(
    one: float, other: float, ending: Ending | None, expected: ExpectedAnswer
) -> None:
    waits = [wait_s(Evidence(p, ending, expected), SETTINGS) for p in sorted((one, other))]
    assert waits[0] >= waits[1]


@given(MAYBE_PROBABILITY, ENDING, ENDING)
def test_words_that_speak_more_for_an_end_never_lengthen_the_wait(
    probability: float | None, one: Ending, other: Ending
) -> None:
    less, more = sorted((one, other), key=lambda e: ENDINGS[e.kind])
    assert wait_s(Evidence(probability, more), SETTINGS) <= wait_s(
        Evidence(probability, less), SETTINGS
    )


@given(MAYBE_PROBABILITY, EXPECTED, st.integers(0, 12), st.integers(0, 12))
def test_more_of_a_number_never_lengthens_the_wait(
    probability: float | None, expected: ExpectedAnswer, one: int, other: int
) -> None:
    waits = [
        wait_s(Evidence(probability, Ending(EndingKind.NUMBER, count), expected), SETTINGS)
        for count in sorted((one, other))
    ]
    assert waits[0] >= waits[1]


@given(st.none() | ENDING, EXPECTED, st.floats(0.5, 1))
def test_the_turn_models_word_for_an_end_is_better_than_none(
    ending: Ending | None, expected: ExpectedAnswer, probability: float
) -> None:
    assert wait_s(Evidence(probability, ending, expected), SETTINGS) <= wait_s(
        Evidence(None, ending, expected), SETTINGS
    )


@pytest.mark.parametrize(
    ("text", "kind", "symbols"),
    [
        ("", EndingKind.NOTHING, 0),
        ("...", EndingKind.NOTHING, 0),
        ("Yes.", EndingKind.SHORT_ANSWER, 0),
        ("No, thank you.", EndingKind.SHORT_ANSWER, 0),
        ("Where is the station?", EndingKind.QUESTION, 0),
        ("Where are you from?", EndingKind.QUESTION, 0),
        ("I would like a coffee.", EndingKind.SENTENCE, 0),
        ("A table for two at seven.", EndingKind.SENTENCE, 1),
        ("My name is John", EndingKind.OPEN, 0),
        ("I would like a coffee with", EndingKind.LEADS_ON, 0),
        ("Get me an iced mocha and", EndingKind.LEADS_ON, 0),
        ("Give me a.", EndingKind.LEADS_ON, 0),
        ("Give me", EndingKind.LEADS_ON, 0),
        ("I'd like", EndingKind.LEADS_ON, 0),
        ("Um.", EndingKind.LEADS_ON, 0),
        ("I want to...", EndingKind.LEADS_ON, 0),
        ("But she said,", EndingKind.LEADS_ON, 0),
        ("four", EndingKind.NUMBER, 1),
        ("4 1 2", EndingKind.NUMBER, 3),
        ("412, 268,", EndingKind.NUMBER, 6),
        ("My number is 412-268-7720.", EndingKind.NUMBER, 10),
        ("R-U-S-K-I-N", EndingKind.NUMBER, 6),
        ("nineteen twelve", EndingKind.NUMBER, 4),
    ],
)
def test_endings(text: str, kind: EndingKind, symbols: int) -> None:
    assert ending(text) == Ending(kind, symbols)


def test_other_languages_are_read_by_their_punctuation_alone() -> None:
    assert ending("Ich bin in", "de").kind is EndingKind.UNKNOWN
    assert ending("Wo ist der Bahnhof?", "de-DE").kind is EndingKind.QUESTION
    assert ending("Ich möchte...", "de").kind is EndingKind.LEADS_ON
    assert ending("は。", "ja").kind is EndingKind.SENTENCE


@given(st.text(max_size=200), st.sampled_from(["en", "de", "ja"]))
def test_any_text_has_an_ending(text: str, language: str) -> None:
    assert ending(text, language).kind in EndingKind


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", ExpectedAnswer.OPEN),
        ("Hello, this is Offhook. How can I help you?", ExpectedAnswer.OPEN),
        ("Would you like tea or coffee?", ExpectedAnswer.OPEN),
        ("Our phone number is 555 0199.", ExpectedAnswer.OPEN),
        ("What is your phone number?", ExpectedAnswer.PHONE_NUMBER),
        ("Great. What's the best number to reach you?", ExpectedAnswer.PHONE_NUMBER),
        ("Is this your phone number?", ExpectedAnswer.YES_NO),
        ("What is your order number?", ExpectedAnswer.NUMBER),
        ("What is your date of birth?", ExpectedAnswer.NUMBER),
        ("Could you spell your last name?", ExpectedAnswer.SPELLING),
        ("Please spell that for me.", ExpectedAnswer.SPELLING),
        ("Can you tell me your address?", ExpectedAnswer.ADDRESS),
        ("May I have your email?", ExpectedAnswer.ADDRESS),
        ("You said two coffees, right?", ExpectedAnswer.YES_NO),
        ("Is there anything else I can help you with?", ExpectedAnswer.YES_NO),
    ],
)
def test_what_the_agent_asked_for(text: str, kind: ExpectedAnswer) -> None:
    assert expected_answer(text) is kind


@given(st.text(max_size=300))
def test_any_text_asks_for_something(text: str) -> None:
    assert expected_answer(text) in ExpectedAnswer
