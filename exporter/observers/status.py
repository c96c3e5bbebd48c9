"""How each account fares, folded from reports: for the log, which tells edges, and for people.

Pure; times come with the reports. Must not know who looks.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from exporter.errors import StateError, TwilioError
from exporter.events import (
    Event,
    ListingProgressed,
    PollCrashed,
    PollFinished,
    PollScheduled,
    PollStarted,
    StateSaved,
)
from exporter.ledger.snapshot import Snapshot


class Edge(Enum):
    """What a poll's end changed."""

    FIRST_SUCCESS = auto()
    BROKE = auto()
    BROKE_OTHERWISE = auto()
    """It failed before and fails still, but in another way."""
    RECOVERED = auto()
    STATE_BROKE = auto()
    STATE_RECOVERED = auto()


@dataclass(slots=True)
class AccountStatus:
    """Instants are Unix seconds."""

    account: str
    polling_since: float | None = None
    """`None` between polls."""
    listed_pages: int = 0
    listed_operations: int = 0
    """Of the poll under way."""
    next_poll_at: float | None = None
    error: TwilioError | None = None
    """What ended the last poll; `None`: it succeeded, or there was none."""
    crashed: str | None = None
    """The kind of internal error that ended the last poll."""
    failing_since: float | None = None
    failed_polls: int = 0
    """In a row; both are of the last failure, which may be over."""
    state_error: StateError | None = None
    """Why the last write of the state failed; `None`: it did not."""
    has_succeeded: bool = False
    """In this process; what is shown may be a former one's."""
    snapshot: Snapshot | None = None

    @property
    def last_success_at(self) -> float | None:
        """When that poll began: as of then the numbers are."""
        return self.snapshot.as_of if self.snapshot else None

    @property
    def is_failing(self) -> bool:
        return self.error is not None or self.crashed is not None


class RateLimitStatus(NamedTuple):
    """How an account's requests leave."""

    requests_per_second: float
    next_request_at: float
    """Unix time; 0 or past: now."""


class AccountStatuses:
    """The accounts side by side."""

    def __init__(self, accounts: Iterable[str]) -> None:
        self.accounts = {account: AccountStatus(account) for account in accounts}

    def publish(self, account: str, snapshot: Snapshot) -> None:
        self.accounts[account].snapshot = snapshot

    def observe(self, event: Event) -> Edge | None:
        """Take a report in; says what it changed, if that is worth a line in the log."""
        status = self.accounts[event.account]
        match event:
            case PollStarted(started_at=started_at):
                status.polling_since = started_at
                status.listed_pages = status.listed_operations = 0
            case ListingProgressed(pages=pages, operations=operations):
                status.listed_pages, status.listed_operations = pages, operations
            case PollScheduled(next_poll_at=next_poll_at):
                status.next_poll_at = next_poll_at
            case PollFinished():
                return _finish(status, event)
            case StateSaved(error=error):
                before, status.state_error = status.state_error, error
                if (before is None) != (error is None):
                    return Edge.STATE_BROKE if error else Edge.STATE_RECOVERED
            case PollCrashed(finished_at=finished_at, error=error):
                if not status.is_failing:
                    status.failing_since, status.failed_polls = finished_at, 0
                status.failed_polls += 1
                status.polling_since, status.error, status.crashed = None, None, type(error).__name__
            case _:
                pass
        return None


def _finish(status: AccountStatus, poll: PollFinished) -> Edge | None:
    was_failing, before = status.is_failing, status.error
    status.polling_since = status.crashed = None
    status.error = poll.error
    if poll.error is not None:
        if not was_failing:
            status.failing_since, status.failed_polls = poll.finished_at, 1
            return Edge.BROKE
        status.failed_polls += 1
        return None if before and before.outcome == poll.outcome else Edge.BROKE_OTHERWISE
    first, status.has_succeeded = not status.has_succeeded, True
    if was_failing:
        return Edge.RECOVERED
    return Edge.FIRST_SUCCESS if first else None
