"""What is wrong with a scenario, in words that say where and what to do. Pure."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails

Models = Mapping[tuple[str, ...], type[BaseModel]]
_MUST_BE = {
    "float_type": "must be a number",
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "string_type": "must be text (in quotes)",
    "path_type": "must be a file's name (in quotes)",
    "tuple_type": "must be a list",
    "model_type": "must be a table of keys and values",
    "model_attributes_type": "must be a table of keys and values",
    "dict_type": "must be a table of keys and values",
    "mapping_type": "must be a table of keys and values",
}


def mistakes(errors: Sequence[ErrorDetails], models: Models) -> list[str]:
    """A line each, ``steps.2.expect: ...``; steps are counted from 1.

    ``models``: what may stand at each place, the steps' numbers left out. A list that only seems
    too short because what is in it is wrong is left out.
    """
    places = [error["loc"] for error in errors]
    lines = []
    for error in errors:
        place = error["loc"]
        if any(len(other) > len(place) and other[: len(place)] == place for other in places):
            continue
        if error["type"] == "extra_forbidden":
            lines.append(f"{_dotted(place[:-1])}{_unknown(place, models)}")
        else:
            lines.append(f"{_dotted(place)}{_wrong(error)}")
    return lines


def _dotted(place: Sequence[int | str]) -> str:
    words = [str(part + 1) if isinstance(part, int) else part for part in place]
    return f"{'.'.join(words)}: " if words else ""


def _unknown(place: Sequence[int | str], models: Models) -> str:
    key = str(place[-1])
    here = tuple(str(part) for part in place[:-1] if not isinstance(part, int))
    inside = models.get((*here, "expect"))
    if inside is not None and key in inside.model_fields:
        return f'unknown key "{key}": it belongs in expect, as expect = {{ {key} = ... }}'
    model = models.get(here)
    known = list(model.model_fields) if model is not None else []
    if close := get_close_matches(key, known, n=1):
        return f'unknown key "{key}", did you mean "{close[0]}"?'
    return f'unknown key "{key}"; there are {", ".join(known)}'


def _wrong(error: ErrorDetails) -> str:
    must = _MUST_BE.get(error["type"])
    if must is not None:
        return f"{must}, not {_shown(error['input'])}"
    if error["type"] == "missing":
        return "is missing"
    if error["type"] == "too_short":
        return "is empty"
    return error["msg"].removeprefix("Value error, ")


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
