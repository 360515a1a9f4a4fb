"""Text for speech, out of pieces cut anywhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.llm.spoken_text import SpokenText


def spoken(text: str, cuts: list[int], thinking: bool = False) -> list[str]:
    data = text.encode()
    bounds = [0, *sorted(c for c in cuts if c < len(data)), len(data)]
    stream = SpokenText(thinking)
    pieces = [stream.feed(data[a:b]) for a, b in zip(bounds, bounds[1:], strict=False)]
    return [*pieces, stream.end()]


@given(st.text(alphabet="aé€😀 <>/think", max_size=40), st.lists(st.integers(0, 80), max_size=20))
def test_pieces_join_to_the_whole_wherever_they_are_cut(text: str, cuts: list[int]) -> None:
    pieces = spoken(text, cuts)
    assert "".join(pieces) == "".join(spoken(text, []))
    assert "\ufffd" not in "".join(pieces)


@given(st.text(alphabet="aé€😀 ", max_size=40), st.lists(st.integers(0, 80), max_size=20))
def test_text_without_thoughts_comes_whole(text: str, cuts: list[int]) -> None:
    assert "".join(spoken(text, cuts)) == text.lstrip()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<think>secret</think>\n\nHello.", "Hello."),
        ("<think>\n\n</think>\n\nHello.", "Hello."),
        ("Well, <think>secret</think>yes.", "Well, yes."),
        ("secret never closed", "secret never closed"),
        ("<think>secret never closed", ""),
        ("</think>Hello.", "Hello."),
        ("a < b <thing> c", "a < b <thing> c"),
        ("it ends with <thi", "it ends with <thi"),
        ("", ""),
    ],
)
def test_thoughts_are_left_out(text: str, said: str) -> None:
    assert "".join(spoken(text, [])) == said
    assert "".join(spoken(text, list(range(100)))) == said


def test_a_thought_that_the_prompt_opened_is_left_out() -> None:
    assert "".join(spoken("secret</think> Hello.", [3, 9], thinking=True)) == "Hello."


def test_plain_text_is_not_held_back() -> None:
    stream = SpokenText()
    assert [stream.feed(piece) for piece in (b"Hel", b"lo <", b"3")] == ["Hel", "lo ", "<3"]


def test_bytes_that_are_no_text_are_left_out() -> None:
    stream = SpokenText()
    assert stream.feed(b"a\xffb\xe2\x82") + stream.end() == "ab"
