"""All metrics of one process, in parts that change at different times.

Receives events and frozen snapshots. Must not know HTTP, Twilio's replies or how the text is written.

Rule 1: gauges of polled data come from the last published snapshot and appear with the first one.
Rule 2: those of the breakdown come from the last refresh; without `has_breakdown` there are none.
Rule 3: surviving counters show zero, or their restored values, until one scrape has read them.
Rule 4: a process that is not active has no surviving counters. One of several processes shows what was
counted since a scrape last saw the counters of any of them, so that the sum of all increases is right.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, NamedTuple

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
        self._is_active = True
        self.term = 0
        """Goes up whenever the process begins or ceases to be active, and when the gauges are hidden."""
        self.seen: dict[str, Counts] = {}
        """What scrapes have seen of each account's counters, of what the state holds."""
        self.on_seen: Callable[[], object] = lambda: None
        """Called when a scrape has seen more."""
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

    def activate(self) -> None:
        """Show the counters at zero, for `restore`, and wait for the first scrape again."""
        self.hide_gauges()
        self.seen.clear()
        self._released = False
        for each in self._polled.values():
            each.counts, each.base = ZERO, None
        self._change_activity(is_active=True)

    def deactivate(self) -> None:
        """Hide the counters. The gauges stay until `hide_gauges`."""
        self._change_activity(is_active=False)
        for each in self._own.values():
            each.stop_polling()

    def _change_activity(self, *, is_active: bool) -> None:
        self.term += 1
        self._is_active = is_active
        for each in self._polled.values():
            each.has_counters = is_active
            each.part.changes += 1
        self._process.show_active(is_active=is_active)

    def hide_gauges(self) -> bool:
        """Returns whether there were any."""
        shown = [each for each in self._polled.values() if each.snapshot is not None]
        for each in shown:
            each.snapshot = each.breakdown = None
            each.part.changes += 1
        self.term += bool(shown)
        return bool(shown)

    def restore(self, account: str, snapshot: Snapshot, seen: Counts | None = None) -> None:
        """Show a restored snapshot. The account's counters start from its values.

        `seen`: what a scrape has seen of them in another process; then they start at zero, and what was
        counted since is shown after the first scrape.
        """
        self._polled[account].counts = snapshot.counts if seen is None else seen
        self._polled[account].base = seen
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

    def scrape(self) -> "Scrape":
        """What a page that is rendered now shows; for `note_seen` after it was sent."""
        return Scrape(self.term, {name: each.counts for name, each in self._polled.items()})

    def note_seen(self, scrape: "Scrape") -> None:
        """A page was sent."""
        if not self._is_active or scrape.term != self.term:
            return
        self.release_counters()
        if any(self.seen.get(account) is not counts for account, counts in scrape.counts.items()):
            self.seen.update(scrape.counts)
            self.on_seen()

    def release_counters(self) -> bool:
        """Let the counters rise, now that a scrape has seen where they start.

        `increase()` sees a step only between two scrapes: without the first one it would miss what the first
        poll finds. Returns whether anything changed.
        """
        if self._released or not self._is_active:
            return False
        self._released = True
        for each in self._polled.values():
            each.release_counters()
        return True

    def _collect_live(self) -> Iterator[Metric]:
        for each in self._own.values():
            yield from each.live.collect()
        yield from self._process.live.collect()


class Scrape(NamedTuple):
    term: int
    """Changes whenever the process begins or ceases to be active."""
    counts: Mapping[str, Counts]
    """The counters of each account, as the state holds them."""


class _Polled:
    """Turns the last snapshot, breakdown and counts of one account into Prometheus families.

    The gauges appear with the first snapshot.
    """

    def __init__(self, account: str, *, has_breakdown: bool) -> None:
        self.part = Part(self._collect)
        self.snapshot: Snapshot | None = None
        self.breakdown: Breakdown | None = None
        self.counts = ZERO
        self.base: Counts | None = None
        """What is shown begins at zero here."""
        self.has_counters = True
        self._account = account
        self._has_breakdown = has_breakdown

    def release_counters(self) -> None:
        self.part.changes += 1
        if self.snapshot is not None:
            self.counts = self.snapshot.counts

    def _collect(self) -> Iterator[Metric]:
        # A publish may happen while the text is written: all families must show one state.
        snapshot, breakdown = self.snapshot, self.breakdown
        has_counters, counts = self.has_counters, self._shown_counts()
        if snapshot is not None:
            for gauge in POLLED_GAUGES:
                yield self._gauge(gauge.name, gauge.help, gauge.labels, gauge.read(snapshot))
        for refreshed in BREAKDOWN_GAUGES if self._has_breakdown else ():
            yield self._gauge(refreshed.name, refreshed.help, refreshed.labels, refreshed.read(breakdown))
        for family in SURVIVING if has_counters else ():
            if isinstance(family, SurvivingHistogram):
                yield self._histogram(family, counts)
            else:
                yield self._counter(family, counts)

    def _shown_counts(self) -> Counts:
        base = self.base
        return self.counts if base is None else {key: each - base[key] for key, each in self.counts.items()}

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
