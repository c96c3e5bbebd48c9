"""What happened, as frozen records for whoever watches: metrics, log, status page.

The conductor and the client hand these to one callable and know nothing of who listens.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from exporter.errors import StateError, TwilioError

ENDPOINTS: Final = ("list", "fetch")
"""Our names for the two calls."""


@dataclass(frozen=True, slots=True)
class RequestFinished:
    """One HTTP request, answered or not."""

    account: str
    endpoint: str
    """One of `ENDPOINTS`."""
    code: str
    """HTTP status, or `timeout`, or `connection`."""
    duration_seconds: float
    clock_skew_seconds: float | None
    """Our clock less the reply's `Date`; `None` without one."""


@dataclass(frozen=True, slots=True)
class RequestRetried:
    """A request that failed and will be sent again."""

    account: str
    reason: str
    wait_seconds: float


@dataclass(frozen=True, slots=True)
class PollStarted:
    account: str
    started_at: float


@dataclass(frozen=True, slots=True)
class ListingProgressed:
    """A page of a poll's listing has arrived."""

    account: str
    pages: int
    operations: int
    """Rows so far, in this poll."""


@dataclass(frozen=True, slots=True)
class PollFinished:
    account: str
    finished_at: float
    duration_seconds: float
    error: TwilioError | None
    """`None`: the poll succeeded."""
    listed_operations: int = 0
    fetched_operations: int = 0
    skipped_fetches: int = 0
    """Non-final operations that were not fetched for want of time."""

    @property
    def outcome(self) -> str:
        return self.error.outcome if self.error else "success"


@dataclass(frozen=True, slots=True)
class StateSaved:
    """A poll's changes were written, or could not be."""

    account: str
    error: StateError | None
    rows: int


@dataclass(frozen=True, slots=True)
class PollScheduled:
    account: str
    next_poll_at: float


Report: TypeAlias = (
    RequestFinished
    | RequestRetried
    | PollStarted
    | ListingProgressed
    | PollFinished
    | PollScheduled
    | StateSaved
)
Listener: TypeAlias = Callable[[Report], None]
