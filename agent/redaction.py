"""Card and telephone numbers taken out of texts, written or spoken in English. Pure.

A text is read as rows of digits: "4111 1111", "four one one one" and "double five" are rows
alike. Of a row, what may be a card's number (13 to 19 digits with a right check digit, ISO/IEC
7812-1) or a telephone's goes as a whole, up to the words that it was said in. Dates, times,
decimals, network addresses and names of calls are no rows.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

Redacted = Literal["cards", "phones", "digits"]
"""``digits``: any row of four or more, such as a part of a number said in pieces."""

CARD = "[card number]"
PHONE = "[phone number]"
DIGITS = "[digits]"
KEY = "[key]"
"""A key of the telephone, which may be one of a card's number."""

CARD_DIGITS = range(13, 20)
PHONE_DIGITS = range(7, 16)
"""An international number has 15 at most (E.164)."""
ROW_DIGITS = 4
MOST_PIECES = 64
"""Looked at together: a longer row is several."""

_UNITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_TEENS = (
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SAID: dict[str, str] = {
    **{word: str(value) for value, word in enumerate(_UNITS)},
    **{word: str(value) for value, word in enumerate(_TEENS, 10)},
    **{word: str(value * 10) for value, word in enumerate(_TENS, 2)},
    **{
        f"{tens}{unit}": str(value * 10 + ones)
        for value, tens in enumerate(_TENS, 2)
        for ones, unit in enumerate(_UNITS[1:], 1)
    },
    "oh": "0",
    "o": "0",
    "nought": "0",
    "nil": "0",
}
_TIMES = {"double": 2, "triple": 3, "treble": 3}


def _any_of(words: Collection[str]) -> str:
    return "|".join(sorted(words, key=len, reverse=True))


_ONES = _any_of(_UNITS[1:])
_SCANNER = re.compile(
    r"(?P<opaque>"
    # A UUID, an address with its port, a date with its time, a time, a decimal, a sum of money.
    r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"
    r"|(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.]*\d)(?::\d+)?"
    r"|(?<!\w)\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])"
    r"(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?)?(?![\w-])"
    r"|(?<!\w)\d{1,2}:\d\d(?::\d\d(?:[.,]\d+)?)?(?!\w)"
    r"|(?<![\w.])\d+\.\d+(?![\w.]*\d)"
    # So many digits are no sum.
    r"|[$£€]\s?(?!\d(?:[\s,.-]?\d){12})\d[\d,.]*"
    r")"
    r"|(?P<times>\b(?:double|triple|treble)\b)"
    rf"|(?P<tens>\b(?:{_any_of(_TENS)})[\s-](?:{_ONES})\b)"
    rf"|(?P<hundred>\b(?:{_ONES})[\s-]hundred\b(?!\s+(?:thousand|million|billion)\b))"
    rf"|(?P<said>\b(?:{_any_of(_SAID)})\b)"
    r"|(?P<plus>\+|\bplus\b)"
    # Part of a word, such as a call's name, is no number.
    r"|(?P<digits>(?<!\w)\d+(?!\w))",
    re.IGNORECASE,
)
_GAP = re.compile(
    r"(?:[\s\-\N{EN DASH}\N{EM DASH}\N{NON-BREAKING HYPHEN}.,()/\N{HORIZONTAL ELLIPSIS}]"
    r"|\b(?:um+|uh+|er+m?|dash|hyphen|then)\b){0,12}",
    re.IGNORECASE,
)
"""What may stand between two pieces of a row."""
_PRESSED = re.compile(rf"(?<=\bI pressed )[\dA-D*#](?: [\dA-D*#]){{{ROW_DIGITS - 1},}}(?= on my\b)")
"""A row of keys (`agent.menu.said_with_keys`): a number, a part of one, or a secret."""
_LIST = re.compile(r"\s*,\s*")


@dataclass(frozen=True, slots=True)
class _Piece:
    """One or more digits as they stand in the text."""

    digits: str
    start: int
    end: int
    spoken: bool = False
    plus: bool = False
    """Whether an international number begins here."""
    listed: bool = False
    """Whether nothing but a comma parts it from the piece before."""


class Redaction:
    """Takes what it is told to out of texts."""

    def __init__(self, kinds: Collection[Redacted] = ()) -> None:
        self._kinds = frozenset(kinds)

    def __bool__(self) -> bool:
        return bool(self._kinds)

    def text(self, text: str) -> str:
        """``text`` without those numbers, each replaced by its name in brackets."""
        if not self._kinds or not text:
            return text
        parts, at = [], 0
        for start, end, name in self._found(text):
            parts += [text[at:start], name]
            at = end
        return _PRESSED.sub(DIGITS, "".join([*parts, text[at:]]))

    def value(self, value: Any) -> Any:
        """JSON, with `text` done to every string in it; keys and numbers stay.

        Of what is no JSON its text is taken.
        """
        if not self._kinds or value is None or isinstance(value, (bool, int, float)):
            return value
        if isinstance(value, Mapping):
            return {key: self.value(below) for key, below in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.value(below) for below in value]
        return self.text(str(value))

    def event(self, detail: Mapping[str, Any]) -> dict[str, Any]:
        """What is kept of an event: as `value`, and a digit that was pressed is not told."""
        kept = dict(self.value(detail))
        if self._kinds and str(kept.get("key", "")).isdecimal():
            kept["key"] = KEY
        return kept

    def _found(self, text: str) -> Iterator[tuple[int, int, str]]:
        """Where each number begins and ends, and what it is."""
        for row in _rows(text):
            for name, same in groupby(zip(self._names(row), row, strict=True), lambda one: one[0]):
                pieces = [piece for _, piece in same]
                start, end = pieces[0].start, pieces[-1].end
                if name:
                    opened = text[start - 1 : start] == "(" and ")" in text[start:end]
                    yield start - opened, end, name

    def _names(self, row: list[_Piece]) -> list[str]:
        """What each piece is a part of; empty: of nothing."""
        names = [""] * len(row)
        if "cards" in self._kinds:
            # All that may be one: which of several is not known, and no rest of it may stay.
            for first in range(len(row)):
                for last, digits in _from(row, first, CARD_DIGITS):
                    if _is_card(digits):
                        names[first : last + 1] = [CARD] * (last + 1 - first)
        for kind, name, found in (
            ("phones", PHONE, _phone_end),
            ("digits", DIGITS, _digits_end),
        ):
            first, free = 0, _free(names)
            while kind in self._kinds and first < len(row):
                end = found(row[first : first + min(free[first], MOST_PIECES)])
                names[first : first + end] = [name] * end
                first += end or 1
        return names


def _rows(text: str) -> Iterator[list[_Piece]]:
    """Pieces that stand together."""
    row: list[_Piece] = []
    end = 0
    times, plus, begins = 1, False, 0
    for found in _SCANNER.finditer(text):
        gap = text[end : found.start()]
        if found.lastgroup == "opaque" or (end and not _GAP.fullmatch(gap)):
            if row:
                yield row
            row, times, plus = [], 1, False
        end = found.end()
        word = found[0].lower()
        match found.lastgroup:
            case "times":
                begins = found.start()
                times = _TIMES[word]
            case "plus":
                if row:
                    yield row
                row, plus, begins = [], True, found.start()
            case "opaque":
                continue
            case _:
                start = begins if times > 1 or plus else found.start()
                digits = _digits_of(word) * times
                spoken = not word[0].isdecimal()
                listed = bool(row and _LIST.fullmatch(gap))
                row.append(_Piece(digits, start, end, spoken, plus, listed))
                times, plus = 1, False
    if row:
        yield row


def _digits_of(word: str) -> str:
    if word[0].isdecimal():
        # Digits of any script.
        return "".join(str(int(digit)) for digit in word)
    parts = re.split(r"[\s-]", word)
    if parts[-1] == "hundred":
        return f"{_SAID[parts[0]]}00"
    return _SAID["".join(parts)]


def _is_card(digits: str) -> bool:
    """Whether the check digit is right (Luhn)."""
    if digits[0] == "0":
        return False
    doubled = (int(digit) * 2 for digit in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(d - 9 * (d > 9) for d in doubled)) % 10 == 0


def _free(names: list[str]) -> list[int]:
    """How many pieces from each on are a part of nothing yet."""
    counts = [0]
    for name in reversed(names):
        counts.append(0 if name else counts[-1] + 1)
    return counts[:0:-1]


def _phone_end(row: list[_Piece]) -> int:
    """How many pieces the longest telephone number has that the row begins with; 0: none."""
    ends = (last + 1 for last, _ in _from(row, 0, PHONE_DIGITS) if _is_phone(row[: last + 1]))
    return max(ends, default=0)


def _digits_end(row: list[_Piece]) -> int:
    return len(row) if sum(len(piece.digits) for piece in row) >= ROW_DIGITS else 0


def _from(row: list[_Piece], first: int, lengths: range) -> Iterator[tuple[int, str]]:
    """The digits from ``first`` on, up to each piece where they are as many as that."""
    digits = ""
    for last in range(first, len(row)):
        digits += row[last].digits
        if len(digits) >= lengths.stop:
            return
        if len(digits) in lengths:
            yield last, digits


def _is_phone(pieces: list[_Piece]) -> bool:
    """Whether it is written, or said, as telephone numbers are."""
    digits = "".join(piece.digits for piece in pieces)
    if pieces[0].plus:
        return True
    if any(p.listed and len(p.digits) > 1 and not p.spoken for p in pieces[1:]):
        return False
    # A trunk or international prefix; North America's plan, with its country code or without.
    if digits[0] == "0" and len(digits) >= 9:
        return True
    if re.fullmatch(r"1?[2-9]\d\d[2-9]\d{6}", digits):
        return True
    lengths = [len(piece.digits) for piece in pieces]
    if lengths.count(1) >= 3 and (len(lengths) == lengths.count(1) or pieces[0].spoken):
        return True
    if lengths == [3, 4]:
        return True
    return len(lengths) >= 3 and lengths[0] <= 4 and all(2 <= n <= 4 for n in lengths[1:])
