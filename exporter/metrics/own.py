"""The exporter's own metrics: each is an attribute, which counts or shows what events report.

It must not know polled data, HTTP or how the text is written.

Rule 1: every series is there from the first scrape on, with every known label value at 0.
Rule 2: each change between scrapes is a change of the part, or a scraper would read old text. Those of
requests are minor: there are many of them, and the end of the poll shows them all.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import TypeVar

from prometheus_client import (  # noqa: TID251 - home of prometheus_client
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
)

from exporter.config.alerts import Alerts
from exporter.events import (
    BreakdownCrashed,
    BreakdownFinished,
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
from exporter.metrics.exposition import Part
from exporter.metrics.families import OwnCounter, OwnGauge, OwnHistogram

Made = TypeVar("Made", Counter, Gauge, Histogram)


class AccountMetrics:
    """The metrics of one account."""

    def __init__(self, account: str, *, interval: float, alerts: Alerts) -> None:
        self._account = account
        made = _Families({"account": (account,), "setting": tuple(Alerts.model_fields)})
        self.part = Part(made.registry.collect)
        self.live = made.live
        self.up = made.gauge(families.UP)
        self.polls = made.counter(families.POLLS)
        self.poll_duration = made.histogram(families.POLL_DURATION)
        self.last_success = made.gauge(families.LAST_SUCCESS)
        self.poll_interval = made.gauge(families.POLL_INTERVAL)
        self.alert_threshold = made.gauge(families.ALERT_THRESHOLD)
        self.requests = made.counter(families.REQUESTS)
        self.request_duration = made.histogram(families.REQUEST_DURATION)
        self.retries = made.counter(families.RETRIES)
        self.request_rate_limit = made.gauge(families.REQUEST_RATE_LIMIT)
        self.next_request = made.gauge(families.NEXT_REQUEST)
        self.internal_errors = made.counter(families.INTERNAL_ERRORS)
        self.tracked_operations = made.gauge(families.TRACKED_OPERATIONS)
        self.stats_reading = made.gauge(families.STATS_READING)
        self.skipped_fetches = made.counter(families.SKIPPED_FETCHES)
        self.clock_skew = made.gauge(families.CLOCK_SKEW)
        self.poll_interval.labels(account).set(interval)
        self.stats_reading.labels(account, NO_EVIDENCE.reading).set(1)
        for setting, value in alerts:
            self.alert_threshold.labels(account, setting).set(value)

    def published(self, snapshot: Snapshot) -> None:
        """Show what the account's gauges are as of, and what they are based on."""
        self.part.changes += 1
        self.last_success.labels(self._account).set(snapshot.as_of)
        self.tracked_operations.labels(self._account).set(snapshot.tracked_operations)
        for reading in READINGS:
            self.stats_reading.labels(self._account, reading).set(reading == snapshot.evidence.reading)

    def stop_polling(self) -> None:
        """Another process polls, or none: the last success of this one must not hide that polls fail."""
        self.part.changes += 1
        self.up.labels(self._account).set(0)

    def watch_rate_limiter(
        self, requests_per_second: Callable[[], float], next_request_at: Callable[[], float]
    ) -> None:
        self.request_rate_limit.labels(self._account).set_function(requests_per_second)
        self.next_request.labels(self._account).set_function(next_request_at)

    def observe(self, event: Event) -> None:
        """Takes the events of this account."""
        account = self._account
        match event:
            case RequestFinished():
                self._observe_request(event)
                self.part.minor_changes += 1
                return
            case RequestRetried(reason=reason):
                self.retries.labels(account, reason).inc()
                self.part.minor_changes += 1
                return
            case PollCrashed():
                self.up.labels(account).set(0)
                self.internal_errors.labels(account).inc()
            case BreakdownCrashed():
                self.internal_errors.labels(account).inc()
            case BreakdownFinished():
                pass  # the requests of the refresh
            case PollFinished():
                self._observe_poll(event)
            case _:
                return  # of use to the log and the status page only
        self.part.changes += 1

    def _observe_request(self, request: RequestFinished) -> None:
        account, call = self._account, request.call
        self.requests.labels(account, call, request.code).inc()
        self.request_duration.labels(account, call).observe(request.duration_seconds)
        if request.clock_skew_seconds is not None:
            self.clock_skew.labels(account).set(request.clock_skew_seconds)

    def _observe_poll(self, poll: PollFinished) -> None:
        account = self._account
        self.up.labels(account).set(poll.error is None)
        self.polls.labels(account, poll.outcome).inc()
        self.poll_duration.labels(account).observe(poll.duration_seconds)
        self.skipped_fetches.labels(account).inc(poll.skipped_fetches)


class ProcessMetrics:
    """The metrics of all accounts together."""

    def __init__(self, *, version: str) -> None:
        made = _Families({"version": (version,)})
        self.part = Part(made.registry.collect)
        self.live = made.live
        self.build_info = made.gauge(families.BUILD_INFO)
        self.state_writes = made.counter(families.STATE_WRITES)
        self.state_bytes = made.gauge(families.STATE_BYTES)
        self.last_reload_successful = made.gauge(families.LAST_RELOAD_SUCCESSFUL)
        self.last_reload_success = made.gauge(families.LAST_RELOAD_SUCCESS)
        self.active = made.gauge(families.ACTIVE)
        self.active.set(1)
        self.build_info.labels(version).set(1)

    def show_active(self, *, is_active: bool) -> None:
        self.part.changes += 1
        self.active.set(is_active)

    def reloaded(self, at: float, *, successful: bool) -> None:
        self.part.changes += 1
        self.last_reload_successful.set(successful)
        if successful:
            self.last_reload_success.set(at)

    def watch_state(self, bytes_on_disk: Callable[[], int]) -> None:
        self.state_bytes.set_function(bytes_on_disk)

    def observe(self, event: Event) -> None:
        if isinstance(event, StateSaved):
            self.part.changes += 1
            self.state_writes.labels("success" if event.error is None else "failure").inc()


class _Families:
    """Makes the families of the table, with every known series.

    Gauges that are read at each scrape go to the registry `live`, all others to `registry`.
    """

    def __init__(self, known: Mapping[str, Sequence[str]]) -> None:
        self._known = known
        self.registry = CollectorRegistry()
        self.live = CollectorRegistry()

    def gauge(self, family: OwnGauge) -> Gauge:
        registry = self.live if family.at_scrape else self.registry
        gauge = Gauge(family.name, family.help, family.labels, registry=registry)
        return self._with_known_series(gauge, family.labels, family.known)

    def counter(self, family: OwnCounter) -> Counter:
        counter = Counter(family.name, family.help, family.labels, registry=self.registry)
        return self._with_known_series(counter, family.labels, family.known)

    def histogram(self, family: OwnHistogram) -> Histogram:
        histogram = Histogram(
            family.name, family.help, family.labels, buckets=family.buckets, registry=self.registry
        )
        return self._with_known_series(histogram, family.labels, family.known)

    def _with_known_series(
        self, metric: Made, labels: Sequence[str], known: Mapping[str, Sequence[str]]
    ) -> Made:
        values = {**self._known, **known}
        for series in product(*(values[label] for label in labels)) if labels else ():
            metric.labels(*series)
        return metric
