"""Numbers as they are said, in English. Pure; every argument is a string of digits."""

from decimal import Decimal

from num2words import num2words

_LONGEST = 15
"""Longer numbers are said digit by digit."""
_CURRENCIES = {
    "$": ("dollar", "dollars", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "€": ("euro", "euros", "cent", "cents"),
}
_PARTS = {2: "half", 3: "third", 4: "quarter", 5: "fifth", 6: "sixth", 8: "eighth", 10: "tenth"}


def digits(text: str) -> str:
    """Each digit of ``text`` by itself; a plus is said, all else is skipped."""
    said = [
        num2words(int(c)) if c.isdecimal() else "plus" for c in text if c.isdecimal() or c == "+"
    ]
    return " ".join(said)


def cardinal(whole: str) -> str:
    """``1,234`` -> one thousand two hundred and thirty-four."""
    plain = whole.replace(",", "")
    if len(plain) > _LONGEST:
        return digits(plain)
    return str(num2words(int(plain))).replace(",", "")


def decimal(whole: str, after_point: str | None) -> str:
    """``3``, ``14`` -> three point one four."""
    said = cardinal(whole)
    return f"{said} point {digits(after_point)}" if after_point else said


def ordinal(whole: str) -> str:
    """``21`` -> twenty-first."""
    plain = whole.replace(",", "")
    if len(plain) > _LONGEST:
        return digits(plain)
    return str(num2words(int(plain), to="ordinal")).replace(",", "")


def year(whole: str) -> str:
    """``1999`` -> nineteen ninety-nine."""
    return str(num2words(int(whole), to="year")).replace(",", "")


def decade(whole: str) -> str:
    """``1990`` -> nineteen nineties."""
    said = year(whole)
    return said[:-1] + "ies" if said.endswith("y") else said + "s"


def fraction(over: str, under: str) -> str:
    """``3``, ``4`` -> three quarters; what is no usual fraction is read sign by sign."""
    part = _PARTS.get(int(under))
    if part is None or int(over) == 0:
        return f"{cardinal(over)} slash {cardinal(under)}"
    several = "halves" if part == "half" else part + "s"
    return f"{cardinal(over)} {part if int(over) == 1 else several}"


def time_of_day(hour: str, minute: str, half: str | None) -> str:
    """``10``, ``05``, ``a`` -> ten oh five A M."""
    at = int(hour)
    said = cardinal(str(at))
    if minute != "00":
        said += f" oh {cardinal(minute)}" if int(minute) < 10 else f" {cardinal(minute)}"
    elif half is None:
        said += " o'clock" if 1 <= at <= 12 else " hundred"
    return f"{said} {half.upper()} M" if half else said


def money(symbol: str, whole: str, after_point: str | None, scale: str | None) -> str:
    """``$``, ``4``, ``50`` -> four dollars and fifty cents; ``$``, ``3``, None, ``million``."""
    one, many, cent, cents = _CURRENCIES[symbol]
    if scale:
        return f"{decimal(whole, after_point)} {scale} {many}"
    is_one = whole.lstrip("0") == "1"
    if not after_point or len(after_point) > 2:
        is_one = is_one and not after_point
        return f"{decimal(whole, after_point)} {one if is_one else many}"
    small = int(Decimal(f"0.{after_point}") * 100)
    parts = []
    if whole.strip("0,") or not small:
        parts.append(f"{cardinal(whole)} {one if is_one else many}")
    if small:
        parts.append(f"{cardinal(str(small))} {cent if small == 1 else cents}")
    return " and ".join(parts)
