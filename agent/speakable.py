"""Text as it is written -> words as they are said, in English. Pure.

Markdown, emoji and symbols go or become words, and so do numbers, prices, times, years,
telephone numbers and addresses. What comes out holds letters and plain punctuation only.
"""

import re
import unicodedata

from agent.spoken_numbers import (
    cardinal,
    decade,
    decimal,
    digits,
    fraction,
    money,
    ordinal,
    time_of_day,
    year,
)

_AMOUNT = r"(?<![\d.,])(\d+(?:,\d{3}(?!\d))*)(?:\.(\d+))?"
_SCALES = {"k": "thousand", "m": "million", "bn": "billion", "b": "billion", "t": "trillion"}
_SCALE = r"(?: ?(thousand|million|billion|trillion)\b|(bn|k|m|b|t)\b)?"

_MARKDOWN = (
    (re.compile(r"(?:```|~~~)\w*"), " "),
    (re.compile(r"!?\[([^\[\]\n]*)\]\([^()\s]*\)"), r"\1"),
    (re.compile(r"</?[a-zA-Z][^<>\n]*>"), " "),
    (re.compile(r"^[ \t]*(?:[-*_] ?){3,}$", re.MULTILINE), " "),
    (re.compile(r"^(?:[ \t]*(?:#{1,6}|>|[-*+•‣◦]|\d{1,3}[.)])(?=[ \t]))+", re.MULTILINE), ""),
)
_URL = re.compile(r"(?:https?://|(?<!\w)www\.)\S+", re.IGNORECASE)
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_DOMAIN = re.compile(
    r"(?<![\w.@-])(?:[a-z0-9-]+\.)+(?:com|org|net|edu|gov|info|io|ai|dev|app|uk|de|eu)\b",
    re.IGNORECASE,
)
_ABBREVIATIONS = (
    (re.compile(r"(?<![\w.])e\.g\.,?", re.IGNORECASE), "for example,"),
    (re.compile(r"(?<![\w.])i\.e\.,?", re.IGNORECASE), "that is,"),
    (re.compile(r"\betc\.(?= [a-z])"), "et cetera"),
    (re.compile(r"\bNo\. ?(?=\d)"), "number "),
    (re.compile(r"\bkm/h\b"), " kilometers per hour"),
    (re.compile(r"\b24/7\b"), "twenty-four seven"),
)
_ACRONYM = re.compile(r"(?<![\w.])(?:[A-Z]\.){2,}(?=( [A-Z]|$)?)")
_TITLES = (
    (re.compile(r"\betc\b"), "et cetera"),
    (re.compile(r"\b[vV]s\b\.?"), "versus"),
    (re.compile(r"\bapprox\b\.?"), "approximately"),
    (re.compile(r"\bDr\b\.? (?=[A-Z])"), "Doctor "),
    (re.compile(r"\bMr\b\.? (?=[A-Z])"), "Mister "),
    (re.compile(r"\bMrs\b\.? (?=[A-Z])"), "Missus "),
    (re.compile(r"\bProf\b\.? (?=[A-Z])"), "Professor "),
)
_UNITS = {
    "km": "kilometer",
    "kg": "kilogram",
    "cm": "centimeter",
    "mm": "millimeter",
    "ml": "milliliter",
    "mph": "mile per hour",
    "lb": "pound",
    "lbs": "pound",
    "oz": "ounce",
    "hrs": "hour",
    "mins": "minute",
    "ms": "millisecond",
    "gb": "gigabyte",
    "mb": "megabyte",
    "ghz": "gigahertz",
    "mhz": "megahertz",
    "khz": "kilohertz",
    "hz": "hertz",
}
_MONTHS = (
    "January February March April May June July August September October November December"
).split()

