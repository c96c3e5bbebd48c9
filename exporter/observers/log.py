"""Events become log lines, edges only: when something broke and when it recovered.

Must not see a secret, a page token or a reply's body: the events it is handed hold none.
"""

from logging import DEBUG, ERROR, INFO, WARNING
from typing import Final

from exporter.errors import StateError
from exporter.events import (
    CredentialChanged,
    CredentialUnreadable,
    Event,
    ListingProgressed,
    PollCrashed,
    PollFinished,
    RequestRetried,
    RequestsPaused,
    RequestsResumed,
    StateSaved,
)
from exporter.logs import line, time_text, traceback_text
from exporter.observers.status import AccountStatus, AccountStatuses, Edge

_PAGES_BETWEEN_LINES: Final = 20


class LogObserver:
    """Tells the log what changed; the board knows what was before."""

    def __init__(self, statuses: AccountStatuses) -> None:
        self._statuses = statuses

    def observe(self, event: Event) -> None:
        edge = self._statuses.observe(event)
        status = self._statuses.accounts[event.account]
        match event:
            case PollFinished():
                _log_poll(event)
                _log_edge(edge, status, event)
            case StateSaved(account=account, error=error):
                _log_state(edge, account, error)
            case ListingProgressed(pages=pages) if pages % _PAGES_BETWEEN_LINES == 0:
                _log_progress(status)
            case RequestRetried():
                _log_retry(event)
            case RequestsPaused() | RequestsResumed():
                _log_throttling(event)
            case CredentialChanged(account=account):
                line(INFO, "credential changed", account=account)
            case CredentialUnreadable():
                _log_unreadable(event)
            case PollCrashed(account=account, error=error):
                line(
                    ERROR,
                    "internal error; the loop goes on",
                    account=account,
                    traceback=traceback_text(error),
                )
            case _:
                pass


def _log_poll(poll: PollFinished) -> None:
    line(
        DEBUG,
        "poll finished",
        account=poll.account,
        outcome=poll.outcome,
        duration_seconds=round(poll.duration_seconds, 3),
        listed=poll.listed_operations,
        fetched=poll.fetched_operations,
        skipped=poll.skipped_fetches,
    )


def _log_retry(retry: RequestRetried) -> None:
    line(
        DEBUG,
        "request retried",
        account=retry.account,
        reason=retry.reason,
        wait_seconds=round(retry.wait_seconds, 3),
        request_id=retry.request_id,
    )


def _log_throttling(event: RequestsPaused | RequestsResumed) -> None:
    since, until = time_text(event.since), time_text(event.until) if event.until is not None else None
    if isinstance(event, RequestsPaused):
        request_id = event.request_id
        line(WARNING, "throttled", account=event.account, since=since, until=until, request_id=request_id)
    else:
        line(INFO, "no longer throttled", account=event.account, since=since, until=until)


def _log_unreadable(event: CredentialUnreadable) -> None:
    line(
        WARNING,
        "credential cannot be read" + ("; the old one stays in use" if event.old_one_in_use else ""),
        account=event.account,
        problem=event.problem,
    )


def _log_progress(status: AccountStatus) -> None:
    line(
        INFO,
        "listing goes on",
        account=status.account,
        pages=status.listed_pages,
        operations=status.listed_operations,
    )


def _log_edge(edge: Edge | None, status: AccountStatus, poll: PollFinished) -> None:
    match edge:
        case Edge.BROKE | Edge.BROKE_OTHERWISE:
            line(
                WARNING,
                "poll failed; the last numbers stay",
                account=poll.account,
                outcome=poll.outcome,
                error=poll.error,
                request_id=poll.error.request_id if poll.error else None,
            )
        case Edge.RECOVERED:
            line(
                INFO,
                "poll recovered",
                account=poll.account,
                failed_polls=status.failed_polls,
                failed_seconds=round(poll.finished_at - (status.failing_since or poll.finished_at)),
            )
        case Edge.FIRST_SUCCESS:
            # After a restart fewer are listed than are tracked: the state holds the others.
            line(
                INFO,
                "first poll succeeded",
                account=poll.account,
                listed_operations=poll.listed_operations,
                tracked_operations=status.snapshot.tracked_operations if status.snapshot else None,
            )
        case _:
            pass


def _log_state(edge: Edge | None, account: str, error: StateError | None) -> None:
    if edge is Edge.STATE_BROKE:
        line(ERROR, "state cannot be saved; counters wait until it can", account=account, error=error)
    elif edge is Edge.STATE_RECOVERED:
        line(INFO, "state is saved again", account=account)
