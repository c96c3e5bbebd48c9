"""The log for operators: one line an event, as logfmt or JSON, edges only.

Turns reports into lines. Must not see a secret, a page token or a reply's body: what it is handed has
none, and no exception of a library is written as it is.
"""

import json
import logging
import sys
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from logging import DEBUG, ERROR, INFO, WARNING
from typing import Any, Final, TextIO

from exporter.errors import StateError
from exporter.events import (
    CredentialChanged,
    CredentialUnreadable,
    ListingProgressed,
    PollCrashed,
    PollFinished,
    Report,
    RequestRetried,
    RequestsHeld,
    RequestsReleased,
    StateSaved,
)
from exporter.observers.status import AccountStatus, Board, Edge

LOG: Final = logging.getLogger("exporter")

_PAGES_BETWEEN_LINES: Final = 20


def configure(level: str, format_: str, stream: TextIO = sys.stderr) -> None:
    """Send the log to a stream; `format_` is `logfmt` or `json`."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_Formatter(_json_line if format_ == "json" else _logfmt_line))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)  # libraries speak up when something is wrong
    LOG.setLevel(level.upper())


def line(level: int, message: str, **fields: object) -> None:
    """Log a message with fields; what is `None` is left out."""
    LOG.log(level, message, extra={"fields": {k: v for k, v in fields.items() if v is not None}})


class Narrator:
    """Tells the log what changed; the board knows what was before."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def observe(self, report: Report) -> None:
        edge = self._board.observe(report)
        status = self._board.accounts[report.account]
        match report:
            case PollFinished():
                _tell_poll(report)
                _tell_edge(edge, status, report)
            case StateSaved(account=account, error=error):
                _tell_state(edge, account, error)
            case ListingProgressed(pages=pages) if pages % _PAGES_BETWEEN_LINES == 0:
                _tell_progress(status)
            case RequestRetried():
                _tell_retry(report)
            case RequestsHeld() | RequestsReleased():
                _tell_throttling(report)
            case CredentialChanged(account=account):
                line(INFO, "credential changed", account=account)
            case CredentialUnreadable():
                _tell_unreadable(report)
            case PollCrashed(account=account, error=error):
                line(ERROR, "internal error; the loop goes on", account=account, traceback=_traceback(error))
            case _:
                pass


def _tell_poll(poll: PollFinished) -> None:
    line(
        DEBUG,
        "poll finished",
        account=poll.account,
        outcome=poll.outcome,
        duration_seconds=round(poll.duration_seconds, 3),
        listed=poll.listed_operations,
        fetched=poll.fetched_operations,
        skipped=poll.skipped_fetches,
    )


def _tell_retry(retry: RequestRetried) -> None:
    line(
        DEBUG,
        "request retried",
        account=retry.account,
        reason=retry.reason,
        wait_seconds=round(retry.wait_seconds, 3),
        request_id=retry.request_id,
    )


def _tell_throttling(report: RequestsHeld | RequestsReleased) -> None:
    since, until = _time(report.since), _time(report.until) if report.until is not None else None
    if isinstance(report, RequestsHeld):
        request_id = report.request_id
        line(WARNING, "throttled", account=report.account, since=since, until=until, request_id=request_id)
    else:
        line(INFO, "no longer throttled", account=report.account, since=since, until=until)


def _tell_unreadable(report: CredentialUnreadable) -> None:
    line(
        WARNING,
        "credential cannot be read" + ("; the old one stays in use" if report.old_one_in_use else ""),
        account=report.account,
        problem=report.problem,
    )


def _tell_progress(status: AccountStatus) -> None:
    line(
        INFO,
        "listing goes on",
        account=status.account,
        pages=status.listed_pages,
        operations=status.listed_operations,
    )


def _tell_edge(edge: Edge | None, status: AccountStatus, poll: PollFinished) -> None:
    match edge:
        case Edge.BROKE | Edge.BROKE_OTHERWISE:
            line(
                WARNING,
                "poll failed; the last numbers stay",
                account=poll.account,
                outcome=poll.outcome,
                error=poll.error,
                request_id=poll.error.request_id if poll.error else None,
            )
        case Edge.RECOVERED:
            line(
                INFO,
                "poll recovered",
                account=poll.account,
                failed_polls=status.failed_polls,
                failed_seconds=round(poll.finished_at - (status.failing_since or poll.finished_at)),
            )
        case Edge.FIRST_SUCCESS:
            line(INFO, "first poll succeeded", account=poll.account, operations=poll.listed_operations)
        case _:
            pass


def _tell_state(edge: Edge | None, account: str, error: StateError | None) -> None:
    if edge is Edge.STATE_BROKE:
        line(ERROR, "state cannot be saved; counters wait until it can", account=account, error=error)
    elif edge is Edge.STATE_RECOVERED:
        line(INFO, "state is saved again", account=account)


def _traceback(error: BaseException) -> str:
    """Where and what kind, without the error's own text: that may quote a reply or a secret."""
    text = "".join(traceback.format_tb(error.__traceback__)) + type(error).__name__
    if isinstance(error, BaseExceptionGroup):
        text += "".join(f"\nof which\n{_traceback(each)}" for each in error.exceptions)
    cause = error.__cause__ or error.__context__
    return f"{text}\nwhile handling\n{_traceback(cause)}" if cause else text


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class _Formatter(logging.Formatter):
    def __init__(self, render: Callable[[dict[str, Any]], str]) -> None:
        super().__init__()
        self._render = render

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "ts": _time(record.created),
            "level": record.levelname.lower(),
            "msg": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            entry["traceback"] = _traceback(record.exc_info[1]) if record.exc_info[1] else None
        return self._render(entry)


def _json_line(entry: dict[str, Any]) -> str:
    return json.dumps(entry, default=str, ensure_ascii=False)


def _logfmt_line(entry: dict[str, Any]) -> str:
    return " ".join(f"{key}={_logfmt_value(str(value))}" for key, value in entry.items())


def _logfmt_value(text: str) -> str:
    """As it is when it is one plain word, else quoted with escapes, so that a line stays a line."""
    plain = text.isprintable() and text and not set(text) & set(' "=\\')
    return text if plain else json.dumps(text, ensure_ascii=not text.isprintable())
