"""Twilio's HTTP as data: requests to send, and what headers and a body hold.

Pure functions; sends nothing, waits for nothing and has no clock. Must not know of polls or metrics.
Rule 1: what does not have the documented form is `Malformed`, with the JSON path and never the value.
Rule 2: nothing of a reply gets past here unless it is a number, a time, a known word, a checked id or
an opaque page token.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Annotated, Any, Final, NamedTuple, Protocol

import msgspec  # noqa: TID251 - home of msgspec

from exporter.errors import Unreadable
from exporter.operation import ID_PATTERN, STATS, Operation, Stats

PAGE_SIZE: Final = 1000
"""Rows asked for in one page; the API's maximum."""

MAX_REPLY_BYTES: Final = 8 * 1024 * 1024
"""Far above the 0.4 MB of a full page; what is longer is not read."""

UNREADABLE_SHARE: Final = 0.01
"""Of a page's rows: when more of them, and more than one, cannot be read, the page itself is not believed."""

MAX_CLOCK_SKEW_SECONDS: Final = 86400.0
"""Between our clock and a reply's `Date`; what is less only shifts the window, and shows in a metric."""

MAX_RETRY_AFTER_SECONDS: Final = 3600.0
"""A longer `Retry-After` is taken for this: one broken header must not silence us for days."""


class Page(NamedTuple):
    """One page of a listing."""

    operations: list[Operation]
    next_token: str | None
    """`None` on the last page."""
    unreadable: tuple[str, ...] = ()
    """JSON paths of rows that were left out."""


@dataclass(frozen=True, slots=True)
class Request:
    """A GET: `call` is our name for it in metrics, `path` stands behind the base URL."""

    call: str
    path: str
    query: tuple[tuple[str, str], ...] = ()


