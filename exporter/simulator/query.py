"""Parses a listing's query strictly: parameters missing in Twilio's reference are rejected.

Twilio is reported to ignore unknown parameters silently. Here they are errors, so that a misspelt name
fails a test. Pure.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from exporter.simulator.listing import Filters

PARAMETERS: Final = frozenset({"startDate", "endDate", "status", "pageToken", "pageSize"})
STATUSES: Final = frozenset({"SCHEDULED", "PROCESSING", "COMPLETED", "CANCELED"})
DEFAULT_PAGE_SIZE: Final = 50
MOST_PAGE_SIZE: Final = 1000
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
    given: dict[str, str] = {}
    for name, value in pairs:
        if name not in PARAMETERS:
            raise BadQueryError(name, f"Unknown parameter {name}.")
        if name in given:
            raise BadQueryError(name, f"Parameter {name} is given twice.")
        given[name] = value
    status = given.get("status")
    if status is not None and status not in STATUSES:
        raise BadQueryError("status", "status must be one of the four statuses.")
    filters = Filters(_date(given, "startDate"), _date(given, "endDate"), status.lower() if status else None)
    return ListQuery(filters, _page_size(given), given.get("pageToken"))


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
