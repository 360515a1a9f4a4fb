import pytest

from latency_bench.words import overlap, spoken_words, word_error_rate


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Hello, World!", "hello world"),
        ("A table for an hour", "table for hour"),
        ("Room 12", "room twelve"),
        ("555 1234", "five five five one two three four"),
        ("m i t c h e l l", "mitchell"),
        ("It\u2019s what's needed", "it's what's needed"),
        ("I think so", "i think so"),
        ("'quoted'", "quoted"),
        ("", ""),
        ("?!", ""),
    ],
)
def test_words_as_one_would_say_them(text: str, words: str) -> None:
    assert " ".join(spoken_words(text)) == words


def test_error_rate_over_all_pairs() -> None:
    assert word_error_rate(["two small coffees"], ["2 small coffees."]) == 0.0
    rate = word_error_rate(["one two three", "four"], ["one two tree", ""])
    assert rate == pytest.approx(2 / 4)


def test_error_rate_without_expected_words_is_unknown() -> None:
    assert word_error_rate([], []) is None
    assert word_error_rate(["..."], ["hello"]) is None


@pytest.mark.parametrize(
    ("meant", "heard", "share"),
    [
        ("it is ten o'clock", "It is ten o'clock.", 1.0),
        ("one two three four", "one two", 0.5),
        ("one two", "completely different", 0.0),
        ("", "anything", 0.0),
        ("something", "", 0.0),
    ],
)
def test_overlap(meant: str, heard: str, share: float) -> None:
    assert overlap(meant, heard) == pytest.approx(share)