class Secret(Protocol):
    """Shows itself to nobody who does not ask for it by name; pydantic's `SecretStr` is one."""

    def get_secret_value(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes | None
    """`None`: longer than `MAX_REPLY_BYTES`, and not read."""


def list_request(start: float, end: float, page_token: str | None) -> Request:
    """One page of the operations created between two Unix times.

    Every parameter is repeated on every page: Twilio does not say whether a token carries them.
    """
    query = [("startDate", _rfc3339(start)), ("endDate", _rfc3339(end)), ("pageSize", str(PAGE_SIZE))]
    if page_token is not None:
        query.append(("pageToken", page_token))
    return Request("list", "/Emails/Operations", tuple(query))


def fetch_request(operation_id: str) -> Request:
    """One operation; the id was checked when it was read, and is checked again before it enters a URL."""
    if not ID_PATTERN.fullmatch(operation_id):
        raise ValueError("not an operation id")
    return Request("fetch", f"/Emails/Operations/{operation_id}")


def read_page(body: bytes) -> Page:
    """Rows that cannot be read are left out. Raises `Unreadable`, also where there are too many of them."""
    try:
        page = _PAGE.decode(body)
    except (msgspec.ValidationError, UnicodeDecodeError):
        return _read_rows(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Unreadable(_foreign(body) or _reason(error)) from None
    return Page([_operation(row) for row in page.operations], page.pagination.next or None)


def _read_rows(body: bytes) -> Page:
    """Row by row, for a page in which something is odd."""
    try:
        page = _RAW_PAGE.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(_reason(error)) from None
    operations, problems = [], []
    for index, raw in enumerate(page.operations):
        try:
            operations.append(_read_row(raw, f"$.operations[{index}]"))
        except _UnreadableRowError as error:
            problems.append(error)
    if len(problems) > max(1, UNREADABLE_SHARE * len(page.operations)):
        raise Unreadable(
            f"{problems[0]}; {len(problems)} of {len(page.operations)} rows cannot be read"
        ) from None
    return Page(operations, page.pagination.next or None, tuple(error.path for error in problems))


def read_operation(body: bytes, operation_id: str) -> Operation:
    """Raises `Unreadable`."""
    try:
        operation = _read_row(body, "$")
    except _UnreadableRowError as error:
        raise Unreadable(_foreign(body) or str(error)) from None
    if operation.id != operation_id:
        raise Unreadable("the reply is another operation than the one asked for - at `$.id`")
    return operation


class _UnreadableRowError(Exception):
    """The message holds the path, too."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{reason} - at `{path}`")
        self.path = path


def _read_row(raw: bytes | msgspec.Raw, path: str) -> Operation:
    """Raises `_UnreadableRowError`."""
    try:
        try:
            return _operation(_OPERATION.decode(raw))
        except msgspec.ValidationError:
            return _operation(msgspec.convert(_tolerated(msgspec.json.decode(raw)), _Operation))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        reason, _, inner = _reason(error).partition(" - at `$")
        raise _UnreadableRowError(path + inner.rstrip("`"), reason) from None


def _tolerated(row: Any) -> Any:
    """The row, with the two odd values read that leave no doubt: a whole number as a float, a leap second."""
    if not isinstance(row, dict):
        return row
    stats = row.get("stats")
    if isinstance(stats, dict):
        row["stats"] = {stat: _whole(value) for stat, value in stats.items()}
    for name in ("createdAt", "updatedAt"):
        if isinstance(value := row.get(name), str):
            row[name] = _leap_second(value)
    return row


def _whole(value: Any) -> Any:
    """`1.0` is 1. A float above 2^53 may already have lost units."""
    is_whole = isinstance(value, float) and value.is_integer() and abs(value) <= 2**53
    return int(value) if is_whole else value


def _leap_second(text: str) -> str | datetime:
    """Unix time has no leap second: `23:59:60` is the instant at which the next minute begins."""
    try:
        if re.match(r"[^:]*:[0-9]{2}:60(\D|$)", text):
            return datetime.fromisoformat(text.replace(":60", ":59", 1)) + timedelta(seconds=1)
    except (ValueError, OverflowError):
        pass
    return text


def read_error_code(body: bytes | None) -> int | None:
    """Twilio's number of an error (https://www.twilio.com/docs/api/errors), if the body holds one."""
    try:
        reply = _ERRORS.decode(body or b"")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return next((each.code for each in (reply, *reply.errors) if each.code), None)


def read_retry_after(value: str | None, now: float) -> float | None:
    """Seconds from now, from seconds or an HTTP date (RFC 9110, 10.2.3); `None` for neither."""
    if value is None:
        return None
    value = value.strip()
    if re.fullmatch(r"[0-9]+", value):  # ASCII only: int() would take more
        seconds = float(value)
    elif (at := read_http_date(value)) is not None:
        seconds = at - now
    else:
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)


def read_http_date(value: str | None) -> float | None:
    """Unix time of a `Date` header; `None` when there is none or it is nonsense."""
    try:
        parsed = parsedate_to_datetime(value or "")
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def read_request_id(headers: Mapping[str, str]) -> str | None:
    """Twilio's name for a request, for the log, if it looks like one."""
    value = headers.get("Twilio-Request-Id", "")
    return value if re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", value) else None


_Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""The state file holds no more. Metrics are floats: a sum above 2^53 is shown rounded to 53 bits."""


class _Stats(msgspec.Struct):
    total: _Count | None = None
    recipients: _Count | None = None
    attempts: _Count | None = None
    scheduled: _Count | None = None
    queued: _Count | None = None
    sent: _Count | None = None
    delivered: _Count | None = None
    opened: _Count | None = None
    undelivered: _Count | None = None
    failed: _Count | None = None
    canceled: _Count | None = None


# Struct fields decode in this order, and Stats are read off by position.
assert _Stats.__struct_fields__ == STATS  # noqa: S101 - holds at import, for every caller

_Id = Annotated[str, msgspec.Meta(pattern=rf"^(?:{ID_PATTERN.pattern})\Z")]
_Time = Annotated[datetime, msgspec.Meta(tz=True)]


class _Error(msgspec.Struct):
    code: Annotated[int, msgspec.Meta(ge=1, le=999_999)] | None = None


class _Errors(_Error):
    """Of both shapes: the documented list, and the older flat one."""

    errors: list[_Error] = []


class _Operation(msgspec.Struct, rename="camel"):
    id: _Id
    status: str
    stats: _Stats
    created_at: _Time
    updated_at: _Time


class _Pagination(msgspec.Struct):
    next: str | None = None


class _Page(msgspec.Struct):
    operations: list[_Operation]
    pagination: _Pagination


class _RawPage(msgspec.Struct):
    operations: list[msgspec.Raw]
    pagination: _Pagination


_PAGE = msgspec.json.Decoder(_Page)
_RAW_PAGE = msgspec.json.Decoder(_RawPage)
_ERRORS = msgspec.json.Decoder(_Errors)
_OPERATION = msgspec.json.Decoder(_Operation)

# A word that is not here, in any case or language, is `unknown`: it never becomes a label value.
_STATUS = {word.upper(): word for word in ("scheduled", "processing", "completed", "canceled")}


def _foreign(body: bytes) -> str | None:
    """What the body of a 200 is, where it is plainly no JSON."""
    start = body[:100].lstrip()
    if start.startswith(b"<"):
        return "the reply is HTML or XML: a proxy, gateway or login page answered in place of Twilio"
    if start.startswith(b"\x1f\x8b"):
        return (
            "the reply is compressed, and its headers do not say so: look at the proxy or gateway in between"
        )
    return None if start else "the reply is empty: look at the proxy or gateway in between"


def _reason(error: Exception) -> str:
    """msgspec's errors name the path and what was expected, never the value; the others quote the body."""
    return (
        str(error) if isinstance(error, msgspec.DecodeError) else f"JSON is malformed: {type(error).__name__}"
    )


def _operation(row: _Operation) -> Operation:
    stats: Stats = msgspec.structs.astuple(row.stats)
    status = _STATUS.get(row.status, "unknown")
    return Operation(row.id, status, row.created_at.timestamp(), row.updated_at.timestamp(), stats)


def _rfc3339(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
