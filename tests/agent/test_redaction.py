"""Numbers taken out of what is kept: written, spoken, pressed and logged."""

import json
import logging
import re
from collections.abc import Iterator
from itertools import cycle

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from num2words import num2words

from agent.logs import JsonFormatter, LineFormatter, redact_logs
from agent.menu import said_with_keys
from agent.redaction import CARD, DIGITS, KEY, PHONE, Redacted, Redaction

BOTH = Redaction(["cards", "phones"])


@pytest.mark.parametrize(
    "text",
    [
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "4111.1111.1111.1111",
        "4111111111111111",
        "4-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1",
        "4,111,111,111,111,111",
        "3782 822463 10005",
        "four one one one one one one one one one one one one one one one",
        "Four one one one, um, one one one one... uh one one one one. One one one one",
        "four triple one double one double one double one double one triple one one",
        "forty one eleven eleven eleven eleven eleven eleven eleven",
        "٤١١١ ١١١١ ١١١١ ١١١١",
    ],
)
def test_a_card_number_goes_whole(text: str) -> None:
    said = f"My card is {text}, please."
    assert BOTH.text(said) == f"My card is {CARD}, please."
    assert Redaction(["phones"]).text("4111111111111111") == "4111111111111111"
    # A digit was misheard: nothing says any more that it is a card's.
    assert BOTH.text("4111111111111112") == "4111111111111112"


@pytest.mark.parametrize(
    "text",
    [
        "+1 555 123 4567",
        "+15551234567",
        "(555) 234-5678",
        "555-234-5678",
        "1.800.555.1234",
        "5552345678",
        "555-1234",
        "020 7946 0958",
        "0044 20 7946 0958",
        "01.23.45.67.89",
        "22 33 44 55",
        "five five five one two three four",
        "five five five, twelve thirty-four",
        "one eight hundred five five five one two one two",
        "double five five one two three four",
        "plus four nine three oh one two three four five six",
    ],
)
def test_a_telephone_number_goes_whole(text: str) -> None:
    assert BOTH.text(f"Call {text} today.") == f"Call {PHONE} today."
    assert Redaction(["cards"]).text(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "two dogs, three cats and one of each",
        "I want 10, 20, 30 and 40 of them",
        "in nineteen ninety nine or twenty twenty two",
        "one hundred and twenty three thousand four hundred and fifty six",
        "2026-11-22 17:58:23 from 127.0.0.1:5060",
        "2026-11-22T17:58:23.123456",
        "$1,234,567.89 and 0.12345678901234",
        "call a12345678901: began, call 123456789012: ended",
        "550e8400-e29b-41d4-a716-446655440000",
        "RTP ports 10000-20000, version 1.2.3",
    ],
)
def test_what_is_no_such_number_stays(text: str) -> None:
    assert BOTH.text(text) == text


@pytest.mark.parametrize(
    "text", ["4111111111111111", "4111 1111 1111 1111", "4,111,111,111,111,111"]
)
def test_a_card_number_written_as_a_sum_goes_too(text: str) -> None:
    assert Redaction(["cards"]).text(f"It is ${text}, yes.") == f"It is ${CARD}, yes."


def test_a_card_said_in_the_middle_of_other_digits_leaves_no_rest() -> None:
    """Rows of digits run on: whatever window may be the card, all of it goes."""
    for before in range(200):
        text = f"{before:03d} 4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 {before % 97:02d}"
        kept = "".join(c for c in BOTH.text(text) if c.isdigit())
        assert len(kept) <= 5 and "1111" not in kept.removeprefix(f"{before:03d}"), text


def test_a_number_said_in_pieces_goes_where_all_digits_go() -> None:
    pieces = ["four one one one", "1111", "yes, 11 11", "one one one one."]
    assert [BOTH.text(piece) for piece in pieces] == pieces
    taken = [Redaction(["cards", "digits"]).text(piece) for piece in pieces]
    assert taken == [DIGITS, DIGITS, f"yes, {DIGITS}", f"{DIGITS}."]
    assert Redaction(["digits"]).text("a table for four at 8") == "a table for four at 8"


@pytest.mark.parametrize("kind", ["cards", "phones", "digits"])
def test_rows_of_keys_go_since_they_are_parts_of_numbers_or_secrets(kind: Redacted) -> None:
    redaction = Redaction([kind])
    assert redaction.text(said_with_keys("1234")) == said_with_keys("").replace("  ", f" {DIGITS} ")
    assert redaction.text(said_with_keys("12*4#")) == redaction.text(said_with_keys("1234"))
    assert redaction.text(said_with_keys("123")) == said_with_keys("123")


