"""Twilio's HTTP as data: requests to send, and what headers and a body hold.

Pure functions; sends nothing, waits for nothing and has no clock. Must not know of polls or metrics.
Rule 1: what does not have the documented form is `Malformed`, with the JSON path and never the value.
Rule 2: nothing of a reply gets past here unless it is a number, a time, a known word, a checked id or
an opaque page token.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Annotated, Final, NamedTuple, Protocol, TypeVar

import msgspec  # noqa: TID251 - home of msgspec

from exporter.errors import Malformed
from exporter.operation import ID_PATTERN, STATS, Operation, Stats

PAGE_SIZE: Final = 1000
"""Rows asked for in one page; the API's maximum."""

MAX_REPLY_BYTES: Final = 8 * 1024 * 1024
"""Far above the 0.4 MB of a full page; what is longer is not read."""

MAX_CLOCK_SKEW_SECONDS: Final = 86400.0
"""Between our clock and a reply's `Date`; what is less only shifts the window, and shows in a metric."""

MAX_RETRY_AFTER_SECONDS: Final = 3600.0
"""A longer `Retry-After` is taken for this: one broken header must not silence us for days."""


class Page(NamedTuple):
    """One page of a listing; `next_token` is `None` on the last."""

    operations: list[Operation]
    next_token: str | None


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
    reply = _decode(_PAGE, body)
    return Page([_operation(row) for row in reply.operations], reply.pagination.next or None)


def read_operation(body: bytes, operation_id: str) -> Operation:
    operation = _operation(_decode(_OPERATION, body))
    if operation.id != operation_id:
        raise Malformed("the reply is another operation than the one asked for - at `$.id`")
    return operation


def read_retry_after(value: str | None, now: float) -> float | None:
    """Seconds from now, from seconds or an HTTP date (RFC 9110, 10.2.3); `None` for neither."""
    if value is None:
        return None
    value = value.strip()
    if re.fullmatch(r"[0-9]{1,9}", value):  # ASCII only: int() would take more
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


_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]  # above, floats lose units


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


_PAGE = msgspec.json.Decoder(_Page)
_OPERATION = msgspec.json.Decoder(_Operation)

# A word that is not here, in any case or language, is `unknown`: it never becomes a label value.
_STATUS = {word.upper(): word for word in ("scheduled", "processing", "completed", "canceled")}


T = TypeVar("T")


def _decode(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    try:
        return decoder.decode(body)
    except msgspec.DecodeError as error:
        raise Malformed(f"{error}") from None  # says the path and what was expected, never the value
    except (UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"JSON is malformed: {type(error).__name__}") from None


def _operation(row: _Operation) -> Operation:
    stats: Stats = msgspec.structs.astuple(row.stats)
    status = _STATUS.get(row.status, "unknown")
    return Operation(row.id, status, row.created_at.timestamp(), row.updated_at.timestamp(), stats)


def _rfc3339(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
