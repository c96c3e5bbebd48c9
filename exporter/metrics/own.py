"""The exporter's own metrics: each is an attribute, which counts or shows what events report.

It must not know polled data, HTTP or how the text is written.

Rule 1: every series is there from the first scrape on, with every known label value at 0.
Rule 2: attributes are built in the order of the table, which is their order on the page.
Rule 3: `changes` goes up with every change that happens between scrapes, or a scraper would read old text.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product
from typing import Final, TypeVar

from prometheus_client import (  # noqa: TID251 - home of prometheus_client
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
)

from exporter.config.alerts import Alerts
from exporter.events import (
    BreakdownCrashed,
    Event,
    PollCrashed,
    PollFinished,
    RequestFinished,
    RequestRetried,
    StateSaved,
)
from exporter.ledger.reading import NO_EVIDENCE, READINGS
from exporter.ledger.snapshot import Snapshot
from exporter.metrics import families
from exporter.metrics.families import OwnCounter, OwnGauge, OwnHistogram

Made = TypeVar("Made", Counter, Gauge, Histogram)


class OwnMetrics:
    """Gauges that are read at each scrape go to the registry `live`, all others to `registry`."""

    def __init__(
        self,
        accounts: Iterable[str],
        *,
        version: str,
        interval: float,
        alerts_of: Callable[[str], Alerts],
        registry: CollectorRegistry,
        live: CollectorRegistry,
    ) -> None:
        self.changes = 0
        self._registry = registry
        self._live = live
        self._known: Final = {
            "account": tuple(accounts),
            "version": (version,),
            "setting": tuple(Alerts.model_fields),
        }
        self.up = self._gauge(families.UP)
        self.build_info = self._gauge(families.BUILD_INFO)
        self.polls = self._counter(families.POLLS)
        self.poll_duration = self._histogram(families.POLL_DURATION)
        self.last_success = self._gauge(families.LAST_SUCCESS)
        self.poll_interval = self._gauge(families.POLL_INTERVAL)
        self.alert_threshold = self._gauge(families.ALERT_THRESHOLD)
        self.requests = self._counter(families.REQUESTS)
        self.request_duration = self._histogram(families.REQUEST_DURATION)
        self.retries = self._counter(families.RETRIES)
        self.request_rate_limit = self._gauge(families.REQUEST_RATE_LIMIT)
        self.next_request = self._gauge(families.NEXT_REQUEST)
        self.internal_errors = self._counter(families.INTERNAL_ERRORS)
        self.tracked_operations = self._gauge(families.TRACKED_OPERATIONS)
        self.stats_reading = self._gauge(families.STATS_READING)
        self.skipped_fetches = self._counter(families.SKIPPED_FETCHES)
        self.state_writes = self._counter(families.STATE_WRITES)
        self.state_bytes = self._gauge(families.STATE_BYTES)
        self.clock_skew = self._gauge(families.CLOCK_SKEW)
        self.last_reload_successful = self._gauge(families.LAST_RELOAD_SUCCESSFUL)
        self.last_reload_success = self._gauge(families.LAST_RELOAD_SUCCESS)
        self.active = self._gauge(families.ACTIVE)
        self.active.set(1)
        self.build_info.labels(version).set(1)
        for account in self._known["account"]:
            self.poll_interval.labels(account).set(interval)
            self.stats_reading.labels(account, NO_EVIDENCE.reading).set(1)
            for setting, value in alerts_of(account):
                self.alert_threshold.labels(account, setting).set(value)

    def published(self, account: str, snapshot: Snapshot) -> None:
        """Show what the account's gauges are as of, and what they are based on."""
        self.changes += 1
        self.last_success.labels(account).set(snapshot.as_of)
        self.tracked_operations.labels(account).set(snapshot.tracked_operations)
        for reading in READINGS:
            self.stats_reading.labels(account, reading).set(reading == snapshot.evidence.reading)

    def show_active(self, *, is_active: bool) -> None:
        self.changes += 1
        self.active.set(is_active)

    def reloaded(self, at: float, *, successful: bool) -> None:
        self.changes += 1
        self.last_reload_successful.set(successful)
        if successful:
            self.last_reload_success.set(at)

    def watch_rate_limiter(
        self, account: str, requests_per_second: Callable[[], float], next_request_at: Callable[[], float]
    ) -> None:
        self.request_rate_limit.labels(account).set_function(requests_per_second)
        self.next_request.labels(account).set_function(next_request_at)

    def watch_state(self, bytes_on_disk: Callable[[], int]) -> None:
        self.state_bytes.set_function(bytes_on_disk)

    def observe(self, event: Event) -> None:
        match event:
            case RequestFinished():
                self._observe_request(event)
            case RequestRetried(account=account, reason=reason):
                self.retries.labels(account, reason).inc()
            case PollCrashed(account=account):
                self.up.labels(account).set(0)
                self.internal_errors.labels(account).inc()
            case BreakdownCrashed(account=account):
                self.internal_errors.labels(account).inc()
            case PollFinished():
                self._observe_poll(event)
            case StateSaved(error=error):
                self.state_writes.labels("success" if error is None else "failure").inc()
            case _:
                return  # of use to the log and the status page only
        self.changes += 1

    def _observe_request(self, request: RequestFinished) -> None:
        account, call = request.account, request.call
        self.requests.labels(account, call, request.code).inc()
        self.request_duration.labels(account, call).observe(request.duration_seconds)
        if request.clock_skew_seconds is not None:
            self.clock_skew.labels(account).set(request.clock_skew_seconds)

    def _observe_poll(self, poll: PollFinished) -> None:
        account = poll.account
        self.up.labels(account).set(poll.error is None)
        self.polls.labels(account, poll.outcome).inc()
        self.poll_duration.labels(account).observe(poll.duration_seconds)
        self.skipped_fetches.labels(account).inc(poll.skipped_fetches)

    def _gauge(self, family: OwnGauge) -> Gauge:
        registry = self._live if family.at_scrape else self._registry
        gauge = Gauge(family.name, family.help, family.labels, registry=registry)
        return self._with_known_series(gauge, family.labels, family.known)

    def _counter(self, family: OwnCounter) -> Counter:
        counter = Counter(family.name, family.help, family.labels, registry=self._registry)
        return self._with_known_series(counter, family.labels, family.known)

    def _histogram(self, family: OwnHistogram) -> Histogram:
        histogram = Histogram(
            family.name, family.help, family.labels, buckets=family.buckets, registry=self._registry
        )
        return self._with_known_series(histogram, family.labels, family.known)

    def _with_known_series(
        self, metric: Made, labels: Sequence[str], known: Mapping[str, Sequence[str]]
    ) -> Made:
        values = {**self._known, **known}
        for series in product(*(values[label] for label in labels)) if labels else ():
            metric.labels(*series)
        return metric
