"""Twilio's requests and replies as data: what to send, and how to read headers and bodies.

Pure: no I/O and no clock. Must not know polls or metrics.

Rule 1: a body without the documented form raises `Unreadable`, with the JSON path and never the value.
Rule 2: only numbers, times, known words, checked ids and opaque page tokens leave this module; of an unknown
stat its name, if it is one word.
Rule 3: a page is decoded as a whole first; its rows are read one by one only after that failed.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Annotated, Any, Final, NamedTuple, Protocol

import msgspec  # noqa: TID251 - home of msgspec

from exporter.errors import Unreadable
from exporter.operation import ID_PATTERN, STATS, Operation, Stats

PAGE_SIZE: Final = 1000
"""Rows requested in one page: the API's maximum."""

MAX_REPLY_BYTES: Final = 8 * 1024 * 1024
"""Longer bodies are not read. A full page has 0.4 MB."""

UNREADABLE_SHARE: Final = 0.01
"""Share of a page's rows. If more than this, and more than one row, cannot be read, the page is refused."""

MAX_CLOCK_SKEW_SECONDS: Final = 86400.0
"""Between the local clock and a reply's `Date`. A smaller skew only shifts the window; a metric shows it."""

MAX_RETRY_AFTER_SECONDS: Final = 3600.0
"""A longer `Retry-After` is reduced to this, so that one broken header does not stop polling for days."""


class Page(NamedTuple):
    """One page of a listing."""

    operations: list[Operation]
    next_token: str | None
    """`None` on the last page."""
    unreadable: tuple[str, ...] = ()
    """JSON paths of the rows that were left out."""
    clock_skew_seconds: float | None = None
    """The local clock minus the reply's `Date`, added by the client; `None` without a `Date`."""

    @property
    def ids(self) -> list[str]:
        return [operation.id for operation in self.operations]


@dataclass(frozen=True, slots=True)
class Request:
    """A GET. `call` is its name in metrics; `path` is appended to the base URL."""

    call: str
    path: str
    query: tuple[tuple[str, str], ...] = ()


