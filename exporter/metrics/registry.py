"""The families of one process, filled.

The home of prometheus_client's objects. Is told what happened by frozen records and what was found by
frozen snapshots; must not know of HTTP, Twilio's replies or how text is rendered.

Rule 1: gauges of polled data come from the last published snapshot and appear with the first one.
Rule 2: counters that survive show zero, or what the state held, until a scrape has seen that.
Rule 3: the exporter's own metrics are there from the first scrape on, every known label value at 0.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any, Final

from prometheus_client import (  # noqa: TID251 - home of prometheus_client
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.metrics_core import (  # noqa: TID251 - home of prometheus_client
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector  # noqa: TID251 - home of prometheus_client

from exporter.events import (
    Event,
    PollCrashed,
    PollFinished,
    RequestFinished,
    RequestRetried,
    StateSaved,
)
from exporter.ledger.counters import ZERO, Counts
from exporter.ledger.snapshot import Snapshot
from exporter.metrics.families import FAMILIES, Count, Family, Read

disable_created_metrics()  # type: ignore[no-untyped-call] # they would double the series, and Prometheus makes nothing of them in text


class Metrics:
    """The families of one process, filled."""

    def __init__(self, accounts: Iterable[str], *, version: str, interval: float) -> None:
        names = tuple(accounts)
        self._snapshots: dict[str, Snapshot] = {}
        self._shown: dict[str, Counts] = dict.fromkeys(names, ZERO)
        self._released = False
        self.publishes = 0
        """Goes up whenever `polled` changes."""
        self.changes = 0
        """Goes up whenever `own` changes."""
        self.polled = CollectorRegistry(auto_describe=False)
        """What Twilio said: changes at a publish, and when the counters are released."""
        self.polled.register(_Polled(self._snapshots, self._shown))
        self.own = CollectorRegistry()
        """The exporter itself: changes with what it does."""
        self.live = CollectorRegistry()
        """The process, its Python and what is read at the scrape: changes at any moment."""
        ProcessCollector(registry=self.live)
        PlatformCollector(registry=self.live)
        GCCollector(registry=self.live)
        self._own = {family.name: self._build(family) for family in FAMILIES if family.is_own}
        self._series("twilio_email_exporter_build_info", version).set(1)
        self._show_known(names)
        for account in names:
            self._series("twilio_email_exporter_poll_interval_seconds", account).set(interval)

    def restore(self, account: str, snapshot: Snapshot) -> None:
        """Show what a former process knew: from here on its counters move."""
        self._shown[account] = snapshot.counts
        self._show(account, snapshot)

    def publish(self, account: str, snapshot: Snapshot) -> None:
        if self._released:
            self._shown[account] = snapshot.counts
        self._show(account, snapshot)

    def _show(self, account: str, snapshot: Snapshot) -> None:
        self._snapshots[account] = snapshot
        self.publishes += 1
        self._series("twilio_email_exporter_last_success_timestamp_seconds", account).set(snapshot.as_of)
        self._series("twilio_email_exporter_tracked_operations", account).set(snapshot.tracked_operations)

    def release_counters(self) -> bool:
        """A scrape has seen the counters where they stood at the start: let them move.

        Without that first sight, what the first poll finds would be no step, and `increase()` blind to it.
        Gives whether this changed anything.
        """
        if self._released:
            return False
        self._released = True
        self.publishes += 1
        self._shown.update({account: snapshot.counts for account, snapshot in self._snapshots.items()})
        return True

    def watch_state(self, bytes_on_disk: Callable[[], int]) -> None:
        self._series("twilio_email_exporter_state_bytes").set_function(bytes_on_disk)

    def watch(
        self, account: str, requests_per_second: Callable[[], float], next_request_at: Callable[[], float]
    ) -> None:
        """Show an account's pace as it is at each scrape."""
        limit = self._series("twilio_email_exporter_request_rate_limit", account)
        limit.set_function(requests_per_second)
        next_request = self._series("twilio_email_exporter_next_request_timestamp_seconds", account)
        next_request.set_function(next_request_at)

    def observe(self, event: Event) -> None:
        match event:
            case RequestFinished():
                self._observe_request(event)
            case RequestRetried(account=account, reason=reason):
                self._series("twilio_email_exporter_retries_total", account, reason).inc()
            case PollCrashed(account=account):
                self._series("twilio_email_up", account).set(0)
                self._series("twilio_email_exporter_internal_errors_total", account).inc()
            case PollFinished():
                self._observe_poll(event)
            case StateSaved(error=error):
                outcome = "success" if error is None else "failure"
                self._series("twilio_email_exporter_state_writes_total", outcome).inc()
            case _:
                pass  # of use to the log and the status page

    def reloaded(self, at: float, *, successful: bool) -> None:
        """The files that may change while running were read, again or for the first time."""
        self._series("twilio_email_exporter_config_last_reload_successful").set(successful)
        if successful:
            self._series("twilio_email_exporter_config_last_reload_success_timestamp_seconds").set(at)

    def _observe_request(self, request: RequestFinished) -> None:
        account, call = request.account, request.call
        self._series("twilio_email_exporter_requests_total", account, call, request.code).inc()
        duration = self._series("twilio_email_exporter_request_duration_seconds", account, call)
        duration.observe(request.duration_seconds)
        if request.clock_skew_seconds is not None:
            self._series("twilio_email_exporter_clock_skew_seconds", account).set(request.clock_skew_seconds)

    def _observe_poll(self, poll: PollFinished) -> None:
        account = poll.account
        self._series("twilio_email_up", account).set(poll.error is None)
        self._series("twilio_email_exporter_polls_total", account, poll.outcome).inc()
        self._series("twilio_email_exporter_poll_duration_seconds", account).observe(poll.duration_seconds)
        self._series("twilio_email_exporter_skipped_fetches_total", account).inc(poll.skipped_fetches)

    def _build(self, family: Family) -> Counter | Gauge | Histogram:
        registry = self.live if family.at_scrape else self.own
        if family.buckets:
            return Histogram(
                family.name, family.help, family.labels, buckets=family.buckets, registry=registry
            )
        return _KINDS[family.kind](family.name, family.help, family.labels, registry=registry)

    def _show_known(self, accounts: Sequence[str]) -> None:
        for family in FAMILIES:
            if family.is_own and "version" not in family.labels:
                values = {"account": accounts, **family.known}
                for labels in product(*(values[label] for label in family.labels)):
                    self._series(family.name, *labels)

    def _series(self, name: str, *labels: str) -> Any:
        """The series, which the caller is about to change."""
        self.changes += 1
        return self._own[name].labels(*labels) if labels else self._own[name]


