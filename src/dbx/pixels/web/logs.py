"""The log on standard error: one line of JSON each, without what files and requests hold."""

from __future__ import annotations

import logging
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

#: From which level on loggers are heard. Libraries' warnings are about what is in files, which `pixels issues` tells.
_LEVELS = {"": logging.ERROR, "dbx.pixels": logging.INFO, "pydicom": logging.ERROR, "uvicorn": logging.WARNING}
#: Loggers whose messages are known to quote no values.
_QUOTED = ("dbx.pixels", "uvicorn")


def log_as_json() -> None:
    """Set up the logging of a process that serves."""
    handler = logging.StreamHandler()
    handler.setFormatter(_JsonLines())
    logging.getLogger().addHandler(handler)
    for name, level in _LEVELS.items():
        logging.getLogger(name).setLevel(level)
    logging.captureWarnings(True)


class _JsonLines(logging.Formatter):
    """Writes a record, whose message is text or a dict, as a line of JSON.

    The messages of exceptions and of most libraries may quote a patient's attributes: of them, type and place are told.
    """

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {"time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")}
        if isinstance(record.msg, dict):
            return orjson.dumps(line | record.msg).decode()
        line |= {"level": record.levelname, "logger": record.name}
        if record.name.startswith(_QUOTED):
            line["message"] = record.getMessage().strip()
        if record.exc_info and record.exc_info[1]:
            line |= _told(record.exc_info[1])
        return orjson.dumps(line).decode()


def _told(error: BaseException) -> dict[str, Any]:
    frames = traceback.extract_tb(error.__traceback__)
    return {
        "error": f"{type(error).__module__}.{type(error).__qualname__}",
        "at": [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames],
    }