_LETTER_TO_DIGIT = re.compile(r"(?<=[^\W\d_])(?=\d)")
_DATE = re.compile(r"(?<![\d-])(\d{4})-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])(?![\d-])")
_PHONE = re.compile(
    r"(?<![\w.,$£€-])(?:(\+?\d{1,3}[ .-])?(?:\((\d{3})\) ?|(\d{3})[ .-])(\d{3})[ .-](\d{4})"
    r"|(\d{3})[.-](\d{4}))(?![\d-])"
)
_LONG_DIGITS = re.compile(r"(?<![\d.,$£€])(?:\d{10,}|0\d+|\+\d{7,})(?![\d.,]\d|\d)")
_HALF = r"([ap])\.?m\b(?:\.(?! (?-i:[A-Z])|$))?"
_TIME = re.compile(
    r"(?<![\d:])([01]?\d|2[0-3]):([0-5]\d)(?![\d:])(?: ?" + _HALF + ")?", re.IGNORECASE
)
_HOUR = re.compile(r"(?<![\d.,:])(1[0-2]|0?[1-9]) ?" + _HALF, re.IGNORECASE)
_MONEY = re.compile(r"([$£€]) ?" + _AMOUNT + _SCALE, re.IGNORECASE)
_PERCENT = re.compile(_AMOUNT + r" ?%")
_DEGREES = re.compile(r" ?° ?([CF]\b)?")
_ORDINAL = re.compile(r"(?<![\d.,])(\d{1,3}(?:,\d{3})*|\d+)(?:st|nd|rd|th)\b", re.IGNORECASE)
_DECADE = re.compile(r"(?<![\d.,])(1[1-9]\d0|20\d0)'?s\b")
_FRACTION = re.compile(r"(?<![\d/.,])(\d{1,3})[/⁄](\d{1,3})(?![\d/⁄])")
_MIXED = re.compile(r"(?<=\d) (?=\d{1,2}[/⁄]\d)")
_RANGE = re.compile(r"(?<=\d) ?[-–—] ?(?=[$£€]?\d)")
_MINUS = re.compile(r"(?<![\w)])[-−](?=[$£€]?\d)")
_VERSION = re.compile(r"(?<![\d.,])\d+(?:\.\d+){2,}")
_YEAR = re.compile(r"(?<![\d.,$£€])(1[1-9]\d\d|20\d\d)(?![\d,.]\d|\d| ?%)")
_UNIT = re.compile(
    _AMOUNT + r" ?(" + "|".join(sorted(_UNITS, key=len, reverse=True)) + r")\b", re.IGNORECASE
)
_NUMBER = re.compile(_AMOUNT)
_ANY_DIGITS = re.compile(r"\d+")

_WRITTEN = str.maketrans({"…": "...", "½": " 1/2", "¼": " 1/4", "¾": " 3/4", "’": "'", "‘": "'"})
_SYMBOLS = {
    "&": " and ",
    "@": " at ",
    "+": " plus ",
    "=": " equals ",
    "%": " percent ",
    "/": " slash ",
    "⁄": " slash ",
    "×": " times ",
    "÷": " divided by ",
    "±": " plus or minus ",
    "≈": " about ",
    "~": " about ",
    "<": " less than ",
    ">": " greater than ",
    "(": ", ",
    ")": ", ",
    "|": ", ",
    "–": ", ",
    "—": ", ",
    "_": " ",
    "。": ". ",
    "！": "! ",
    "？": "? ",
}
_KEPT = ".,!?;:'-"
_INNER = re.compile(r"['-]+")
_MARKS = re.compile(r"[ .,!?;:]+")


def speakable(text: str) -> str:
    """``text`` as words and plain punctuation; empty where nothing can be said.

    Never raises, and leaves its own output as it is.
    """
    text = unicodedata.normalize("NFKC", text.translate(_WRITTEN))
    text = "".join(c for c in text if unicodedata.category(c) != "Cf")
    for pattern, replacement in _MARKDOWN:
        text = pattern.sub(replacement, text)
    text = " ".join(text.split())
    text = _addresses(text)
    for pattern, replacement in _ABBREVIATIONS:
        text = pattern.sub(replacement, text)
    text = _ACRONYM.sub(_say_acronym, text)
    text = _tidy(_symbols(_numbers(text)))
    for pattern, replacement in _TITLES:
        text = pattern.sub(replacement, text)
    return text


def _addresses(text: str) -> str:
    text = _URL.sub(lambda found: _spell_url(found[0]), text)
    text = _EMAIL.sub(lambda found: _spell_dots(found[0].replace("@", " at ")), text)
    return _DOMAIN.sub(lambda found: _spell_dots(found[0]), text)


def _spell_url(url: str) -> str:
    address = re.sub(r"^(?:https?://)?(?:www\.)?", "", url, flags=re.IGNORECASE)
    body = address.rstrip(".,;:!?)]>'\"")
    tail = address[len(body) :]
    return _spell_dots(body.partition("?")[0].rstrip("/")) + tail


def _spell_dots(name: str) -> str:
    return name.replace(".", " dot ").replace("-", " dash ").replace("_", " underscore ")


