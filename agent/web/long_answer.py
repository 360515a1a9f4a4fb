"""Answers too long to be written on the event loop."""

import json
from collections.abc import Mapping
from typing import Any

from fastapi import Response


def long_answer(fields: Mapping[str, Any]) -> Response:
    """A JSON object; made beside the event loop, for it takes tens of milliseconds.

    Lists are written item by item: one that is written whole holds the interpreter all the while,
    and the loop with it.
    """
    body = ",".join(f"{_text(name)}:{_written(value)}" for name, value in fields.items())
    return Response(f"{{{body}}}".encode(), media_type="application/json")


def _written(value: Any) -> str:
    return f"[{','.join(map(_text, value))}]" if isinstance(value, list) else _text(value)


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
