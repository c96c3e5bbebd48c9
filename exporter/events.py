"""What happened, as frozen records for whoever watches: metrics, log, status page.

The conductor and the client hand these to one callable and know nothing of who listens.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from exporter.errors import StateError, TwilioError

CALLS: Final = ("list", "fetch")
"""Our names for the two calls."""


@dataclass(frozen=True, slots=True)
class RequestFinished:
    """One HTTP request, answered or not."""

    account: str
    call: str
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
    request_id: str | None = None
    """Twilio's name of the failed request."""


@dataclass(frozen=True, slots=True)
class RequestsPaused:
    """Twilio has begun to ask for fewer requests; told once, until `RequestsReleased`. Unix times."""

    account: str
    since: float
    until: float | None
    """When it lets us come back; `None`: it did not say."""
    request_id: str | None


@dataclass(frozen=True, slots=True)
class RequestsResumed:
    """Twilio answers again. Unix times."""

    account: str
    since: float
    until: float


@dataclass(frozen=True, slots=True)
class RowsUnreadable:
    """Rows of a listing's page that could not be read and were left out; emitted for each such page."""

    account: str
    paths: tuple[str, ...]
    """JSON path of each row's first odd value, such as `$.operations[3].stats.failed`; never a value."""


@dataclass(frozen=True, slots=True)
class CredentialChanged:
    """Another secret is in use from now on."""

    account: str


@dataclass(frozen=True, slots=True)
class CredentialUnreadable:
    """The secret could not be read again; told once for each problem."""

    account: str
    problem: str
    old_one_in_use: bool


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
    failed_fetches: int = 0
    fetch_error: TwilioError | None = None
    """Why the last of them failed."""

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
class PollCrashed:
    """A mistake of ours ended a poll; the last good numbers stay."""

    account: str
    finished_at: float
    error: Exception


@dataclass(frozen=True, slots=True)
class PollScheduled:
    account: str
    next_poll_at: float


Event: TypeAlias = (
    RequestFinished
    | RequestRetried
    | RequestsPaused
    | RequestsResumed
    | RowsUnreadable
    | CredentialChanged
    | CredentialUnreadable
    | PollStarted
    | ListingProgressed
    | PollFinished
    | PollCrashed
    | PollScheduled
    | StateSaved
)
Observer: TypeAlias = Callable[[Event], None]
