"""Events as frozen records, for observers: metrics, log, account status, watchdog.

Pollers, schedulers and clients pass them to one callable, and do not depend on the observers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from exporter.errors import StateError, TwilioError

POLL_CALLS: Final = ("list", "fetch")
"""Names of the API calls of a poll."""

BREAKDOWN_CALLS: Final = ("emails", "errors")
"""Names of the API calls of a breakdown."""

CALLS: Final = POLL_CALLS + BREAKDOWN_CALLS
"""Names of all API calls."""


@dataclass(frozen=True, slots=True)
class RequestFinished:
    """One HTTP request, answered or not."""

    account: str
    call: str
    """One of `CALLS`."""
    code: str
    """HTTP status, or `timeout`, or `connection`."""
    duration_seconds: float
    clock_skew_seconds: float | None
    """The local clock minus the `Date` of the reply; `None` if the reply has none."""


@dataclass(frozen=True, slots=True)
class RequestRetried:
    """A request that failed and will be sent again."""

    account: str
    reason: str
    wait_seconds: float
    request_id: str | None = None
    """Twilio's id of the failed request."""


@dataclass(frozen=True, slots=True)
class RequestsPaused:
    """Twilio asked for fewer requests or a pause; not emitted again before `RequestsResumed`. Unix times."""

    account: str
    reason: str
    """`throttled`, or `unavailable` for a 5xx with `Retry-After`."""
    since: float
    until: float | None
    """End of the pause by `Retry-After`; `None` without that header."""
    request_id: str | None


@dataclass(frozen=True, slots=True)
class RequestsResumed:
    """The first success after a pause. Unix times."""

    account: str
    since: float
    until: float


@dataclass(frozen=True, slots=True)
class RowsUnreadable:
    """Rows that could not be read and were left out; emitted for each page with such rows."""

    account: str
    paths: tuple[str, ...]
    """JSON path of each row's first invalid value, such as `$.operations[3].stats.failed`; never a value."""


@dataclass(frozen=True, slots=True)
class StatusFilterIgnored:
    """Listings filtered by status showed every status; emitted once, because none is made afterwards."""

    account: str


@dataclass(frozen=True, slots=True)
class StatsUnknown:
    """Stats that this version does not know; emitted for each reply with such stats."""

    account: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CredentialChanged:
    """A new secret is in use."""

    account: str


@dataclass(frozen=True, slots=True)
class CredentialUnreadable:
    """The secret could not be read again; emitted once for each problem."""

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
    """Rows that this poll has listed so far."""
    elapsed_seconds: float
    """Since the poll started."""

    @property
    def operations_per_second(self) -> float:
        return self.operations / self.elapsed_seconds if self.elapsed_seconds else 0.0


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
    """Non-final operations that were not fetched because time ran out."""
    failed_fetches: int = 0
    fetch_error: TwilioError | None = None
    """The error of the last failed fetch."""

    @property
    def outcome(self) -> str:
        return self.error.outcome if self.error else "success"


@dataclass(frozen=True, slots=True)
class StateSaved:
    """The changes of a poll were saved, or could not be."""

    account: str
    error: StateError | None
    rows: int


@dataclass(frozen=True, slots=True)
class PollCrashed:
    """An internal error ended a poll; the last good values are kept."""

    account: str
    finished_at: float
    error: Exception


@dataclass(frozen=True, slots=True)
class PollScheduled:
    account: str
    next_poll_at: float


@dataclass(frozen=True, slots=True)
class BreakdownFinished:
    """One refresh of the breakdown of failed and undelivered emails."""

    account: str
    finished_at: float
    duration_seconds: float
    requests: int
    error: TwilioError | None
    """`None`: it succeeded and was published."""
    errors_error: TwilioError | None = None
    """Why the errors of operations are missing in it; `None`: they are not."""


@dataclass(frozen=True, slots=True)
class BreakdownCrashed:
    """An internal error ended a refresh; the last good values are kept."""

    account: str
    finished_at: float
    error: Exception


@dataclass(frozen=True, slots=True)
class OperationErrorsUnsupported:
    """Twilio does not give the errors of operations; emitted once, as they are not requested again."""

    account: str
    error: TwilioError


Event: TypeAlias = (
    RequestFinished
    | RequestRetried
    | RequestsPaused
    | RequestsResumed
    | RowsUnreadable
    | StatusFilterIgnored
    | StatsUnknown
    | CredentialChanged
    | CredentialUnreadable
    | PollStarted
    | ListingProgressed
    | PollFinished
    | PollCrashed
    | PollScheduled
    | StateSaved
    | BreakdownFinished
    | BreakdownCrashed
    | OperationErrorsUnsupported
)
Observer: TypeAlias = Callable[[Event], None]
