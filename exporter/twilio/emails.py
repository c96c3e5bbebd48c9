"""Twilio's calls for single emails, and for the errors of an operation, as data. Pure: no I/O and no clock.

Personal data ends here. A row is decoded into the few fields that are counted; of an address only its domain
is kept, and of the tags only those that were asked for. Must not know counts, polls or metrics.

Rule 1: names, subjects and contents are not decoded. Addresses are not kept, not even in an error.
Rule 2: a body without the documented form raises `Unreadable`, with the JSON path and never the value. A
single wrong row refuses the page, because a share of the bad mail would be missing from every sum.
Rule 3: `to` may be a list or one object, `tags` may be absent, the reply may be wrapped in `data`, and the
name of a related resource may be in capitals: Twilio's specification, reference and guide show all of these.
https://www.twilio.com/docs/email
"""

from collections.abc import Collection
from typing import Annotated, Final, TypeVar

import msgspec  # noqa: TID251 - a home of msgspec

from exporter.email import UNKNOWN_DOMAIN, Email, EmailPage, ErrorPage
from exporter.errors import Unreadable
from exporter.operation import EMAIL_STATUSES, ID_PATTERN
from exporter.twilio.personal import clean, domain_of
from exporter.twilio.protocol import PAGE_SIZE, Request, Time, checked_id, not_json, reason, rfc3339

T = TypeVar("T")


def emails_request(
    status: str, start: float, end: float, page_token: str | None, operation_id: str | None = None
) -> Request:
    """One page of the emails with a status, created between two Unix times.

    `operation_id`: only those of one operation. Raises `ValueError` if it must not enter a URL.
    """
    query = [("status", status.upper()), ("startDate", rfc3339(start)), ("endDate", rfc3339(end))]
    if operation_id is not None:
        query.append(("operationId", checked_id(operation_id)))
    return Request("emails", "/Emails", (*query, *_paging(page_token)))


def errors_request(operation_id: str, page_token: str | None) -> Request:
    """One page of the errors of an operation. Raises `ValueError` if the id must not enter a URL.

    The call is named in Twilio's prose and has no published schema.
    """
    path = f"/Emails/Operations/{checked_id(operation_id)}/Errors"
    return Request("errors", path, _paging(page_token))


def read_emails(body: bytes, tag_keys: Collection[str] | None) -> EmailPage:
    """One page of emails. `tag_keys`: the tags to keep; `None` keeps all. Raises `Unreadable`."""
    page = _decoded(_EMAILS, body)
    rows = page.emails if page.data is None else page.data.emails
    pagination = page.pagination or (page.data and page.data.pagination)
    if rows is None or not pagination:
        raise Unreadable("the reply is not a page of emails: `emails` or `pagination` is missing")
    return EmailPage(tuple(_email(row, tag_keys) for row in rows), pagination.next or None)


def read_errors(body: bytes) -> ErrorPage:
    """One page of the errors of an operation, in the form of Twilio's other errors. Raises `Unreadable`."""
    page = _decoded(_ERRORS, body)
    token = page.pagination.next if page.pagination else None
    return ErrorPage(tuple(error.code for error in page.errors), token or None)


class _Address(msgspec.Struct):
    address: str | None = None


class _Related(msgspec.Struct):
    name: str | None = None
    id: str | None = None


class _Email(msgspec.Struct, rename="camel"):
    id: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    status: str
    created_at: Time
    updated_at: Time
    from_: _Address | None = msgspec.field(name="from", default=None)
    to: list[_Address] | _Address | None = None
    related: list[_Related] | None = None
    tags: dict[str, str] | None = None


class _Pagination(msgspec.Struct):
    next: str | None = None


class _Emails(msgspec.Struct):
    emails: list[_Email] | None = None
    pagination: _Pagination | None = None


class _EmailsReply(_Emails):
    data: _Emails | None = None


class _Error(msgspec.Struct):
    code: Annotated[int, msgspec.Meta(ge=1, le=999_999)]


class _ErrorsReply(msgspec.Struct):
    errors: list[_Error]
    pagination: _Pagination | None = None


_EMAILS: Final = msgspec.json.Decoder(_EmailsReply)
_ERRORS: Final = msgspec.json.Decoder(_ErrorsReply)
_STATUS: Final = {word.upper(): word for word in EMAIL_STATUSES}


def _paging(page_token: str | None) -> tuple[tuple[str, str], ...]:
    size = ("pageSize", str(PAGE_SIZE))
    return (size,) if page_token is None else (size, ("pageToken", page_token))


def _decoded(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(not_json(body) or reason(error)) from None


def _email(row: _Email, tag_keys: Collection[str] | None) -> Email:
    related = (each.id for each in row.related or () if (each.name or "").upper() == "OPERATION")
    recipients = row.to if isinstance(row.to, list) else [row.to]
    return Email(
        id=row.id,
        status=_STATUS.get(row.status, "unknown"),
        created_at=row.created_at.timestamp(),
        updated_at=row.updated_at.timestamp(),
        operation_id=next((each for each in related if each and ID_PATTERN.fullmatch(each)), None),
        sender_domain=_domain(row.from_),
        recipient_domains=tuple(dict.fromkeys(map(_domain, recipients))) or (UNKNOWN_DOMAIN,),
        tags={
            clean(key): clean(value)
            for key, value in (row.tags or {}).items()
            if tag_keys is None or key in tag_keys
        },
    )


def _domain(party: _Address | None) -> str:
    return domain_of(party.address or "") if party else UNKNOWN_DOMAIN
