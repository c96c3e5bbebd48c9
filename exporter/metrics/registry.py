"""All metrics of one process, in parts that change at different times.

Receives events and frozen snapshots. Must not know HTTP, Twilio's replies or how the text is written.

Rule 1: gauges of polled data come from the last published snapshot and appear with the first one.
Rule 2: those of the breakdown come from the last refresh; without `has_breakdown` there are none.
Rule 3: surviving counters show zero, or their restored values, until one scrape has read them.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from prometheus_client import (  # noqa: TID251 - home of prometheus_client
    CollectorRegistry,
    GCCollector,
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

from exporter.breakdown import Breakdown
from exporter.config.alerts import Alerts
from exporter.events import Event
from exporter.ledger.counters import ZERO, Counts
from exporter.ledger.snapshot import Snapshot
from exporter.metrics.exposition import Part
from exporter.metrics.families import (
    BREAKDOWN_GAUGES,
    FAMILIES,
    POLLED_GAUGES,
    SURVIVING,
    Labels,
    Samples,
    SurvivingCounter,
    SurvivingHistogram,
)
from exporter.metrics.own import AccountMetrics, ProcessMetrics

disable_created_metrics()  # type: ignore[no-untyped-call] # they would double the series; Prometheus ignores them in text

ORDER: Final = tuple(family.name.removesuffix("_total") for family in FAMILIES)
"""The families in the order of the page, by their names in prometheus_client."""


class Metrics:
    def __init__(
        self,
        accounts: Iterable[str],
        *,
        version: str,
        interval: float,
        alerts_of: Callable[[str], Alerts],
        has_breakdown: bool = False,
    ) -> None:
        """`alerts_of` returns the thresholds of an account; `has_breakdown`: there will be breakdowns."""
        names = tuple(accounts)
        self._polled = {name: _Polled(name, has_breakdown=has_breakdown) for name in names}
        self._own = {name: AccountMetrics(name, interval=interval, alerts=alerts_of(name)) for name in names}
        self._process = ProcessMetrics(version=version)
        self._released = False
        self.polled = [each.part for each in self._polled.values()]
        """Polled data of each account: changes with its publishes, and when the counters are released."""
        self.own = [*(each.part for each in self._own.values()), self._process.part]
        """The exporter's own metrics, of each account and of the process: they change with events."""
        self.live = Part(self._collect_live, is_live=True)
        """What is read at each scrape."""
        python = CollectorRegistry()
        ProcessCollector(registry=python)
        PlatformCollector(registry=python)
        GCCollector(registry=python)
        self.python = Part(python.collect, is_live=True)
        """The operating system's view of the process, and its Python."""
        self.reloaded = self._process.reloaded
        self.watch_state = self._process.watch_state

    def watch_rate_limiter(
        self, account: str, requests_per_second: Callable[[], float], next_request_at: Callable[[], float]
    ) -> None:
        self._own[account].watch_rate_limiter(requests_per_second, next_request_at)

    def observe(self, event: Event) -> None:
        self._own[event.account].observe(event)
        self._process.observe(event)

    def restore(self, account: str, snapshot: Snapshot) -> None:
        """Show a restored snapshot. The account's counters start from its values."""
        self._polled[account].counts = snapshot.counts
        self._show(account, snapshot)

    def publish(self, account: str, snapshot: Snapshot) -> None:
        if self._released:
            self._polled[account].counts = snapshot.counts
        self._show(account, snapshot)

    def publish_breakdown(self, account: str, breakdown: Breakdown) -> None:
        self._polled[account].breakdown = breakdown
        self._polled[account].part.changes += 1

    def _show(self, account: str, snapshot: Snapshot) -> None:
        self._polled[account].snapshot = snapshot
        self._polled[account].part.changes += 1
        self._own[account].published(snapshot)

    def release_counters(self) -> bool:
        """Let the counters rise, now that a scrape has seen where they start.

        `increase()` sees a step only between two scrapes: without the first one it would miss what the first
        poll finds. Returns whether anything changed.
        """
        if self._released:
            return False
        self._released = True
        for each in self._polled.values():
            each.release_counters()
        return True

    def _collect_live(self) -> Iterator[Metric]:
        for each in self._own.values():
            yield from each.live.collect()
        yield from self._process.live.collect()


class _Polled:
    """Turns the last snapshot, breakdown and counts of one account into Prometheus families.

    The gauges appear with the first snapshot.
    """

    def __init__(self, account: str, *, has_breakdown: bool) -> None:
        self.part = Part(self._collect)
        self.snapshot: Snapshot | None = None
        self.breakdown: Breakdown | None = None
        self.counts = ZERO
        self._account = account
        self._has_breakdown = has_breakdown

    def release_counters(self) -> None:
        self.part.changes += 1
        if self.snapshot is not None:
            self.counts = self.snapshot.counts

    def _collect(self) -> Iterator[Metric]:
        # A publish may happen while the text is written: all families must show one state.
        snapshot, breakdown, counts = self.snapshot, self.breakdown, self.counts
        if snapshot is not None:
            for gauge in POLLED_GAUGES:
                yield self._gauge(gauge.name, gauge.help, gauge.labels, gauge.read(snapshot))
        for refreshed in BREAKDOWN_GAUGES if self._has_breakdown else ():
            yield self._gauge(refreshed.name, refreshed.help, refreshed.labels, refreshed.read(breakdown))
        for family in SURVIVING:
            if isinstance(family, SurvivingHistogram):
                yield self._histogram(family, counts)
            else:
                yield self._counter(family, counts)

    def _gauge(self, name: str, help_: str, labels: Labels, samples: Samples) -> Metric:
        metric = GaugeMetricFamily(name, help_, labels=labels)
        for values, value in samples:
            metric.add_metric((self._account, *values), value)
        return metric

    def _counter(self, family: SurvivingCounter, counts: Counts) -> Metric:
        metric = CounterMetricFamily(family.name, family.help, labels=family.labels)
        for values, value in family.count(counts):
            metric.add_metric((self._account, *values), value)
        return metric

    def _histogram(self, family: SurvivingHistogram, counts: Counts) -> Metric:
        metric = HistogramMetricFamily(family.name, family.help, labels=family.labels)
        *buckets, (_, total) = family.count(counts)
        metric.add_metric((self._account,), [(values[0], value) for values, value in buckets], total)
        return metric
