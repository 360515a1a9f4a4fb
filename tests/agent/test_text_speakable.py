"""Written text becomes words and plain punctuation, and stays so."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.text import speakable


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("**Hello** _there_!", "Hello there!"),
        ("# Title\n- one\n- two", "Title one two"),
        ("1. Paris is nice", "Paris is nice"),
        ("`code` and ```py\nx\n```", "code and x"),
        ("See [the docs](http://a.b/c) now.", "See the docs now."),
        ("Go to https://www.example.com/x?y=1.", "Go to example dot com slash x."),
        ("Go to example.org.", "Go to example dot org."),
        ("Mail joe.b@example.com!", "Mail joe dot b at example dot com!"),
        ("Hi 👍🏽 there 😀", "Hi there"),
        ("<b>bold</b> words", "bold words"),
        ("It costs $4.50.", "It costs four dollars and fifty cents."),
        (
            "$1, $0.05, $3 million, $5m",
            "one dollar, five cents, three million dollars, five million dollars",
        ),
        ("€2.01 or £20", "two euros and one cent or twenty pounds"),
        ("$5-$10", "five dollars to ten dollars"),
        ("50% of 3/4", "fifty percent of three quarters"),
        ("1½ cups", "one and one half cups"),
        ("the 21st and 3rd", "the twenty-first and third"),
        ("in 1999 and the 1990s", "in nineteen ninety-nine and the nineteen nineties"),
        ("on 2024-05-17", "on May seventeenth, twenty twenty-four"),
        (
            "at 10:30 a.m. or 10:00 or 17:05",
            "at ten thirty A M or ten o'clock or seventeen oh five",
        ),
        ("Come at 9 p.m. or later.", "Come at nine P M or later."),
        ("Come at 9 p.m. Bye.", "Come at nine P M. Bye."),
        ("call (212) 555-1234", "call two one two, five five five, one two three four"),
        ("call 555-0199", "call five five five, zero one nine nine"),
        ("1,234.5", "one thousand two hundred and thirty-four point five"),
        ("-5°C or 72°F", "minus five degrees Celsius or seventy-two degrees Fahrenheit"),
        ("5 km at 60 km/h, 1 kg", "five kilometers at sixty kilometers per hour, one kilogram"),
        ("5-10 people", "five to ten people"),
        ("2 + 2 = 4", "two plus two equals four"),
        ("2 * 3", "two times three"),
        ("A4, COVID-19, v1.2.3", "A four, COVID nineteen, v one point two point three"),
        ("you & me @ home", "you and me at home"),
        ("either/or", "either slash or"),
        ("agent 007", "agent zero zero seven"),
        ("12345678901", "one two three four five six seven eight nine zero one"),
        ("Fruit, e.g. apples, etc.", "Fruit, for example, apples, et cetera."),
        ("Dr. Smith vs. Mr. Jones", "Doctor Smith versus Mister Jones"),
        ("I live in the U.S.", "I live in the U S."),
        ("Well... maybe... Yes", "Well, maybe. Yes"),
        ("What?! No!!!", "What? No!"),
        ("here - there — now", "here, there, now"),
        ("He said (softly) “it’s well-made”.", "He said, softly, it's well-made."),
        ("| a | b |", "a, b,"),
        ("", ""),
        ("*** --- ???", ""),
    ],
)
def test_says(written: str, said: str) -> None:
    assert speakable(written) == said


_TEXT = st.one_of(
    st.text(max_size=200),
    st.text(alphabet="aZ19.,-'$%/:@#*_()[]<> \n°&+~e", max_size=80),
    st.lists(
        st.sampled_from(
            ["Dr.", "(", "Smith", "etc", ".", "10:30", "$", "4.50", "-", "U.S.", "e.g.", "'",
             "½", "\u200d", "\u0301", "😀", "http://", "x.com", "3rd", "0", "/", "v", "s",
             "No.", "a.m."]
        ),
        max_size=12,
    ).map("".join),
)  # fmt: skip


@settings(deadline=None)
@given(_TEXT)
def test_its_own_output_stays_as_it_is(text: str) -> None:
    once = speakable(text)
    assert speakable(once) == once


@settings(deadline=None)
@given(_TEXT)
def test_holds_letters_and_plain_punctuation_only(text: str) -> None:
    once = speakable(text)
    assert not set(once) & set('0123456789*_#`[](){}<>|@&%$/\\\n\t"')
    assert "  " not in once and once == once.strip()


@pytest.mark.parametrize(
    "unit",
    ["1", "1,111", "1.1", "[", "[](", "<a", "*", "a.", "a@", "http://", "- ", "1:", "$1", "'", ".",
     " ", "(1) ", "U.", "0", "1/2", "\n", "-1", "1 ", "www.", "😀"],
)  # fmt: skip
def test_time_is_linear_in_hostile_text(unit: str) -> None:
    """Sixteen times the text may take some 16 times as long, not 256 times."""

    def took_s(length: int) -> float:
        text = (unit * length)[:length]
        best = float("inf")
        for _ in range(2):
            began = time.process_time()
            speakable(text)
            best = min(best, time.process_time() - began)
        return best

    assert took_s(16_000) < 64 * max(took_s(1_000), 0.001)