def _numbers(text: str) -> str:
    """Every digit becomes a word; the more particular ways of reading go first."""
    text = _LETTER_TO_DIGIT.sub(" ", text)
    text = _DATE.sub(_say_date, text)
    text = _PHONE.sub(lambda m: ", ".join(digits(g) for g in m.groups() if g), text)
    text = _RANGE.sub(" to ", text)
    text = _MINUS.sub("minus ", text)
    text = _TIME.sub(lambda m: time_of_day(m[1], m[2], m[3]), text)
    text = _HOUR.sub(lambda m: time_of_day(m[1], "00", m[2]), text)
    text = _VERSION.sub(lambda m: " point ".join(cardinal(n) for n in m[0].split(".")), text)
    text = _LONG_DIGITS.sub(lambda m: digits(m[0]), text)
    text = _MONEY.sub(lambda m: money(m[1], m[2], m[3], _scale(m[4] or m[5])), text)
    text = _DECADE.sub(lambda m: decade(m[1]), text)
    text = _ORDINAL.sub(lambda m: ordinal(m[1]), text)
    text = _MIXED.sub(" and ", text)
    text = _FRACTION.sub(lambda m: fraction(m[1], m[2]), text)
    text = _PERCENT.sub(lambda m: f"{decimal(m[1], m[2])} percent", text)
    text = _DEGREES.sub(_say_degrees, text)
    text = _UNIT.sub(_say_unit, text)
    text = _YEAR.sub(lambda m: year(m[1]), text)
    text = re.sub(r"#(?=\d)", "number ", text)
    text = re.sub(r"(?<=\d) ?\* ?(?=\d)", " times ", text)
    text = _NUMBER.sub(lambda m: f" {decimal(m[1], m[2])} ", text)
    return _ANY_DIGITS.sub(lambda m: f" {cardinal(m[0])} ", text)


def _scale(written: str | None) -> str | None:
    return _SCALES.get(written.lower(), written.lower()) if written else None


def _say_date(found: re.Match[str]) -> str:
    return f"{_MONTHS[int(found[2]) - 1]} {ordinal(found[3])}, {year(found[1])}"


def _say_degrees(found: re.Match[str]) -> str:
    scale = {"C": " Celsius", "F": " Fahrenheit"}.get(found[1] or "", "")
    return f" degrees{scale} " if not scale else f" degrees{scale}"


def _say_unit(found: re.Match[str]) -> str:
    unit = _UNITS[found[3].lower()]
    if (found[1], found[2]) != ("1", None) and not unit.endswith("hertz"):
        unit = unit.replace("mile ", "miles ") if unit.startswith("mile ") else unit + "s"
    return f"{decimal(found[1], found[2])} {unit}"


def _say_acronym(found: re.Match[str]) -> str:
    """``U.S.`` -> U S, with a full stop where the sentence seems to end."""
    return found[0].replace(".", " ").strip() + ("." if found[1] is not None else "")


def _symbols(text: str) -> str:
    said: list[str] = []
    for character in text:
        kind = unicodedata.category(character)[0]
        if character in _SYMBOLS:
            said.append(_SYMBOLS[character])
        elif character in _KEPT or kind == "L" or (kind == "M" and said and said[-1].isalpha()):
            said.append(character)
        else:
            said.append(" ")
    return "".join(said)


def _tidy(text: str) -> str:
    """Single spaces, one mark at a time, none in front, hyphens only inside words."""
    text = _INNER.sub(lambda found: _inner_mark(text, found), text)
    text = " ".join(text.split())
    text = _MARKS.sub(lambda found: _one_mark(text, found), text)
    text = unicodedata.normalize("NFC", text.lstrip(" .,!?;:").rstrip())
    return text if any(character.isalpha() for character in text) else ""


def _inner_mark(text: str, found: re.Match[str]) -> str:
    """Apostrophes and hyphens stay inside words; a dash between words becomes a pause."""
    before, after = (
        text[max(0, found.start() - 1) : found.start()],
        text[found.end() : found.end() + 1],
    )
    if len(found[0]) == 1 and before.isalpha() and after.isalpha():
        return found[0]
    dash = "-" in found[0] and before == " " and after == " "
    return ", " if dash else " "


def _one_mark(text: str, found: re.Match[str]) -> str:
    """The strongest mark of a run; an ellipsis inside a sentence is a pause."""
    run = found[0]
    strongest = next((mark for mark in "?!.:;," if mark in run), "")
    if strongest == "." and run.count(".") > 1 and text[found.end() : found.end() + 1].islower():
        strongest = ","
    return strongest + " "
