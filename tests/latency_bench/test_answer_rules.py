"""Each rule on answers that keep it and answers that break it."""

import pytest

from latency_bench.quality.answer_rules import (
    check,
    has_any,
    is_english,
    is_plain,
    repeats,
    sentences,
)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("We open at nine.", 1),
        ("We open at nine. Do you want to book? Yes!", 3),
        ("It is 3.5 km away, near St. Mary's.", 1),
        ("Dr. Smith is in from 9 a.m. to noon.", 1),
        ("Wait... I know it", 2),
        ("No full stop", 1),
        ("?!", 0),
        ("", 0),
    ],
)
def test_sentences_are_counted_as_people_do(text: str, count: int) -> None:
    assert len(sentences(text)) == count


@pytest.mark.parametrize(
    "text",
    [
        "**We** open at nine.",
        "# Hours\nNine to five.",
        "- nine\n- five",
        "1. Boil water.\n2. Add tea.",
        "The stations are: A) London, B) York.",
        "See https://example.com for more.",
        "Look at www.example.org today.",
        "Write to shop.example.com please.",
        "[Hours](http://x) are here.",
        "Sure \N{GRINNING FACE}",
        "`code`",
        "<b>nine</b>",
        "| a | b |",
    ],
)
def test_what_cannot_be_spoken_is_found(text: str) -> None:
    assert not is_plain(text)


@pytest.mark.parametrize(
    "text",
    [
        "We open at 9:30, and it costs $3.50.",
        "That is five times two, minus one.",
        "Call 555-0199 (the front desk).",
        "It's 20 degrees; bring a coat.",
        "I can't say, e.g. for Sundays.",
    ],
)
def test_plain_speech_is_left_alone(text: str) -> None:
    assert is_plain(text)


def test_repetitions() -> None:
    assert repeats("I can help. I can help.")
    assert repeats("We open at nine in the morning and we open at nine in the morning too.")
    assert not repeats("We open at nine. On Sunday we open at ten.")
    assert not repeats("No, no, no, it is fine.")


def test_letters() -> None:
    assert is_english("The café opens at nine in the morning, as it always does.")
    assert not is_english("Мы открываем в девять.")
    assert not is_english("我们九点开门。")
    assert not is_english("42")


def test_expected_words_count_as_whole_words_and_numbers_as_said() -> None:
    assert has_any("It is Paris, of course.", ("Paris",))
    assert not has_any("Parisians live there.", ("Paris",))
    assert has_any("There are 24 hours.", ("twenty four",))
    assert has_any("A week has 7 days.", ("seven",))


def test_an_answer_breaks_the_rules_it_breaks_and_no_others() -> None:
    good = check("Q?", "The capital is Paris.", ("Paris",))
    assert good.ok and good.right and good.finished and good.broken == ()
    long = check("Q?", "One. Two. Three. Four.")
    assert long.broken == ("short",) and long.right is None
    many = check("Q?", "- Привет\n- Привет")
    assert set(many.broken) == {"plain", "english"}
    assert check("Q?", " ... ").broken == ("answered",)
    cut = check("Q?", "We open at nine and", ("ten",))
    assert cut.ok and not cut.finished and cut.right is False
