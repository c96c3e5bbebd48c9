"""Why mail fails: failed and undelivered emails, counted by domain and tag. Pure.

Must not know requests, settings or Prometheus.

Rule 1: an email counts once in each dimension, under its newest `updatedAt`, however often it is listed; with
several recipients once for each distinct domain.
Rule 2: the values with the most emails are shown; the others add up in `other`, which is always there.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

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
        self._dimensions = dimensions
        self._alike: dict[_Kind, _Alike] = {}
        self._newest: dict[str, tuple[float, _Alike]] = {}  # by id; a refresh may list half a million

    def absorb(self, email: Email) -> None:
        """Count the email, or what is new about it. Of versions with the same `updatedAt` the later wins."""
        known = self._newest.get(email.id)
        if known is not None:
            updated_at, counted = known
            if updated_at > email.updated_at:
                return
            counted.emails -= 1
        kind = email.status, tuple(_values(email, dimension) for dimension in self._dimensions)
        alike = self._alike.setdefault(kind, _Alike())
        alike.emails += 1
        self._newest[email.id] = email.updated_at, alike

    @property
    def emails(self) -> Bad:
        return Bad(
            *(
                sum(alike.emails for (status, _), alike in self._alike.items() if status == wanted)
                for wanted in BAD_STATUSES
            )
        )

    def rows(self, top: int) -> dict[str, tuple[Row, ...]]:
        """By dimension, at most `top` values and `other`."""
        return {dimension: _top(self._rows(index), top) for index, dimension in enumerate(self._dimensions)}

    def _rows(self, index: int) -> list[Row]:
        counts = Counter[tuple[str, str]]()
        for (status, values), alike in self._alike.items():
            for value in values[index] if status in BAD_STATUSES else ():
                counts[value, status] += alike.emails
        names = {value for value, _ in counts}
        return [Row(value, Bad(*(counts[value, status] for status in BAD_STATUSES))) for value in names]


_Kind: TypeAlias = tuple[str, tuple[tuple[str, ...], ...]]
"""A status, and the values of each dimension."""


@dataclass(slots=True)
class _Alike:
    """How many emails have the same status and the same values."""

    emails: int = 0


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
