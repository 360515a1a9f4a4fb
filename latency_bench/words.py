"""How alike two texts are in their words. Pure."""

import re
from collections.abc import Sequence
from difflib import SequenceMatcher

import jiwer
from num2words import num2words

_NUMBER = re.compile(r"\d+")
_NOT_WORD = re.compile(r"[^a-z' ]+")


def spoken_words(text: str) -> list[str]:
    """``text`` as the words one would say, ready to be compared.

    Lower case, no punctuation, digits as words one by one, spelled letters joined
    (``c u e`` is ``cue``), without ``a`` and ``an``, which recognisers and transcripts
    treat freely.
    """
    text = _NUMBER.sub(lambda found: " " + _said_digits(found[0]) + " ", text.lower())
    words = _NOT_WORD.sub(" ", text.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")).split()
    joined: list[str] = []
    letters = ""
    for word in [*words, ""]:
        if len(word) == 1 and word not in "'":
            letters += word
            continue
        if letters and letters not in ("a", "an"):
            joined.append(letters)
        letters = ""
        if word.strip("'") not in ("", "an"):
            joined.append(word.strip("'"))
    return joined


def word_error_rate(expected: Sequence[str], heard: Sequence[str]) -> float | None:
    """Word errors over all pairs, as a share of the expected words; None without any."""
    pairs = [
        (" ".join(spoken_words(want)), " ".join(spoken_words(got)))
        for want, got in zip(expected, heard, strict=True)
    ]
    pairs = [(want, got) for want, got in pairs if want]
    if not pairs:
        return None
    return float(jiwer.wer([want for want, _ in pairs], [got for _, got in pairs]))


def overlap(meant: str, heard: str) -> float:
    """The share of the words of ``meant`` that ``heard`` has, in order; 0 without words."""
    want, got = spoken_words(meant), spoken_words(heard)
    if not want:
        return 0.0
    matcher = SequenceMatcher(a=want, b=got, autojunk=False)
    return sum(block.size for block in matcher.get_matching_blocks()) / len(want)


def _said_digits(digits: str) -> str:
    """Up to two digits as a number, longer ones one by one, as callers say them."""
    if len(digits) <= 2:
        return str(num2words(int(digits))).replace("-", " ")
    return " ".join(str(num2words(int(digit))) for digit in digits)
