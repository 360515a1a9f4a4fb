"""JSON of an agent, which may be anything at all: read and made safe to keep. Pure."""

import json
import math
import re
import sys
from typing import Any

DEPTH_LIMIT = 32
NODES_LIMIT = 10_000
"""Values of one message, those inside others included."""
_SURROGATES = re.compile("[\ud800-\udfff]")


class ForeignJsonError(Exception):
    """It is no JSON, or no message; says what it is, to follow "a message"."""


def read_json(text: str | bytes) -> Any:
    """Parses a message. Raises ForeignJsonError."""
    try:
        return json.loads(text)
    except ValueError:
        raise ForeignJsonError("that is not JSON") from None
    except RecursionError:
        raise ForeignJsonError("that is too deep to read") from None


def plain_text(text: str) -> str:
    """Text that every encoding takes: JSON can spell lone surrogates, which no file can hold."""
    return _SURROGATES.sub("\ufffd", text)


def plain_body(body: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """A copy that can be written as JSON again, and the bytes of memory that it takes.

    Lone surrogates become U+FFFD, and numbers that JSON has none for (NaN, infinity) become
    None. Raises ForeignJsonError for one that is deeper than 32 levels or larger than 10,000
    values.
    """
    copy = _Copy()
    plain: dict[str, Any] = copy.of(body, 1)
    return plain, copy.size_bytes


class _Copy:
    def __init__(self) -> None:
        self.size_bytes = 0
        self._nodes = 0

    def of(self, value: Any, depth: int) -> Any:
        self._nodes += 1
        if depth > DEPTH_LIMIT:
            raise ForeignJsonError(f"that is over {DEPTH_LIMIT} levels deep")
        if self._nodes > NODES_LIMIT:
            raise ForeignJsonError(f"of over {NODES_LIMIT} values")
        plain: Any
        match value:
            case dict():
                plain = {plain_text(key): self.of(held, depth + 1) for key, held in value.items()}
                self.size_bytes += sum(sys.getsizeof(key) for key in plain)
            case list():
                plain = [self.of(held, depth + 1) for held in value]
            case str():
                plain = plain_text(value)
            case float() if not math.isfinite(value):
                plain = None
            case _:
                plain = value
        self.size_bytes += sys.getsizeof(plain)
        return plain