@st.composite
def spoken_cards(draw: st.DrawFn) -> str:
    """A right card number as somebody may say it, or a recogniser may write it."""
    body = "4" + draw(st.text("0123456789", min_size=11, max_size=17))
    total = sum(
        d if at % 2 else d * 2 - 9 * (d > 4)
        for at, d in enumerate(int(digit) for digit in reversed(body))
    )
    digits = body + str(-total % 10)
    parts, at = [], 0
    while at < len(digits):
        style = draw(st.sampled_from(["digit", "word", "group", "two", "oh"]))
        taken = digits[at : at + (4 if style == "group" else 2 if style == "two" else 1)]
        at += len(taken)
        if style == "two" and taken[0] == "1" and len(taken) == 2:
            # "Twenty four" may be 24 or 20 4, which nobody can tell.
            parts.append(num2words(int(taken)))
        elif style == "word" or (style == "oh" and taken != "0"):
            parts.append(" ".join(num2words(int(digit)) for digit in taken))
        else:
            parts.append("oh" if style == "oh" else taken)
    gaps = cycle(draw(st.lists(st.sampled_from([" ", ", ", "-", " um ", "... "]), min_size=1)))
    return "".join(part + next(gaps) for part in parts).rstrip(" ,-.um") + " that is all"


@settings(max_examples=100, deadline=None)
@given(spoken_cards())
def test_however_a_card_is_said_it_goes(said: str) -> None:
    # What reads as a date is taken for one.
    assume(not re.search(r"(?<!\d)\d{4}-\d\d-\d\d(?!\d)", said))
    # A decimal point is no gap, and is not said between digits.
    taken = BOTH.text(f"It is {said}")
    assert taken.startswith(f"It is {CARD}") and taken.endswith("that is all"), taken
    assert BOTH.text(taken) == taken


@settings(max_examples=150, deadline=None)
@given(st.text())
def test_any_text_is_taken_and_none_is_changed_unasked(text: str) -> None:
    assert Redaction().text(text) == text
    taken = Redaction(["cards", "phones", "digits"]).text(text)
    assert Redaction(["cards", "phones", "digits"]).text(taken) == taken


def test_events_keep_their_shape() -> None:
    detail = {"target": "sip:+15551234567@a.example", "parts": [{"n": 1}, "4111111111111111"]}
    assert BOTH.event(detail) == {
        "target": f"sip:{PHONE}@a.example",
        "parts": [{"n": 1}, CARD],
    }
    pressed = [BOTH.event({"who": "caller", "key": key})["key"] for key in "4#*A"]
    assert pressed == [KEY, "#", "*", "A"]
    assert Redaction().event({"key": "4"}) == {"key": "4"}


@pytest.fixture
def root_handler() -> Iterator[logging.Handler]:
    handler = logging.StreamHandler()
    logging.root.addHandler(handler)
    yield handler
    logging.root.removeHandler(handler)


@pytest.mark.parametrize("formatter", [JsonFormatter, LineFormatter])
def test_logs_are_without_numbers_once_they_are_told(
    root_handler: logging.Handler, formatter: type[JsonFormatter | LineFormatter]
) -> None:
    root_handler.setFormatter(formatter())
    record = logging.makeLogRecord(
        {
            "name": "agent.phone",
            "msg": "call from %s refused",
            "args": ("sip:+15551234567@192.0.2.1",),
            "call_id": "123456789012",
            "heard": "it is 4111 1111 1111 1111",
            "usage": {"bytes_in": 5552345678},
        }
    )
    try:
        raise ValueError("+15551234567 is not allowed")
    except ValueError as error:
        record.exc_info = (ValueError, error, error.__traceback__)
    assert "+15551234567" in root_handler.format(record)
    redact_logs(["cards", "phones"])
    line = root_handler.format(record)
    assert "5551234567" not in line and "4111" not in line
    assert line.count(PHONE) == 3 and CARD in line
    assert "123456789012" in line and "5552345678" in line and "192.0.2.1" in line
    if formatter is JsonFormatter:
        assert json.loads(line)["usage"] == {"bytes_in": 5552345678}
