"""The verdict of each account: what it is, since when, and a log line when it changes.

Must not contain the rules of `findings`. A verdict is kept in memory only: after a start it holds "since the
start" until it changes.

Rule: a trouble that comes and goes is one incident, with a line when it begins and one when it is over.
"""

from collections.abc import Callable
from logging import INFO, WARNING
from typing import Final, NamedTuple

from exporter.config.alerts import Alerts
from exporter.errors import Unauthorized
from exporter.events import Event, PollCrashed, PollFinished
from exporter.ledger.snapshot import Snapshot
from exporter.logs import line, time_text
from exporter.observers.deliveries import DeliveryHistory
from exporter.observers.finding import Finding, Mail
from exporter.observers.findings import judge
from exporter.observers.incident import Incident
from exporter.observers.status import AccountStatus, AccountStatuses

STALE_SECONDS: Final = 900.0
STALE_INTERVALS: Final = 5
"""Numbers that are older than both no longer tell how mail is."""

_MISSED_POLLS: Final = 3
"""After as many, the delays of deliveries are not judged."""

TROUBLES: Final = frozenset({Mail.FAILING, Mail.BOUNCING, Mail.LATE})

_LOGGED: Final = {"old": WARNING, "no mail": INFO}
"""Levels of the lines for an unknown verdict. The log of the polls says why an account is not polled."""


class Verdict(NamedTuple):
    """How the mail of one account is."""

    findings: tuple[Finding, ...]
    """At least one; the first is the verdict, the others are further troubles."""
    since: float | None = None
    """Unix time from which on it has been so; `None`: since the first poll of this process, or unknown."""

    @property
    def mail(self) -> Mail:
        return self.findings[0].mail


_FIRST: Final = Finding(Mail.UNKNOWN, "not polled", "the first poll has not finished")


class Verdicts:
    """Judges each account when a poll ends. `interval`: seconds between two polls."""

    def __init__(
        self, statuses: AccountStatuses, alerts_of: Callable[[str], Alerts], *, interval: float
    ) -> None:
        self._statuses = statuses.accounts
        self._stale_after = max(STALE_SECONDS, STALE_INTERVALS * interval)
        self._accounts = {
            account: _Account(account, alerts_of(account), interval) for account in self._statuses
        }

    def observe(self, event: Event) -> None:
        """Judge the account when a poll has ended; its status has been updated before."""
        if isinstance(event, PollFinished | PollCrashed):
            self.judge(event.account, event.finished_at)
            self._accounts[event.account].log(event.finished_at)

    def judge(self, account: str, at: float) -> None:
        """Judge what is known of the account at an instant, without a line in the log."""
        status, judged = self._statuses[account], self._accounts[account]
        unknown = self._unknown(status, at)
        if unknown is not None:
            judged.note_unknown(unknown, at)
        elif status.snapshot is not None:
            judged.judge(status.snapshot, at)

    def current(self, now: float) -> dict[str, Verdict]:
        """By account. Safe in another thread."""
        return {account: self._current(status, now) for account, status in self._statuses.items()}

    def _current(self, status: AccountStatus, now: float) -> Verdict:
        """The last verdict, unless the numbers have become too old since."""
        verdict = self._accounts[status.account].verdict
        unknown = self._unknown(status, now)
        if unknown is None:
            return verdict
        is_known = unknown.name == verdict.findings[0].name
        return Verdict((unknown,), verdict.since if is_known else None)

    def _unknown(self, status: AccountStatus, now: float) -> Finding | None:
        """Why the numbers do not tell how mail is now; `None` if they do."""
        if isinstance(status.error, Unauthorized):
            return Finding(Mail.UNKNOWN, "refused", "Twilio refuses the credential")
        if status.snapshot is None:
            return _FIRST._replace(figure="no poll has succeeded yet") if status.is_failing else _FIRST
        if now - status.snapshot.as_of > self._stale_after:
            minutes = round(self._stale_after / 60)
            return Finding(Mail.UNKNOWN, "old", f"the numbers are more than {minutes} minutes old")
        return None


class _Account:
    def __init__(self, account: str, alerts: Alerts, interval: float) -> None:
        self._account = account
        self._alerts = alerts
        self._deliveries = DeliveryHistory(max_gap=max(alerts.late_after, _MISSED_POLLS * interval))
        self._incidents: dict[str, Incident] = {}
        """By name of the trouble; those that are not over."""
        self._known: Verdict | None = None
        """The last verdict that was not made unknown by the polls."""
        self.verdict = Verdict((_FIRST,))
        self._last_logged = ""

    def judge(self, snapshot: Snapshot, at: float) -> None:
        before = {finding.name for finding in self._known.findings} if self._known else set()
        findings = judge(snapshot, self._alerts, self._deliveries.note(snapshot), before)
        if self._known is None:
            since = None
        else:
            since = self._known.since if self._known.mail is findings[0].mail else at
        self.verdict = self._known = Verdict(findings, since)

    def note_unknown(self, finding: Finding, at: float) -> None:
        if self.verdict.findings[0].name != finding.name:
            self.verdict = Verdict((finding,), at)

    def log(self, at: float) -> None:
        """Write a line for each trouble that begins or is over, and when the verdict becomes unknown."""
        first, *_ = self.verdict.findings
        if first.mail is Mail.UNKNOWN:
            if first.name != self._last_logged and first.name in _LOGGED and self.verdict.since is not None:
                line(_LOGGED[first.name], str(first), account=self._account)
        else:
            self._log_begun(at)
            self._log_over(at)
        self._last_logged = first.name

    def _log_begun(self, at: float) -> None:
        for finding in self.verdict.findings:
            if finding.mail in TROUBLES and self._incidents.setdefault(finding.name, Incident()).happens(at):
                line(WARNING, str(finding), account=self._account, threshold=finding.threshold)

    def _log_over(self, at: float) -> None:
        for name, incident in list(self._incidents.items()):
            if over := incident.over(at):
                del self._incidents[name]
                message = f"mail is no longer {name}" if self._incidents else "mail has recovered"
                line(
                    INFO,
                    message,
                    account=self._account,
                    since=time_text(over.since),
                    until=time_text(over.until),
                )
