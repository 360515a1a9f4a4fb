"""Which call a line of the log is about: known wherever the call's own tasks run."""

import logging
from contextvars import Context, ContextVar, copy_context

_call_id: ContextVar[str] = ContextVar("call_id", default="")


def in_call(call_id: str) -> Context:
    """The context for a task of this call; what it starts in turn inherits it, threads of
    ``asyncio.to_thread`` too."""
    context = copy_context()
    context.run(_call_id.set, call_id)
    return context


def with_call_id(record: logging.LogRecord) -> bool:
    """A filter that keeps every record, and gives those of a call its name as ``call_id``."""
    if call_id := _call_id.get():
        record.__dict__.setdefault("call_id", call_id)
    return True
