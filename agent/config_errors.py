"""What is said of a setting that is wrong: its name, its place, and what is allowed. Pure."""

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import ErrorDetails

from agent.sections import Section
from agent.settings_tree import ARRAYS, Place, is_entry, keys_of, place_of, shape_of, title
from agent.toml_lines import KeyPath

TABLE_NAME_RULE = "small letters and digits, with single - or _ between them, 40 at most"


def complaint(detail: ErrorDetails, root: type[Section], tree: Mapping[str, Any]) -> str:
    """One of pydantic's errors in words; ``tree`` is what was read."""
    place = place_of(root, detail["loc"])
    if place.bad_name:
        above = title(place.table[:-1])
        return f"`{place.table[-1]}` in {above} is no name for a table: take {TABLE_NAME_RULE}"
    if detail["type"] == "extra_forbidden":
        return _unknown(place, root, tree)
    shape = shape_of(place.annotation)
    if place.key is None and is_entry(place.table):
        return f"{title(place.table)} must be a table"
    if place.key is None and len(place.table) > 1:
        above, name = title(place.table[:-1]), place.table[-1]
        own = title((*place.table[:-1], "NAME" if name in keys_of(place.section) else name))
        return f"`{name}` in {above} must be a table: write {own}, and its keys below"
    if not place.table and place.key in ARRAYS:
        return f"`{place.key}` must be tables: write [[{place.key}]] before each, its keys below"
    if place.key is None or (shape and shape[0] == "tables"):
        name = ".".join(place.path)
        return f"[{name}] must be a table: write [{name}], and its keys below"
    if detail["type"] == "missing":
        return f"`{place.key}` in {title(place.table)} is missing; it has no default"
    message = re.sub(r"^\w+ should\b", "must", detail["msg"].removeprefix("Value error, "))
    allowed = message.replace("must match", "must be like")
    shown = f", not {_show(detail['input'])}" if _may_be_shown(place) else ""
    return f"`{place.key}` in {title(place.table)} {allowed}{shown}"


def syntax_complaint(label: str, text: str, error: str) -> str:
    """tomllib's message, its line moved to the front."""
    reason, _, place = error.rpartition(" (at ")
    found = re.match(r"line (\d+)", place)
    line = int(found[1]) if found else text.rstrip("\n").count("\n") + 1
    return f"{label}:{line}: not valid TOML: {reason or error}"


def line_of(label: str, lines: Mapping[KeyPath, int], key: KeyPath) -> str:
    """``offhook.toml:3: `` for the nearest table or key above ``key`` that is written."""
    for length in range(len(key), 0, -1):
        if key[:length] in lines:
            return f"{label}:{lines[key[:length]]}: "
    return f"{label}: " if label else ""


def _may_be_shown(place: Place) -> bool:
    """Neither a secret nor a table, which may hold one, is repeated in a message."""
    return "SecretStr" not in str(place.annotation) and shape_of(place.annotation) is None


def _show(value: object) -> str:
    text = "a date or time" if isinstance(value, dict) and "date" in value else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _unknown(place: Place, root: type[Section], tree: Mapping[str, Any]) -> str:
    name = place.path[-1]
    sections = tuple(keys_of(root))
    if not place.table:
        is_table = isinstance(tree.get(name), dict)
        message = (
            f"unknown section [{name}]" if is_table else f"unknown key `{name}` outside any section"
        )
        near = _nearest(name, sections, "[{}]") if is_table else ""
        hint = near or _elsewhere(name, root)
        return message + (hint or "; sections: " + ", ".join(sections))
    keys = tuple(keys_of(place.section))
    message = f"unknown key `{name}` in {title(place.table)}"
    hint = _nearest(name, keys, "`{}`") or _elsewhere(name, root)
    return message + (hint or "; keys: " + ", ".join(keys))


def _nearest(name: str, known: Sequence[str], form: str) -> str:
    near = difflib.get_close_matches(name.lower(), known, n=1)
    return f"; did you mean {form.format(near[0])}?" if near else ""


def _elsewhere(name: str, root: type[Section]) -> str:
    for home, field in keys_of(root).items():
        shape = shape_of(field.annotation)
        if shape and name in keys_of(shape[1]):
            written = f"[{home}]" if home in ARRAYS else home
            return f"; it belongs in [{written}{'.NAME' if shape[0] == 'tables' else ''}]"
    return ""
