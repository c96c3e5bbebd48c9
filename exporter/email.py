"""A single email as a plain value that holds no personal data, in Twilio's words.

Must not know of JSON, HTTP or Prometheus.

Rule: no address, name, subject or content is ever a part of it. `exporter.twilio.emails` drops them while it
decodes a reply.
"""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

UNKNOWN_DOMAIN: Final = "unknown"
"""Replaces the domain of an address that has none, or none that could be a domain."""

BAD_STATUSES: Final = ("failed", "undelivered")
"""The statuses of emails that did not reach their recipient."""


class Email(NamedTuple):
    """One email as a reply described it. Times are Unix seconds."""

    id: str
    status: str
    """One of `operation.EMAIL_STATUSES`, or `unknown`."""
    created_at: float
    updated_at: float
    operation_id: str | None
    """The operation that the email belongs to, if the reply names one."""
    sender_domain: str
    recipient_domains: tuple[str, ...]
    """Distinct, at least one; `unknown` stands for what is no domain."""
    tags: Mapping[str, str]
    """The values of the requested keys; a key that the email does not have is missing."""


class EmailPage(NamedTuple):
    """One page of a listing of emails."""

    emails: tuple[Email, ...]
    next_token: str | None
    """`None` on the last page."""

    @property
    def ids(self) -> Iterator[str]:
        return (email.id for email in self.emails)


class ErrorPage(NamedTuple):
    """One page of the errors of an operation."""

    codes: tuple[int, ...]
    """Twilio's code of each error."""
    next_token: str | None
    """`None` on the last page."""
