"""Logs: one line an event on standard error, readable or as JSON."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

from loguru import logger as pipecat_logger

STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def set_up_logs(level: str = "INFO", as_json: bool = False) -> None:
    """Sends the logs of this process to standard error; Pipecat's from warnings up."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if as_json else LineFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for noisy in (
        "aiortc",
        "aioice",
        "httpx",
        "httpx2",
        "httpcore",
        "uvicorn",
        "faster_whisper",
        "asyncio",
    ):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # llama.cpp describes every tensor of its graphs.
    logging.getLogger("models.llm.llama_native").setLevel(max(logging.INFO, logging.root.level))
    pipecat_logger.remove()
    pipecat_logger.add(_from_pipecat, level="WARNING", format="{message}")


class JsonFormatter(logging.Formatter):
    """A JSON object a line: time (UTC), level, logger, message, and what the event carries."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_extras(record),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class LineFormatter(logging.Formatter):
    """Time, level, message, then what the event carries."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created).strftime("%H:%M:%S.%f")[:-3]
        extras = "".join(f" {key}={value!r}" for key, value in _extras(record).items())
        line = f"{time} {record.levelname[0]} {record.name}: {record.getMessage()}{extras}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


def _extras(record: logging.LogRecord) -> dict[str, Any]:
    return {key: value for key, value in vars(record).items() if key not in STANDARD}


def _from_pipecat(message: Any) -> None:
    record = message.record
    logging.getLogger("pipecat").log(
        record["level"].no, "%s", record["message"], exc_info=record["exception"]
    )
