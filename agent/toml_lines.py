"""On which line each key of a TOML text stands; ``tomllib`` keeps no such thing. Pure."""

import re
import tomllib
from collections.abc import Iterator

KeyPath = tuple[str, ...]

_HEADER = re.compile(r"\[\[?(?P<name>.*?)\]\]?\s*(?:#.*)?")
_NOT_BRACKETS = re.compile(
    r'"""(?:\\.|[^\\])*?"""+'
    r"|'''.*?'''+"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'"
    r"|#[^\n]*",
    re.DOTALL,
)


def key_lines(text: str) -> dict[KeyPath, int]:
    """Maps each table and each key to its line, counted from 1.

    ``text`` must be valid TOML. Keys inside inline tables stand on that table's line
    and are not listed. In an array of tables the table's number, from 0, is part of the path.
    """
    table: KeyPath = ()
    lines: dict[KeyPath, int] = {}
    counts: dict[KeyPath, int] = {}
    """How many tables each array of them has so far."""
    for number, statement in _statements(text):
        if statement.startswith("["):
            header = _HEADER.match(statement)
            parts = _parts(header["name"]) if header else ()
            table = path = _numbered(parts, counts, begins_entry=statement.startswith("[["))
        else:
            path = table + _parts(_before_equals(statement))
        for length in range(1, len(path) + 1):
            lines.setdefault(path[:length], number)
    return lines


def _numbered(parts: KeyPath, counts: dict[KeyPath, int], *, begins_entry: bool) -> KeyPath:
    """A header's path, with the number of the table after each array of tables."""
    path: KeyPath = ()
    for part in parts[:-1]:
        path = (*path, part)
        if path in counts:
            path = (*path, str(counts[path] - 1))
    path = (*path, *parts[-1:])
    if begins_entry:
        counts[path] = counts.get(path, 0) + 1
        path = (*path, str(counts[path] - 1))
    return path


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Each header or assignment, as its first line, with that line's number.

    Strings and comments are blanked, so that the brackets which are left tell whether a
    value goes on to the next line.
    """
    text = text.replace("\r\n", "\n")
    blank = _NOT_BRACKETS.sub(lambda found: re.sub(r"[^\n]", "_", found[0]), text)
    begins_in_string: set[int] = set()
    for found in _NOT_BRACKETS.finditer(text):
        if newlines := found[0].count("\n"):
            first = text.count("\n", 0, found.start()) + 2
            begins_in_string.update(range(first, first + newlines))
    depth = 0
    pairs = zip(text.split("\n"), blank.split("\n"), strict=True)
    for number, (line, shape) in enumerate(pairs, start=1):
        statement = line.strip()
        is_new = depth == 0 and number not in begins_in_string
        if is_new and statement and not statement.startswith("#"):
            yield number, statement
        depth += sum(shape.count(c) for c in "[{") - sum(shape.count(c) for c in "]}")


def _before_equals(statement: str) -> str:
    quoted = r'"(?:\\.|[^"\\])*"|\'[^\']*\''
    found = re.match(rf"(?:{quoted}|[^=\"'])*", statement)
    return found[0] if found else statement


def _parts(dotted: str) -> KeyPath:
    """``a."b c".d`` -> ("a", "b c", "d"), by TOML's own rules."""
    tree = tomllib.loads(f"{dotted} = 0")
    path: list[str] = []
    while isinstance(tree, dict):
        ((key, tree),) = tree.items()
        path.append(key)
    return tuple(path)
