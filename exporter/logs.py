"""The format of the log: one line per event, as logfmt or JSON.

Must not know what is logged. The text of a library's exception is never written: it may quote a reply or a
secret.
"""

import json
import logging
import sys
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, TextIO

LOG: Final = logging.getLogger("exporter")


def configure(level: str, format_: str, stream: TextIO = sys.stderr) -> None:
    """Send the log to a stream; `format_` is `logfmt` or `json`."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_Formatter(_json_line if format_ == "json" else _logfmt_line))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)  # of libraries, only warnings and errors
    LOG.setLevel(level.upper())


def line(level: int, message: str, **fields: object) -> None:
    """Log a message with fields; fields that are `None` are left out."""
    LOG.log(level, message, extra={"fields": {k: v for k, v in fields.items() if v is not None}})


def traceback_text(error: BaseException) -> str:
    """The traceback and the type of the error without its text, which may quote a reply or a secret."""
    text = "".join(traceback.format_tb(error.__traceback__)) + type(error).__name__
    if isinstance(error, BaseExceptionGroup):
        text += "".join(f"\nsub-exception\n{traceback_text(each)}" for each in error.exceptions)
    cause = error.__cause__ or error.__context__
    return f"{text}\nwhile handling\n{traceback_text(cause)}" if cause else text


def time_text(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class _Formatter(logging.Formatter):
    def __init__(self, render: Callable[[dict[str, Any]], str]) -> None:
        super().__init__()
        self._render = render

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "ts": time_text(record.created),
            "level": record.levelname.lower(),
            "msg": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            entry["traceback"] = traceback_text(record.exc_info[1]) if record.exc_info[1] else None
        return self._render(entry)


def _json_line(entry: dict[str, Any]) -> str:
    return json.dumps(entry, default=str, ensure_ascii=False)


def _logfmt_line(entry: dict[str, Any]) -> str:
    return " ".join(f"{key}={_logfmt_value(str(value))}" for key, value in entry.items())


def _logfmt_value(text: str) -> str:
    """A plain word unchanged, any other text quoted and escaped, so that an entry stays one line."""
    plain = text.isprintable() and text and not set(text) & set(' "=\\')
    return text if plain else json.dumps(text, ensure_ascii=not text.isprintable())
