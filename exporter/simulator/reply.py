"""Replies as data: Twilio's JSON for operations and errors, and how a reply is delivered.

Pure. It is written from Twilio's published reference, independently of the exporter's protocol module.
"""

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import formatdate
from http import HTTPStatus
from typing import Any, Final, Literal, TypeAlias

from exporter.operation import STATS, Operation
from exporter.simulator.emails import Email

Delivery: TypeAlias = Literal["whole", "cut", "reset", "hang"]

JSON: Final = "application/json"
CODES: Final = {
    400: 20001,
    401: 20003,
    403: 20403,
    404: 20404,
    429: 20429,
    500: 20500,
    502: 20502,
    503: 20503,
}
"""https://www.twilio.com/docs/api/errors; 20502 is a guess."""
EMAIL_ERROR_CODES: Final = (30007, 30007, 30007, 30003, 30008)
"""A guess."""


@dataclass(frozen=True, slots=True)
class Reply:
    """`at` is the server's time in Unix seconds; `deliver` converts it to the `Date` header."""

    at: float
    status: int = 200
    body: bytes = b""
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()
    delivery: Delivery = "whole"
    delay_seconds: float = 0.0

    @property
    def is_sent(self) -> bool:
        """Whether the client receives a status."""
        return self.delivery in {"whole", "cut"}

    def with_header(self, name: str, value: str) -> "Reply":
        return replace(self, headers=(*self.headers, (name, value)))

    def with_json(self, value: object) -> "Reply":
        return replace(self, body=json.dumps(value).encode(), content_type=JSON)


def rfc3339(at: float) -> str:
    """RFC 3339 in UTC with `Z`; microseconds only if they are not zero."""
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


def http_date(at: float) -> str:
    return formatdate(at, usegmt=True)


def operation_json(operation: Operation) -> dict[str, Any]:
    """Absent stats are omitted; statuses are in upper case."""
    named = zip(STATS, operation.stats, strict=True)
    return {
        "id": operation.id,
        "status": operation.status.upper(),
        "stats": {stat: value for stat, value in named if value is not None},
        "createdAt": rfc3339(operation.created_at),
        "updatedAt": rfc3339(operation.updated_at),
    }


def email_json(email: Email) -> dict[str, Any]:
    """`scheduledFor` and `deletedAt` are always null: the simulator does not know them."""
    uri = f"/v1/Emails/Operations/{email.operation_id}"
    return {
        "id": email.id,
        "from": {"address": email.sender, "name": "The shop"},
        "to": [{"address": email.recipient, "name": "A customer"}],
        "status": email.status.upper(),
        "related": [{"name": "OPERATION", "id": email.operation_id, "uri": uri}],
        **({} if email.tags is None else {"tags": dict(email.tags)}),
        "scheduledFor": None,
        "createdAt": rfc3339(email.created_at),
        "updatedAt": rfc3339(email.updated_at),
        "deletedAt": None,
    }


def email_error_json(email: Email) -> dict[str, Any]:
    """A guess: Twilio names the call and publishes no schema. It holds an address, as an error well may."""
    code = EMAIL_ERROR_CODES[email.number % len(EMAIL_ERROR_CODES)]
    return {
        "code": code,
        "message": f"The email to {email.recipient} was not sent.",
        "infoUrl": f"https://www.twilio.com/docs/errors/{code}",
        "context": email.recipient,
    }


def error_json(status: int, message: str = "", context: str | None = None) -> dict[str, Any]:
    """`context` names the invalid part of the request."""
    code = CODES.get(status, 20000 + status)
    error = {
        "code": code,
        "message": message or HTTPStatus(status).phrase,
        "infoUrl": f"https://www.twilio.com/docs/errors/{code}",
        "context": context,
    }
    return {"errors": [error]}


def flat_error_json(status: int) -> dict[str, Any]:
    """The older format that Twilio's gateway still uses for 401 and 403."""
    code = CODES.get(status, 20000 + status)
    return {
        "code": code,
        "message": "Authenticate" if status == 401 else HTTPStatus(status).phrase,
        "more_info": f"https://www.twilio.com/docs/errors/{code}",
        "status": status,
    }


def error_reply(at: float, status: int, message: str = "", context: str | None = None) -> Reply:
    return Reply(at, status).with_json(error_json(status, message, context))
