"""What is wrong in a price book, and what to write instead. Pure."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from agent.cost.price_row import Colocation, Electricity, Hardware, Price

CURRENCY = "USD"
_PARTS = "telephony, stt, llm, tts, platform"
_ROWS: Mapping[str, type[BaseModel]] = {
    "price": Price,
    "hardware": Hardware,
    "electricity": Electricity,
    "colocation": Colocation,
}
_FORMS = {
    "decimal": 'a number in quotes, such as "0.0077"',
    "finite": 'a number in quotes, such as "0.0077"',
    "date": "a day, such as 2026-11-30",
    "tuple": 'a list of names, such as ["deepgram-nova-3"]',
    "int": "a whole number",
}
"""Of pydantic's kinds of complaint, what to write instead."""


def complaints(label: str, error: ValidationError) -> Iterator[str]:
    """A line for each, with the file, the row, the key and what it may be."""
    for each in error.errors(include_url=False):
        yield f"{label}: {_complaint([str(part) for part in each['loc']], each)}"


def wrong_currency(path: Path, found: object) -> str:
    """The book is not in US dollars, or does not say so."""
    if found is None:
        return f'{path}: the price book says no `currency`; begin it with currency = "{CURRENCY}"'
    return (
        f"{path}: `currency` is {found!r}, and all reckoning is in US dollars; convert the rows "
        f'and write currency = "{CURRENCY}"'
    )


def no_parts(label: str, stack: str, parts: Mapping[Any, Sequence[str]]) -> str:
    """A stack, or a part of it, that names no price would cost nothing."""
    empty = next((part for part, names in parts.items() if not names), None)
    where = f"stack {stack!r}" if empty is None else f"stack {stack!r}: `{empty}`"
    return (
        f"{label}: {where} names no price, and would cost nothing; name prices for its parts "
        f"({_PARTS}). What is not known is a price without `usd`"
    )


def _complaint(loc: Sequence[str], each: Any) -> str:
    where, row, key = ".".join(loc), ".".join(loc[:-1]), loc[-1]
    kind, given = each["type"], each["input"]
    if kind == "missing":
        return f"[{row}] has no `{key}`; add it"
    if kind == "greater_than_equal" and each["ctx"].get("ge") in (0, Decimal(0)):
        return f"{where} is {given}; it cannot be negative"
    if kind == "extra_forbidden":
        return _unknown(loc, where, key)
    if kind == "value_error":
        # A rule of the row's own, in its own words.
        return f"[{where}]: {each['ctx']['error']}"
    form = next((form for begins, form in _FORMS.items() if begins in kind), None)
    if form is not None:
        return f"{where} is {_shown(given)}; write {form}"
    return f"{where} is {_shown(given)}: {each['msg'].lower()}"


def _unknown(loc: Sequence[str], where: str, key: str) -> str:
    if key == "currency":
        return f"{where}: every row is in US dollars; convert it, and leave `currency` out"
    keys = list(_ROWS[loc[0]].model_fields) if loc[0] in _ROWS else []
    near = difflib.get_close_matches(key, keys, n=1)
    hint = f"did you mean `{near[0]}`?" if near else f"keys: {', '.join(keys)}"
    return f"{where}: no such key; {hint}"


def _shown(value: object) -> str:
    return repr(value) if isinstance(value, str) else str(value)
