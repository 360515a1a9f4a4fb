"""Telephone numbers as people and carriers write them. Pure.

A number here is what is dialled: ``+`` and 7 to 15 digits (ITU-T E.164), or the keys of a
telephone, such as an extension of a telephone system.
"""

import re
from urllib.parse import unquote

MAX_TEXT = 128
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_KEYS = re.compile(r"[0-9*#]{1,20}")
_SCHEME = re.compile(r"(tel|sips?):", re.IGNORECASE)
_SEPARATORS = re.compile(r"[\s().\-/]")
_NATIONAL_ZERO = re.compile(r"(\+[0-9]{1,3})[ .\-]?\(0\)")


def normalise(text: str) -> str:
    """``text`` as it is dialled. Raises ValueError, which says what is wrong.

    Takes the separators of RFC 3966, ``tel:`` URIs, and the user part of ``sip:`` URIs.
    """
    if len(text) > MAX_TEXT:
        raise ValueError(f"over {MAX_TEXT} characters")
    written = user_part(text)
    number = _SEPARATORS.sub("", _NATIONAL_ZERO.sub(r"\1", written.strip()))
    if number.startswith("+") and not _E164.fullmatch(number):
        raise ValueError(f"{written!r} is no international number: + and 7 to 15 digits")
    if not number.startswith("+") and not _KEYS.fullmatch(number):
        raise ValueError(
            f"{written!r} is no number: write + and the country code, such as +15551234567, "
            "or up to 20 keys of a telephone"
        )
    return number


def user_part(text: str) -> str:
    """The number or name in a ``tel:`` or ``sip:`` URI; other text as it is."""
    scheme = _SCHEME.match(text)
    if scheme is None:
        return text
    rest = text[scheme.end() :]
    user = rest.partition(";")[0] if scheme[1].lower() == "tel" else rest.rpartition("@")[0]
    return unquote(user.partition(";")[0].partition(":")[0])


def dialled_key(text: str) -> str:
    """What two ways to write one dialled number have in common; names stay as they are.

    Carriers send a number with ``+``, without it, or with the international prefix ``00``.
    """
    try:
        number = normalise(text)
    except ValueError:
        return user_part(text)
    digits = number.removeprefix("+")
    return digits[2:] if digits.startswith("00") and len(digits) >= 9 else digits
