"""Environment variables as settings: ``OFFHOOK_TRUNKS__TELNYX__PASSWORD`` and its like. Pure."""

import json
from collections.abc import Mapping
from copy import deepcopy
from typing import Any, get_args, get_origin

from agent.sections import ConfigError, Section
from agent.settings_tree import ARRAYS, keys_of, place_of, shape_of
from agent.toml_lines import KeyPath

PREFIX = "OFFHOOK_"


def variables_of(
    environ: Mapping[str, str], root: type[Section], tree: Mapping[str, Any]
) -> dict[KeyPath, str]:
    """Which key each variable sets.

    Two underscores stand between a section and its key. In a section of named tables the
    table's name comes between; a name of ``tree`` with - in it is written with _.
    Raises ConfigError for a section that is an array: its tables have no names.
    """
    found: dict[KeyPath, str] = {}
    if environ.get("OFFHOOK_TOKEN"):
        found["server", "token"] = "OFFHOOK_TOKEN"
    for variable in sorted(environ):
        section, separator, rest = variable.removeprefix(PREFIX).lower().partition("__")
        if not variable.startswith(PREFIX) or not separator:
            continue
        if section in ARRAYS:
            raise ConfigError(
                f"{variable}: {section} are read from the file alone, each below [[{section}]]"
            )
        field = keys_of(root).get(section)
        shape = shape_of(field.annotation) if field else None
        name, below, key = rest.partition("__")
        if shape and shape[0] == "tables" and below:
            found[section, _as_written(name, tree.get(section)), key] = variable
        else:
            found[section, rest] = variable
    return found


def with_variables(
    tree: Mapping[str, Any],
    variables: Mapping[KeyPath, str],
    environ: Mapping[str, str],
    root: type[Section],
) -> dict[str, Any]:
    """``tree`` with what the variables say put over it."""
    merged = deepcopy(dict(tree))
    for path, variable in variables.items():
        table = merged
        for name in path[:-1]:
            table = table.setdefault(name, {})
        table[path[-1]] = _value(environ[variable], place_of(root, path).annotation)
    return merged


def _as_written(name: str, tables: object) -> str:
    known = tables if isinstance(tables, Mapping) else {}
    return next((own for own in known if own.replace("-", "_") == name), name)


def _value(text: str, annotation: Any) -> Any:
    """``text`` as a key of this type takes it: a list has commas, a table ``key=value`` pairs."""
    shape = shape_of(annotation)
    if text == "" and type(None) in get_args(annotation):
        return None
    if shape is not None:
        return _json(text)
    items = [item.strip() for item in text.split(",") if item.strip()]
    if get_origin(annotation) is tuple:
        return items
    if get_origin(annotation) is dict and all("=" in item for item in items):
        pairs = [item.partition("=") for item in items]
        return {key.strip(): value.strip() for key, _, value in pairs}
    return text


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        # Left as it is, for the message that it is no table.
        return text
