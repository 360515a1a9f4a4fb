"""Where a key stands in a tree of sections: tables, tables of tables, arrays of tables. Pure."""

import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from agent.sections import Section
from agent.toml_lines import KeyPath

Shape = Literal["table", "tables", "array"]
ARRAYS = frozenset({"budgets"})
"""Arrays of tables at the root; a number after any other name there is a table's own name."""


@dataclass(frozen=True, slots=True)
class Place:
    """A key of a table, or the table itself."""

    table: KeyPath
    """The path of the table; a place in an array of tables is a number, from 0."""
    section: type[Section]
    """What the table may hold."""
    key: str | None = None
    """The key of it; None: the table itself."""
    bad_name: bool = False
    """Whether the table's name is what is wrong."""

    @property
    def path(self) -> KeyPath:
        """The way from the root of the tree."""
        return self.table if self.key is None else (*self.table, self.key)

    @property
    def annotation(self) -> Any:
        """The type of the key; None where the table has no such key."""
        field = keys_of(self.section).get(self.key) if self.key is not None else None
        return field.annotation if field else None


def place_of(root: type[Section], loc: Sequence[int | str]) -> Place:
    """Which key of which table ``loc`` is or leads through, in a tree that begins at ``root``."""
    parts = tuple(str(part) for part in loc)
    table: KeyPath = ()
    section = root
    while len(table) < len(parts):
        name = parts[len(table)]
        field = keys_of(section).get(name)
        found = shape_of(field.annotation) if field else None
        if found is None:
            return Place(table, section, name)
        shape, below = found
        depth = len(table) + (1 if shape == "table" else 2)
        if len(parts) < depth:
            return Place(table, section, name)
        table, section = parts[:depth], below
        if parts[depth : depth + 1] == ("[key]",):
            return Place(table, section, bad_name=True)
    return Place(table, section)


def keys_of(section: type[Section]) -> dict[str, FieldInfo]:
    """The keys of a table as they are written, and what each holds."""
    return {field.alias or name: field for name, field in section.model_fields.items()}


def shape_of(annotation: Any) -> tuple[Shape, type[Section]] | None:
    """How tables stand under a key of this type, and what they may hold; None: a plain key."""
    if get_origin(annotation) in (Union, types.UnionType):
        # `X | None` is judged as X.
        annotation = next((a for a in get_args(annotation) if a is not type(None)), None)
    if _is_section(annotation):
        return "table", annotation
    arguments = get_args(annotation)
    if get_origin(annotation) is dict and _is_section(arguments[1]):
        return "tables", arguments[1]
    if get_origin(annotation) is tuple and _is_section(arguments[0]):
        return "array", arguments[0]
    return None


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Section)


def tables_in(section: Section, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Section]]:
    """``section`` and every table below it, each with its path."""
    yield path, section
    for name in type(section).model_fields:
        value = getattr(section, name)
        below: Mapping[str, Any] = {}
        if isinstance(value, Section):
            yield from tables_in(value, (*path, name))
        elif isinstance(value, Mapping):
            below = value
        elif isinstance(value, tuple):
            below = {str(number): item for number, item in enumerate(value)}
        for key, item in below.items():
            if isinstance(item, Section):
                yield from tables_in(item, (*path, name, key))


def is_entry(table: KeyPath) -> bool:
    """Whether it is a table of an array, named by its number."""
    return bool(table) and table[-1].isdigit() and (len(table) > 2 or table[0] in ARRAYS)


def title(table: KeyPath) -> str:
    """A table as its header is written, such as ``[trunks.telnyx]``."""
    if is_entry(table):
        return f"entry {int(table[-1]) + 1} of [[{'.'.join(table[:-1])}]]"
    return f"[{'.'.join(table)}]"
