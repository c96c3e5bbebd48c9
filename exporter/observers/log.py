"""The log observer: writes a log line when something fails and when it recovers, not for each event.

Rule: no line may contain a secret, a page token or the body of a reply. Events contain none of these.
"""

from logging import DEBUG, ERROR, INFO, WARNING
from typing import Final

from exporter.errors import StateError, Throttled, TwilioError, Unavailable
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
    RowsUnreadable,
    StateSaved,
    StatsUnknown,
    StatusFilterIgnored,
)
from exporter.logs import line, time_text, traceback_text
from exporter.observers.incident import Incident
from exporter.observers.status import AccountStatus, AccountStatuses, Edge

PROGRESS_SECONDS: Final = 30.0
"""Time between two lines about a listing."""

_PAUSED: Final = {
    Throttled.outcome: "throttled",
    Unavailable.outcome: "unavailable; Twilio asked for a pause",
}
"""Messages of pauses by their reason."""
_MAX_UNKNOWN_STATS: Final = 100
"""Names of unknown stats that are logged, so that a broken reply cannot fill log and memory."""


class LogObserver:
    """Logs changes; the account status provides the state before an event."""

    def __init__(self, statuses: AccountStatuses) -> None:
        self._statuses = statuses
        self._pauses = {account: _Pauses() for account in statuses.accounts}
        self._failing_fetches = {account: _FailingFetches() for account in statuses.accounts}
        self._unreadable_fields: set[tuple[str, str]] = set()
        """Logged accounts and fields of unreadable rows: every poll lists the same rows again."""
        self._next_progress = dict.fromkeys(statuses.accounts, PROGRESS_SECONDS)
        """Time since the start of the running poll at which its listing is logged next."""
        self._unknown_stats: set[tuple[str, str]] = set()
        """Logged accounts and names."""

    def observe(self, event: Event) -> None:
        edge = self._statuses.observe(event)
        status = self._statuses.accounts[event.account]
        match event:
            case PollFinished():
                _log_poll(event)
                _log_edge(edge, status, event)
                self._pauses[event.account].poll_finished(event)
                self._failing_fetches[event.account].poll_finished(event)
            case StateSaved(account=account, error=error):
                _log_state(edge, account, error)
            case ListingProgressed():
                self._log_progress(event)
            case RequestRetried():
                _log_retry(event)
            case RequestsPaused() | RequestsResumed():
                self._pauses[event.account].observe(event)
            case RowsUnreadable() | StatsUnknown():
                self._log_unknown(event)
            case StatusFilterIgnored(account=account):
                line(WARNING, "Twilio ignored the status filter; operations are fetched", account=account)
            case CredentialChanged() | CredentialUnreadable():
                _log_credential(event)
            case PollCrashed(account=account, error=error):
                line(
                    ERROR,
                    "internal error; polling continues",
                    account=account,
                    traceback=traceback_text(error),
                )
            case _:
                pass

    def _log_progress(self, progress: ListingProgressed) -> None:
        if progress.pages == 1:
            self._next_progress[progress.account] = PROGRESS_SECONDS
        if progress.elapsed_seconds < self._next_progress[progress.account]:
            return
        self._next_progress[progress.account] = progress.elapsed_seconds + PROGRESS_SECONDS
        line(
            INFO,
            "listing in progress",
            account=progress.account,
            pages=progress.pages,
            operations=progress.operations,
            operations_per_second=round(progress.operations_per_second),
        )

    def _log_unknown(self, event: RowsUnreadable | StatsUnknown) -> None:
        if isinstance(event, StatsUnknown):
            self._log_unknown_stats(event)
            return
        for path in event.paths:
            field = event.account, path.partition("]")[2]
            if field not in self._unreadable_fields:
                self._unreadable_fields.add(field)
                line(WARNING, "row cannot be read and is left out", account=event.account, path=path)

    def _log_unknown_stats(self, event: StatsUnknown) -> None:
        for name in event.names:
            stat = event.account, name
            if stat not in self._unknown_stats and len(self._unknown_stats) < _MAX_UNKNOWN_STATS:
                self._unknown_stats.add(stat)
                line(
                    WARNING,
                    "Twilio sends a stat that this version does not know",
                    account=event.account,
                    stat=name,
                )


class _Pauses:
    """Logs the pauses of one account as incidents, for each reason its own."""

    def __init__(self) -> None:
        self._incidents = {reason: Incident() for reason in _PAUSED}
        self._reason: str | None = None
        """Why requests are paused now."""

    def observe(self, event: RequestsPaused | RequestsResumed) -> None:
        if isinstance(event, RequestsPaused):
            self._paused(event)
        elif self._reason is not None:
            self._incidents[self._reason].until = event.until
            self._reason = None

    def _paused(self, pause: RequestsPaused) -> None:
        self._reason = pause.reason
        if self._incidents[pause.reason].happens(pause.since):
            line(
                WARNING,
                _PAUSED[pause.reason],
                account=pause.account,
                since=time_text(pause.since),
                until=None if pause.until is None else time_text(pause.until),
                request_id=pause.request_id,
            )

    def poll_finished(self, poll: PollFinished) -> None:
        if poll.error is not None or self._reason is not None:
            return
        for reason, incident in self._incidents.items():
            if over := incident.over(poll.finished_at):
                line(
                    INFO,
                    f"no longer {reason}",
                    account=poll.account,
                    since=time_text(over.since),
                    until=time_text(over.until),
                    pauses=over.times,
                )


class _FailingFetches:
    """Logs the polls of one account in which a fetch failed, as incidents."""

    def __init__(self) -> None:
        self._incident = Incident()

    def poll_finished(self, poll: PollFinished) -> None:
        at, error = poll.finished_at, poll.fetch_error
        if error is not None:
            if self._incident.happens(at):
                self._log_begin(poll, error)
        elif _shows_that_fetches_succeed(poll) and (over := self._incident.over(at)):
            since, until = time_text(over.since), time_text(over.until)
            line(INFO, "fetches succeed again", account=poll.account, since=since, until=until)

    def _log_begin(self, poll: PollFinished, error: TwilioError) -> None:
        line(
            WARNING,
            "fetches failed; the values from the listing are kept",
            account=poll.account,
            failed=poll.failed_fetches,
            outcome=error.outcome,
            error=error,
            request_id=error.request_id,
        )


def _shows_that_fetches_succeed(poll: PollFinished) -> bool:
    """A poll that skipped every fetch does not show whether fetches succeed."""
    return poll.error is None and (poll.fetched_operations > 0 or not poll.skipped_fetches)


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
        failed=poll.failed_fetches,
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


def _log_credential(event: CredentialChanged | CredentialUnreadable) -> None:
    if isinstance(event, CredentialChanged):
        line(INFO, "credential changed", account=event.account)
        return
    line(
        WARNING,
        "credential cannot be read" + ("; the old one stays in use" if event.old_one_in_use else ""),
        account=event.account,
        problem=event.problem,
    )


def _log_edge(edge: Edge | None, status: AccountStatus, poll: PollFinished) -> None:
    match edge:
        case Edge.BROKE | Edge.BROKE_OTHERWISE:
            line(
                WARNING,
                "poll failed; the last values are kept" if status.snapshot else "poll failed",
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
            # After a restart fewer operations are listed than tracked: the others come from the state.
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
        line(
            ERROR,
            "state cannot be saved; counters frozen until a save succeeds",
            account=account,
            error=error,
        )
    elif edge is Edge.STATE_RECOVERED:
        line(INFO, "state is saved again", account=account)
