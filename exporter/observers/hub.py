"""The hub: passes every event and snapshot of polling to the observers.

The observers are metrics, account status, verdicts, log and watchdog. Must not contain polling or the web
service.
"""

from collections.abc import Callable
from typing import TypeAlias

from exporter import __version__
from exporter.breakdown import Breakdown
from exporter.clock import Clock
from exporter.config.settings import Settings
from exporter.events import Event, Observer
from exporter.ledger.counters import Counts
from exporter.ledger.snapshot import Snapshot
from exporter.metrics.registry import Metrics
from exporter.observers.activity import Activity
from exporter.observers.breakdown_log import BreakdownLog
from exporter.observers.log import LogObserver
from exporter.observers.status import AccountStatuses, RateLimitStatus
from exporter.observers.verdicts import Verdicts
from exporter.observers.watchdog import Watchdog
from exporter.twilio.rate_limiter import RateLimiter, longest_spacing_seconds

SnapshotObserver: TypeAlias = Callable[[str, Snapshot], None]


class Hub:
    """Holds the observers of all accounts of this process. Observers may be added at any time."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._clock = clock
        names = [account.name for account in settings.own_accounts]
        interval, api = settings.poll.interval, settings.api
        self.metrics = Metrics(
            names,
            version=__version__,
            interval=interval,
            alerts_of=settings.alerts_of,
            has_breakdown=bool(settings.breakdown.by),
        )
        self.metrics.reloaded(clock.now(), successful=True)  # the configuration read at the start
        self.statuses = AccountStatuses(names)
        self.verdicts = Verdicts(self.statuses, settings.alerts_of, interval=interval)
        patience = api.timeout + longest_spacing_seconds(api.requests_per_second)
        self.watchdog = Watchdog(names, clock, interval=interval, patience=patience)
        self.activity = Activity(self.metrics, self.statuses, self.watchdog, clock)
        self._rate_limiters: dict[str, RateLimiter] = {}
        self.observers: list[Observer] = [
            self.metrics.observe,
            LogObserver(self.statuses).observe,
            self.verdicts.observe,
            BreakdownLog(names).observe,
            self.watchdog.observe,
        ]
        """Called with each event, in this order."""
        self.snapshot_observers: list[SnapshotObserver] = [self.metrics.publish, self.statuses.publish]
        """Called with each snapshot, in this order."""

    def emit(self, event: Event) -> None:
        for observe in self.observers:
            observe(event)

    def publish(self, account: str, snapshot: Snapshot) -> None:
        """Of a process that has ceased to be active in the meantime, nothing is shown."""
        if self.activity.is_active:
            for observe in self.snapshot_observers:
                observe(account, snapshot)

    def publish_breakdown(self, account: str, breakdown: Breakdown) -> None:
        if self.activity.is_active:
            self.metrics.publish_breakdown(account, breakdown)
            self.statuses.publish_breakdown(account, breakdown)

    def restore(self, account: str, snapshot: Snapshot, seen: Counts | None = None) -> None:
        """Show the snapshot that an earlier process saved; `seen`: what scrapes have seen of its counters."""
        self.metrics.restore(account, snapshot, seen)
        self.statuses.publish(account, snapshot)
        self.verdicts.judge(account, self._clock.now())

    def watch_rate_limiter(self, account: str, rate_limiter: RateLimiter) -> None:
        """Show the rate limit of an account, as of each scrape."""
        self._rate_limiters[account] = rate_limiter
        self.metrics.watch_rate_limiter(
            account,
            lambda: rate_limiter.requests_per_second,
            lambda: self._rate_limit_status(rate_limiter).next_request_at,
        )

    def watch_state(self, bytes_on_disk: Callable[[], int]) -> None:
        """Show the size of the state as of the last save."""
        self.metrics.watch_state(bytes_on_disk)

    def rate_limits(self) -> dict[str, RateLimitStatus]:
        """The rate limit of each account, as of now."""
        return {
            account: self._rate_limit_status(rate_limiter)
            for account, rate_limiter in self._rate_limiters.items()
        }

    def _rate_limit_status(self, rate_limiter: RateLimiter) -> RateLimitStatus:
        wait = rate_limiter.delay(self._clock.monotonic())
        return RateLimitStatus(
            rate_limiter.requests_per_second, self._clock.now() + wait if wait > 0 else 0.0
        )
