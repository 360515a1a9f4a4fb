"""Logs: one line an event on standard error, readable or as JSON."""

import json
import logging
import sys
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from loguru import logger as pipecat_logger

from agent.log_context import with_call_id
from agent.redaction import Redacted, Redaction

STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def set_up_logs(level: str = "INFO", as_json: bool = False) -> None:
    """Sends the logs of this process to standard error; Pipecat's from warnings up."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if as_json else LineFormatter())
    if as_json:
        handler.addFilter(with_call_id)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for noisy in (
        "aiortc",
        "aioice",
        "httpx",
        "httpx2",
        "httpcore",
        "uvicorn",
        "faster_whisper",
        "alembic",
        "asyncio",
    ):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # llama.cpp describes every tensor of its graphs.
    logging.getLogger("models.llm.llama_native").setLevel(max(logging.INFO, logging.root.level))
    pipecat_logger.remove()
    pipecat_logger.add(_from_pipecat, level="WARNING", format="{message}")


def redact_logs(kinds: Collection[Redacted]) -> None:
    """From here on what this process logs is without those numbers."""
    for handler in logging.root.handlers:
        if isinstance(handler.formatter, RedactingFormatter):
            handler.formatter.redaction = Redaction(kinds)


class RedactingFormatter(logging.Formatter):
    """Takes numbers out of texts: the message, what the event carries, and errors."""

    redaction = Redaction()

    def message_of(self, record: logging.LogRecord) -> str:
        """The message with its arguments."""
        return self.redaction.text(record.getMessage())

    def extras_of(self, record: logging.LogRecord) -> dict[str, Any]:
        """What the event carries; the name of its call stays."""
        carried = {key: value for key, value in vars(record).items() if key not in STANDARD}
        return {
            key: value if key == "call_id" else self.redaction.value(value)
            for key, value in carried.items()
        }

    def error_of(self, record: logging.LogRecord) -> str:
        """The traceback; empty: there is none."""
        if not record.exc_info:
            return ""
        return self.redaction.text(self.formatException(record.exc_info))


class JsonFormatter(RedactingFormatter):
    """A JSON object a line: time (UTC), level, logger, message, and what the event carries."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self.message_of(record),
            **self.extras_of(record),
        }
        if error := self.error_of(record):
            line["error"] = error
        return json.dumps(line, default=str)


class LineFormatter(RedactingFormatter):
    """Time, level, message, then what the event carries."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created).strftime("%H:%M:%S.%f")[:-3]
        extras = "".join(f" {key}={value!r}" for key, value in self.extras_of(record).items())
        line = f"{time} {record.levelname[0]} {record.name}: {self.message_of(record)}{extras}"
        error = self.error_of(record)
        return f"{line}\n{error}" if error else line


def _from_pipecat(message: Any) -> None:
    record = message.record
    logging.getLogger("pipecat").log(
        record["level"].no, "%s", record["message"], exc_info=record["exception"]
    )
