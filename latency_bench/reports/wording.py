"""Figures as people read them."""

import re
from collections.abc import Mapping

NOTHING = "–"
_CONTROL = re.compile(
    r"[\ud800-\udfff\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufffe\uffff]"
)


def ms(value: float | None) -> str:
    """Milliseconds, whole."""
    return NOTHING if value is None else f"{value:,.0f} ms"


def seconds(value: float | None) -> str:
    """Seconds, or minutes and seconds over two minutes."""
    if value is None:
        return NOTHING
    if value < 120:
        return f"{value:.1f} s"
    hours, rest = divmod(round(value), 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {left} s"


def percent(value: float | None, digits: int = 1) -> str:
    """A share of one."""
    return NOTHING if value is None else f"{100 * value:.{digits}f}%"


def number(value: object) -> str:
    """Any figure, short: three digits that matter; words as they are."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {number(entry)}" for key, entry in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(number, value))
    if isinstance(value, int) or (isinstance(value, float) and value == int(value)):
        return f"{int(value):,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)


def count(value: int, noun: str) -> str:
    """``1 call``, ``2 calls``."""
    return f"{value:,} {noun}{'' if value == 1 else 's'}"


def spoken_name(key: str) -> str:
    """A key of the report as words: ``v2v_p95_ms`` is ``V2V P95``."""
    words = [word for word in key.split("_") if word not in ("ms", "s", "mb")]
    grown = [
        word.upper() if re.fullmatch(r"v2v|p\d+|mos|wer|rss|cpu|gpu", word) else word
        for word in words
    ]
    text = " ".join(grown)
    return text[:1].upper() + text[1:]


def plain(text: str, limit: int = 4000) -> str:
    """``text`` without control and direction characters, cut at ``limit``: it may come from
    the agent, which is not trusted."""
    clean = _CONTROL.sub("\ufffd", text)
    return clean if len(clean) <= limit else f"{clean[:limit]}…"
