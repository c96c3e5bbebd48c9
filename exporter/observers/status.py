"""The status of each account, updated by events: used by the log observer and the status page.

Pure; events contain their times. Must not contain text for users.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from exporter.breakdown import Breakdown
from exporter.errors import StateError, TwilioError
from exporter.events import (
    BreakdownFinished,
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
    """A change of the status that is logged."""

    FIRST_SUCCESS = auto()
    BROKE = auto()
    BROKE_OTHERWISE = auto()
    """The previous poll failed as well, with another outcome."""
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
    """Both count the current poll."""
    next_poll_at: float | None = None
    error: TwilioError | None = None
    """What ended the last poll; `None`: it succeeded, or there was none."""
    crashed: str | None = None
    """Class name of the internal error that ended the last poll."""
    failing_since: float | None = None
    failed_polls: int = 0
    """Consecutive failed polls. This and `failing_since` describe the last failure, which may be over."""
    state_error: StateError | None = None
    """Why the last save failed; `None`: it succeeded."""
    has_succeeded: bool = False
    """Whether a poll of this process succeeded; the snapshot may come from an earlier process."""
    snapshot: Snapshot | None = None
    breakdown: Breakdown | None = None
    """Of the last successful refresh; `None` before the first."""
    breakdown_error: TwilioError | None = None
    """What ended the last refresh; `None`: it succeeded, or there was none."""

    @property
    def last_success_at(self) -> float | None:
        """Start of the poll that produced the snapshot."""
        return self.snapshot.as_of if self.snapshot else None

    @property
    def is_failing(self) -> bool:
        return self.error is not None or self.crashed is not None


class RateLimitStatus(NamedTuple):
    """The rate limit of one account."""

    requests_per_second: float
    next_request_at: float
    """Unix time; 0 or in the past: now."""


class AccountStatuses:
    """The status of every account, by name."""

    def __init__(self, accounts: Iterable[str]) -> None:
        self.accounts = {account: AccountStatus(account) for account in accounts}

    def reset(self) -> None:
        """Forget everything: another process may have polled since."""
        self.accounts.update({account: AccountStatus(account) for account in self.accounts})

    def publish(self, account: str, snapshot: Snapshot) -> None:
        self.accounts[account].snapshot = snapshot

    def publish_breakdown(self, account: str, breakdown: Breakdown) -> None:
        self.accounts[account].breakdown = breakdown

    def observe(self, event: Event) -> Edge | None:
        """Update the status; returns the edge, if there is one."""
        status = self.accounts[event.account]
        match event:
            case PollStarted(started_at=started_at):
                status.polling_since = started_at
                status.listed_pages = status.listed_operations = 0
            case ListingProgressed(pages=pages, operations=operations):
                status.listed_pages, status.listed_operations = pages, operations
            case BreakdownFinished(error=breakdown_error):
                status.breakdown_error = breakdown_error
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
