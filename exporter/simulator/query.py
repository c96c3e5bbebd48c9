"""Parses a listing's query strictly: parameters missing in Twilio's reference are rejected.

Twilio is reported to ignore unknown parameters silently. Here they are errors, so that a misspelt name
fails a test. Pure.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from exporter.operation import ID_PATTERN
from exporter.simulator.listing import Filters

PARAMETERS: Final = frozenset({"startDate", "endDate", "status", "pageToken", "pageSize"})
STATUSES: Final = frozenset({"SCHEDULED", "PROCESSING", "COMPLETED", "CANCELED"})
DEFAULT_PAGE_SIZE: Final = 50
MOST_PAGE_SIZE: Final = 1000
EMAIL_STATUSES: Final = frozenset(
    {"SCHEDULED", "QUEUED", "SENT", "DELIVERED", "UNDELIVERED", "OPENED", "FAILED", "CANCELED"}
)
_DATE_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


class BadQueryError(Exception):
    """The request is invalid because of `parameter`."""

    def __init__(self, parameter: str, message: str) -> None:
        super().__init__(message)
        self.parameter = parameter


@dataclass(frozen=True, slots=True)
class ListQuery:
    filters: Filters
    page_size: int = DEFAULT_PAGE_SIZE
    page_token: str | None = None


def read_list_query(pairs: Iterable[tuple[str, str]]) -> ListQuery:
    """Raises BadQueryError."""
    given = _given(pairs, PARAMETERS)
    status = _one_of(given, "status", STATUSES)
    filters = Filters(_date(given, "startDate"), _date(given, "endDate"), status)
    return ListQuery(filters, _page_size(given), given.get("pageToken"))


def read_email_query(pairs: Iterable[tuple[str, str]]) -> ListQuery:
    """Raises BadQueryError."""
    given = _given(pairs, PARAMETERS | {"operationId", "tags"})
    filters = Filters(
        _date(given, "startDate"),
        _date(given, "endDate"),
        _one_of(given, "status", EMAIL_STATUSES),
        "emails",
        _operation_id(given),
        _tags(given),
    )
    return ListQuery(filters, _page_size(given), given.get("pageToken"))


def read_error_query(pairs: Iterable[tuple[str, str]], operation_id: str) -> ListQuery:
    """Raises BadQueryError. The parameters are a guess."""
    given = _given(pairs, frozenset({"pageToken", "pageSize"}))
    filters = Filters(status="failed", call="errors", operation_id=operation_id)
    return ListQuery(filters, _page_size(given), given.get("pageToken"))


def _given(pairs: Iterable[tuple[str, str]], allowed: frozenset[str]) -> dict[str, str]:
    given: dict[str, str] = {}
    for name, value in pairs:
        if name not in allowed:
            raise BadQueryError(name, f"Unknown parameter {name}.")
        if name in given:
            raise BadQueryError(name, f"Parameter {name} is given twice.")
        given[name] = value
    return given


def _one_of(given: dict[str, str], name: str, allowed: frozenset[str]) -> str | None:
    """In lower case."""
    value = given.get(name)
    if value is not None and value not in allowed:
        raise BadQueryError(name, f"{name} must be one of {', '.join(sorted(allowed))}.")
    return value.lower() if value else None


def _operation_id(given: dict[str, str]) -> str | None:
    value = given.get("operationId")
    if value is not None and not ID_PATTERN.fullmatch(value):
        raise BadQueryError("operationId", "This is not the id of an operation.")
    return value


def _tags(given: dict[str, str]) -> tuple[tuple[str, str], ...]:
    """`key:value;key:value;`: an email must have them all."""
    text = given.get("tags")
    if text is None:
        return ()
    pairs = [pair.partition(":") for pair in text.removesuffix(";").split(";")]
    if not all(key and separator and value for key, separator, value in pairs):
        raise BadQueryError("tags", "tags is not of the form key:value;key:value;.")
    return tuple((key, value) for key, _, value in pairs)


def _date(given: dict[str, str], name: str) -> float | None:
    if name not in given:
        return None
    if not _DATE_TIME.fullmatch(given[name]):
        raise BadQueryError(name, f"{name} is no RFC 3339 date-time.")
    try:
        return datetime.fromisoformat(given[name].upper()).timestamp()
    except ValueError as error:
        raise BadQueryError(name, f"{name} is no date of the calendar.") from error


def _page_size(given: dict[str, str]) -> int:
    text = given.get("pageSize", str(DEFAULT_PAGE_SIZE))
    if not re.fullmatch(r"[0-9]{1,4}", text) or not 1 <= int(text) <= MOST_PAGE_SIZE:
        raise BadQueryError("pageSize", f"pageSize is not in 1 to {MOST_PAGE_SIZE}.")
    return int(text)