class Secret(Protocol):
    """Hides its value from `str` and `repr`, as pydantic's `SecretStr` does."""

    def get_secret_value(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply as it was received."""

    status: int
    headers: Mapping[str, str]
    body: bytes | None
    """`None` when it is longer than `MAX_REPLY_BYTES`."""


def list_request(start: float, end: float, page_token: str | None, status: str | None = None) -> Request:
    """One page of the operations created between two Unix times, of one status or of all.

    Every page repeats every parameter, because Twilio does not document whether a token carries them.
    """
    query = [("startDate", rfc3339(start)), ("endDate", rfc3339(end)), ("pageSize", str(PAGE_SIZE))]
    if status is not None:
        query.append(("status", status.upper()))
    if page_token is not None:
        query.append(("pageToken", page_token))
    return Request("list", "/Emails/Operations", tuple(query))


def fetch_request(operation_id: str) -> Request:
    """One operation. Raises `ValueError` if the id must not enter a URL."""
    return Request("fetch", f"/Emails/Operations/{checked_id(operation_id)}")


def checked_id(operation_id: str) -> str:
    """The id of an operation. Raises `ValueError` if it must not enter a URL."""
    if not ID_PATTERN.fullmatch(operation_id):
        raise ValueError("not an operation id")
    return operation_id


def read_page(body: bytes) -> Page:
    """Rows that cannot be read are left out. Raises `Unreadable` if there are too many, or no page at all."""
    try:
        page = _PAGE.decode(body)
        operations = _operations(page.operations)
    except (msgspec.ValidationError, UnicodeDecodeError):
        return _read_rows(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Unreadable(not_json(body) or reason(error)) from None
    return Page(operations, page.pagination.next or None)


def _operations(rows: Sequence["_Row"]) -> list[Operation]:
    """Raises msgspec's errors if any row is not as documented."""
    if not all(map(ID_PATTERN.fullmatch, [row.id for row in rows])):
        raise msgspec.ValidationError
    read_stats = cache(_read_stats)
    operations = []
    for row in rows:
        stats, unknown_stats = read_stats(bytes(row.stats))
        status = _STATUS.get(row.status, "unknown")
        created_at, updated_at = row.created_at.timestamp(), row.updated_at.timestamp()
        operations.append(_new(Operation, (row.id, status, created_at, updated_at, stats, unknown_stats)))
    return operations


def _read_stats(raw: bytes) -> tuple[Stats, tuple[str, ...]]:
    """The stats of an operation, and the names of those that this version does not know."""
    try:
        return _stats(_STATS.decode(raw)), ()
    except msgspec.ValidationError:
        return _stats(_OPEN_STATS.decode(raw)), _unknown_stats(_STATS_NAMES.decode(raw))


def _read_rows(body: bytes) -> Page:
    """Read a page row by row, after the typed decoding of the whole page failed."""
    try:
        page = _RAW_PAGE.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(reason(error)) from None
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
    """The reply to a fetch. Raises `Unreadable`, also if it is another operation."""
    try:
        operation = _read_row(body, "$")
    except _UnreadableRowError as error:
        raise Unreadable(not_json(body) or str(error)) from None
    if operation.id != operation_id:
        raise Unreadable("the reply is about another operation than the requested one - at `$.id`")
    return operation


class _UnreadableRowError(Exception):
    """The message contains the JSON path."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{reason} - at `{path}`")
        self.path = path


def _read_row(raw: bytes | msgspec.Raw, path: str) -> Operation:
    """One operation from JSON at `path`. Raises `_UnreadableRowError`."""
    try:
        try:
            return _operation(_OPERATION.decode(raw))
        except msgspec.ValidationError:
            row = _tolerated(msgspec.json.decode(raw))
            return _operation(msgspec.convert(row, _OpenOperation), _unknown_stats(row["stats"]))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        problem, _, inner = reason(error).partition(" - at `$")
        raise _UnreadableRowError(path + inner.rstrip("`"), problem) from None


def _tolerated(row: Any) -> Any:
    """The row with two unambiguous deviations converted: whole numbers as floats, and leap seconds."""
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
    """`1.0` becomes 1. A float above 2^53 is not converted, because it may have lost units."""
    is_whole = isinstance(value, float) and value.is_integer() and abs(value) <= 2**53
    return int(value) if is_whole else value


def _leap_second(text: str) -> str | datetime:
    """`23:59:60` becomes the start of the next minute, because Unix time has no leap seconds."""
    try:
        if re.match(r"[^:]*:[0-9]{2}:60(\D|$)", text):
            return datetime.fromisoformat(text.replace(":60", ":59", 1)) + timedelta(seconds=1)
    except (ValueError, OverflowError):
        pass
    return text


def read_error_code(body: bytes | None) -> int | None:
    """Twilio's numeric error code (https://www.twilio.com/docs/api/errors), if the body has one."""
    try:
        reply = _ERRORS.decode(body or b"")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return next((each.code for each in (reply, *reply.errors) if each.code), None)


def read_retry_after(value: str | None, now: float) -> float | None:
    """Seconds from now, of seconds or an HTTP date (RFC 9110, 10.2.3); `None` for anything else."""
    if value is None:
        return None
    value = value.strip()
    if re.fullmatch(r"[0-9]+", value):  # ASCII only: float() accepts more
        seconds = float(value)
    elif (at := read_http_date(value)) is not None:
        seconds = at - now
    else:
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)


def read_http_date(value: str | None) -> float | None:
    """Unix time of an HTTP date; `None` if it is missing or invalid."""
    try:
        parsed = parsedate_to_datetime(value or "")
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def read_request_id(headers: Mapping[str, str]) -> str | None:
    """Twilio's id of the request, for the log; `None` if it is missing or has another form."""
    value = headers.get("Twilio-Request-Id", "")
    return value if re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", value) else None


_Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""2^63 - 1 is the limit of the state file. Metrics are floats: a sum above 2^53 is rounded to 53 bits."""


class _OpenStats(msgspec.Struct):
    """Ignores the stats that this version does not know."""

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


# `astuple` returns the fields in this order, and `Stats` are read by position.
assert _OpenStats.__struct_fields__ == STATS  # noqa: S101 - holds at import, for every caller


class _Stats(_OpenStats, forbid_unknown_fields=True):
    """Refuses the stats that this version does not know: most pages have none, and are decoded once."""


_Id = Annotated[str, msgspec.Meta(pattern=rf"^(?:{ID_PATTERN.pattern})\Z")]
Time = Annotated[datetime, msgspec.Meta(tz=True)]


class _Error(msgspec.Struct):
    code: Annotated[int, msgspec.Meta(ge=1, le=999_999)] | None = None


class _Errors(_Error):
    """Both shapes of an error: the documented list, and the older flat object."""

    errors: list[_Error] = []


class _OpenOperation(msgspec.Struct, rename="camel"):
    id: _Id
    status: str
    created_at: Time
    updated_at: Time
    stats: _OpenStats


class _Operation(_OpenOperation, rename="camel"):
    stats: _Stats


class _Row(msgspec.Struct, rename="camel", gc=False):
    """An operation in a page. The other rows of a page often have the same stats, which are read once."""

    id: str
    status: str
    created_at: Time
    updated_at: Time
    stats: msgspec.Raw


class _Pagination(msgspec.Struct):
    next: str | None = None


class _Page(msgspec.Struct):
    operations: list[_Row]
    pagination: _Pagination


class _RawPage(msgspec.Struct):
    operations: list[msgspec.Raw]
    pagination: _Pagination


_PAGE = msgspec.json.Decoder(_Page)
_STATS = msgspec.json.Decoder(_Stats)
_OPEN_STATS = msgspec.json.Decoder(_OpenStats)
_STATS_NAMES = msgspec.json.Decoder(dict[str, Any])
_RAW_PAGE = msgspec.json.Decoder(_RawPage)
_ERRORS = msgspec.json.Decoder(_Errors)
_OPERATION = msgspec.json.Decoder(_Operation)

# Any other word is `unknown`, so that no text of a reply becomes a label value.
_KNOWN_STATS: Final = frozenset(STATS)
_STATUS = {word.upper(): word for word in ("scheduled", "processing", "completed", "canceled")}


def not_json(body: bytes) -> str | None:
    """What the body of a 200 is, if it is plainly not JSON."""
    start = body[:100].lstrip()
    if start.startswith(b"<"):
        return "the reply is HTML or XML: a proxy, gateway or login page answered instead of Twilio"
    if start.startswith(b"\x1f\x8b"):
        return "the reply is compressed without a header for it: check the proxy or gateway in between"
    return None if start else "the reply is empty: check the proxy or gateway in between"


def reason(error: Exception) -> str:
    """msgspec's errors show no value. Other errors quote the body, so that only their class is used."""
    return (
        str(error) if isinstance(error, msgspec.DecodeError) else f"JSON is malformed: {type(error).__name__}"
    )


# A third faster than `Operation(...)`, and a first listing makes a million of them.
_new: Final[Callable[[type[Operation], tuple[Any, ...]], Operation]] = tuple.__new__


def _unknown_stats(names: Iterable[str]) -> tuple[str, ...]:
    """Sorted; a name that is not one word, as Twilio's are, is not repeated."""
    unknown = set(names) - _KNOWN_STATS
    return tuple(sorted({each if re.fullmatch(r"[A-Za-z0-9_]{1,40}", each) else "…" for each in unknown}))


def _stats(stats: _OpenStats) -> Stats:
    return Stats(*msgspec.structs.astuple(stats))


def _operation(row: _OpenOperation, unknown_stats: tuple[str, ...] = ()) -> Operation:
    status = _STATUS.get(row.status, "unknown")
    created_at, updated_at = row.created_at.timestamp(), row.updated_at.timestamp()
    return Operation(row.id, status, created_at, updated_at, _stats(row.stats), unknown_stats)


def rfc3339(at: float) -> str:
    """Unix time as Twilio's queries write it."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
