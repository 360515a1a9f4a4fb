"""What an answer on the telephone must be, checked by rules. Pure."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from latency_bench.words import spoken_words

LONGEST_SENTENCES = 3
REPEATED_WORDS = 6
"""So many words in a row that come a second time are a repetition."""
FEWEST_LATIN = 0.95
"""Of all letters; a name may have an accent."""

_MARKUP = re.compile(
    r"\*\*|__|`|^\s{0,3}#{1,6}\s|^\s*[-*+•]\s|^\s*\d{1,2}[.)]\s|!?\[[^\]]*\]\([^)]*\)|</?[a-zA-Z][^>]*>"
    r"|^\s*\|.*\|\s*$|\$\$|\\\(|(?:^|\s)[A-Da-d1-9]\)\s",
    re.MULTILINE,
)
_URL = re.compile(r"https?://|\bwww\.|\b[\w-]+\.(?:com|org|net|io|gov|edu)\b", re.IGNORECASE)
_SENTENCE = re.compile(r"[^.!?]*\w[^.!?]*(?:[.!?]+(?=\s|$|[\"')])|$)|[^.!?]*\w[^.!?]*[.!?]+")
_ABBREVIATION = re.compile(r"\b(?:Mr|Mrs|Ms|Dr|St|e\.g|i\.e|a\.m|p\.m|etc|No)\.", re.IGNORECASE)
_NUMBER_POINT = re.compile(r"(?<=\d)\.(?=\d)")

RULES: Mapping[str, str] = MappingProxyType(
    {
        "answered": "an answer came",
        "short": f"at most {LONGEST_SENTENCES} sentences",
        "plain": "no markup, list, emoji or address",
        "fresh": f"no sentence twice, and no {REPEATED_WORDS} words in a row twice",
        "english": "in English letters",
    }
)
"""The rules that every answer has to meet, with what they say."""


@dataclass(frozen=True, slots=True)
class Checked:
    """One answer and which of ``RULES`` it breaks."""

    question: str
    answer: str
    broken: tuple[str, ...]
    finished: bool
    """It ends as a sentence does; not one of the rules, since the token limit cuts."""
    right: bool | None
    """Whether an expected word is in it; None where none is expected."""

    @property
    def ok(self) -> bool:
        """Whether it meets all rules; being right is apart."""
        return not self.broken


def check(question: str, answer: str, expected: Sequence[str] = ()) -> Checked:
    """``answer`` to ``question`` against all rules; one of ``expected`` should be in it."""
    text = answer.strip()
    broken = []
    if not any(character.isalnum() for character in text):
        broken.append("answered")
    else:
        held = {
            "short": len(sentences(text)) <= LONGEST_SENTENCES,
            "plain": is_plain(text),
            "fresh": not repeats(text),
            "english": is_english(text),
        }
        broken += [rule for rule, holds in held.items() if not holds]
    return Checked(
        question,
        text,
        tuple(broken),
        finished=text[-1:] in tuple(".!?\"')"),
        right=has_any(text, expected) if expected else None,
    )


def sentences(text: str) -> list[str]:
    """The sentences of ``text``; abbreviations and decimal points end none."""
    text = _NUMBER_POINT.sub(" point ", _ABBREVIATION.sub(lambda m: m[0].replace(".", ""), text))
    return [found.strip() for found in _SENTENCE.findall(text) if found.strip()]


def is_plain(text: str) -> bool:
    """Without markup, lists, emoji and addresses of the web."""
    if _MARKUP.search(text) or _URL.search(text):
        return False
    return not any(unicodedata.category(c) in ("So", "Sk", "Cs", "Co") for c in text)


def repeats(text: str) -> bool:
    """Whether it says something twice: a sentence, or ``REPEATED_WORDS`` words in a row."""
    said = [" ".join(spoken_words(sentence)) for sentence in sentences(text)]
    said = [sentence for sentence in said if sentence]
    if len(set(said)) < len(said):
        return True
    words = " ".join(said).split()
    runs = [tuple(words[at : at + REPEATED_WORDS]) for at in range(len(words) - REPEATED_WORDS + 1)]
    return len(set(runs)) < len(runs)


def is_english(text: str) -> bool:
    """Whether its letters are the English ones, but for an accent here and there."""
    letters = [character for character in text if character.isalpha()]
    latin = sum(character.isascii() for character in letters)
    return bool(letters) and latin >= FEWEST_LATIN * len(letters)


def has_any(text: str, expected: Sequence[str]) -> bool:
    """Whether one of ``expected`` (words or phrases) is said in ``text``."""
    said = f" {' '.join(spoken_words(text))} "
    return any(f" {' '.join(spoken_words(phrase))} " in said for phrase in expected)
