"""Why mail fails: failed and undelivered emails, counted by domain and tag. Pure.

Must not know requests, settings or Prometheus.

Rule 1: an email counts once in each dimension, under its newest `updatedAt`, however often it is listed; with
several recipients once for each distinct domain.
Rule 2: the values with the most emails are shown; the others add up in `other`, which is always there.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from exporter.email import BAD_STATUSES, Email

OTHER: Final = "other"
"""The values that are not shown."""

NO_TAG: Final = "none"
"""Emails without the tag."""

TAG_PREFIX: Final = "tag:"

DOMAIN_DIMENSIONS: Final = ("recipient_domain", "sender_domain")
"""The dimensions that need no key. Those of tags are written `tag:KEY`."""


class Bad(NamedTuple):
    """Emails that did not reach their recipient."""

    failed: int = 0
    undelivered: int = 0

    @property
    def total(self) -> int:
        return self.failed + self.undelivered


class Row(NamedTuple):
    """One value of a dimension and its emails."""

    value: str
    bad: Bad


@dataclass(frozen=True, slots=True)
class Breakdown:
    """The failed and undelivered emails of one account, as of one instant."""

    as_of: float
    """Unix time at which the refresh started."""
    lookback_seconds: float
    """The emails were created within this time before `as_of`."""
    complete: bool
    """Whether everything was listed; otherwise the numbers are lower bounds."""
    emails: Bad
    dimensions: Mapping[str, tuple[Row, ...]]
    """By dimension as the settings write it: the values with the most emails first, and `other` last."""
    errors: tuple[tuple[str, int], ...] | None = None
    """Errors of the worst operations by Twilio's code, the most frequent first, the last one `other`.

    `None`: they were not asked for, or could not be read.
    """


class Tally:
    """Counts emails as they are listed, in any order and more than once."""

    def __init__(self, dimensions: Sequence[str]) -> None:
        self._emails: dict[str, Email] = {}
        self._totals = Counter[str]()
        self._counts = {dimension: Counter[tuple[str, str]]() for dimension in dimensions}

    def absorb(self, email: Email) -> None:
        """Count the email, or what is new about it. Of versions with the same `updatedAt` the later wins."""
        known = self._emails.get(email.id)
        if known is None or known.updated_at <= email.updated_at:
            self._emails[email.id] = email
            self._add(email, 1)
            if known is not None:
                self._add(known, -1)

    @property
    def emails(self) -> Bad:
        return Bad(*(self._totals[status] for status in BAD_STATUSES))

    def rows(self, top: int) -> dict[str, tuple[Row, ...]]:
        """By dimension, at most `top` values and `other`."""
        return {dimension: _top(_rows(counts), top) for dimension, counts in self._counts.items()}

    def _add(self, email: Email, change: int) -> None:
        if email.status not in BAD_STATUSES:
            return
        self._totals[email.status] += change
        for dimension, counts in self._counts.items():
            for value in _values(email, dimension):
                counts[value, email.status] += change


def _rows(counts: Counter[tuple[str, str]]) -> list[Row]:
    values = {value for value, _ in counts}
    return [Row(value, Bad(*(counts[value, status] for status in BAD_STATUSES))) for value in values]


def _values(email: Email, dimension: str) -> tuple[str, ...]:
    if dimension == "recipient_domain":
        return email.recipient_domains
    if dimension == "sender_domain":
        return (email.sender_domain,)
    return (email.tags.get(dimension.removeprefix(TAG_PREFIX)) or NO_TAG,)


def _top(rows: Sequence[Row], top: int) -> tuple[Row, ...]:
    """A value that is called `other` adds to ours. Of equal values the first by name is shown."""
    named = sorted(
        (row for row in rows if row.value != OTHER and row.bad.total),
        key=lambda row: (-row.bad.total, row.value),
    )
    others = [row.bad for row in rows if row.value == OTHER] + [row.bad for row in named[top:]]
    other = Bad(sum(bad.failed for bad in others), sum(bad.undelivered for bad in others))
    return (*named[:top], Row(OTHER, other))


def top_errors(codes: Mapping[int, int], top: int) -> tuple[tuple[str, int], ...]:
    """Errors by code, at most `top` of them and `other`."""
    ranked = sorted(codes.items(), key=lambda item: (-item[1], item[0]))
    shown = tuple((str(code), errors) for code, errors in ranked[:top])
    return (*shown, (OTHER, sum(errors for _, errors in ranked[top:])))


def tag_keys(dimensions: Sequence[str]) -> Iterator[str]:
    """The keys of the tags among the dimensions."""
    return (each.removeprefix(TAG_PREFIX) for each in dimensions if each.startswith(TAG_PREFIX))