_KINDS: Final[Mapping[str, type[Counter | Gauge]]] = {"counter": Counter, "gauge": Gauge}


class _Polled(Collector):
    """Turns the published snapshots and counts into families; gauges of an account wait for its first.

    Gauges come in pieces, one for each account, so that whoever writes them down can pause in between.
    """

    def __init__(self, snapshots: Mapping[str, Snapshot], shown: Mapping[str, Counts]) -> None:
        self._snapshots = snapshots
        self._shown = shown

    def collect(self) -> Iterator[Metric]:
        # A publish may come in between: all families show one state.
        snapshots, shown = dict(self._snapshots), dict(self._shown)
        for family in FAMILIES:
            if family.read is not None:
                for account, snapshot in snapshots.items():
                    yield _gauge(family, family.read, account, snapshot)
            elif family.count is not None:
                make = _histogram if family.kind == "histogram" else _count
                yield make(family, family.count, shown)


def _gauge(family: Family, read: Read, account: str, snapshot: Snapshot) -> Metric:
    metric = GaugeMetricFamily(family.name, family.help, labels=family.labels)
    for labels, value in read(snapshot):
        metric.add_metric((account, *labels), value)
    return metric


def _count(family: Family, count: Count, shown: Mapping[str, Counts]) -> Metric:
    metric = CounterMetricFamily(family.name, family.help, labels=family.labels)
    for account, counts in shown.items():
        for labels, value in count(counts):
            metric.add_metric((account, *labels), value)
    return metric


def _histogram(family: Family, count: Count, shown: Mapping[str, Counts]) -> Metric:
    metric = HistogramMetricFamily(family.name, family.help, labels=family.labels)
    for account, counts in shown.items():
        *buckets, (_, total) = count(counts)
        metric.add_metric((account,), [(labels[0], value) for labels, value in buckets], total)
    return metric
