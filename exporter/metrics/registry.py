"""All metrics of one process, in registries that change at different times.

Receives events and frozen snapshots. Must not know HTTP, Twilio's replies or how the text is written.

Rule 1: gauges of polled data come from the last published snapshot and appear with the first one.
Rule 2: those of the breakdown come from the last refresh; without `has_breakdown` there are none.
Rule 3: surviving counters show zero, or their restored values, until one scrape has read them.
Rule 4: a process that is not active has no surviving counters. One of several processes shows what was
counted since a scrape last saw the counters of any of them, so that the sum of all increases is right.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

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
from prometheus_client.registry import Collector  # noqa: TID251 - home of prometheus_client

from exporter.breakdown import Breakdown
from exporter.config.alerts import Alerts
from exporter.ledger.counters import ZERO, Counts
from exporter.ledger.snapshot import Snapshot
from exporter.metrics.families import (
    BREAKDOWN_GAUGES,
    POLLED_GAUGES,
    SURVIVING,
    BreakdownGauge,
    PolledGauge,
    Samples,
    SurvivingCounter,
    SurvivingHistogram,
)
from exporter.metrics.own import OwnMetrics

disable_created_metrics()  # type: ignore[no-untyped-call] # they would double the series; Prometheus ignores them in text


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
        self._names = names
        self._breakdowns: dict[str, Breakdown | None] = dict.fromkeys(names if has_breakdown else ())
        self._snapshots: dict[str, Snapshot] = {}
        self._shown: dict[str, Counts] = dict.fromkeys(names, ZERO)
        self._bases: dict[str, Counts] = {}
        self._released = False
        self.seen: dict[str, Counts] = {}
        """What scrapes have seen of each account's counters, of what the state holds."""
        self.on_seen: Callable[[], object] = lambda: None
        """Called when a scrape has seen more."""
        self.term = 0
        """Goes up whenever the process begins or ceases to be active."""
        self.publishes = 0
        """Goes up whenever `polled` changes."""
        self.polled = CollectorRegistry(auto_describe=False)
        """Polled data: changes with each publish, and when the counters are released."""
        self.polled.register(_Polled(self._snapshots, self._breakdowns, self._shown, self._bases))
        self.own = CollectorRegistry()
        """The exporter's own metrics: changes with events."""
        self.live = CollectorRegistry()
        """What is read at each scrape: changes at any time."""
        self.process = CollectorRegistry()
        """The process and its Python: changes at any time."""
        ProcessCollector(registry=self.process)
        PlatformCollector(registry=self.process)
        GCCollector(registry=self.process)
        self._own = OwnMetrics(
            names,
            version=version,
            interval=interval,
            alerts_of=alerts_of,
            registry=self.own,
            live=self.live,
        )
        self.observe = self._own.observe
        self.reloaded = self._own.reloaded
        self.watch_rate_limiter = self._own.watch_rate_limiter
        self.watch_state = self._own.watch_state

    @property
    def changes(self) -> int:
        """Goes up whenever `own` changes."""
        return self._own.changes

    def activate(self) -> None:
        """Show the counters at zero, for `restore`, and wait for the first scrape again."""
        self.hide_gauges()
        self._shown.update(dict.fromkeys(self._names, ZERO))
        self._bases.clear()
        self.seen.clear()
        self._released = False
        self._own.show_active(is_active=True)

    def deactivate(self) -> None:
        """Hide the counters. The gauges stay until `hide_gauges`."""
        self._shown.clear()
        self.term += 1
        self.publishes += 1
        self._own.show_active(is_active=False)

    def hide_gauges(self) -> None:
        self._snapshots.clear()
        self._breakdowns.update(dict.fromkeys(self._breakdowns))
        self.term += 1
        self.publishes += 1

    def restore(self, account: str, snapshot: Snapshot, seen: Counts | None = None) -> None:
        """Show a restored snapshot. The account's counters start from its values.

        `seen`: what a scrape has seen of them in another process; then they start at zero, and what was
        counted since is shown after the first scrape.
        """
        self._shown[account] = snapshot.counts if seen is None else seen
        if seen is not None:
            self._bases[account] = seen
        self._show(account, snapshot)

    def publish(self, account: str, snapshot: Snapshot) -> None:
        if self._released:
            self._shown[account] = snapshot.counts
        self._show(account, snapshot)

    def publish_breakdown(self, account: str, breakdown: Breakdown) -> None:
        self._breakdowns[account] = breakdown
        self.publishes += 1

    def _show(self, account: str, snapshot: Snapshot) -> None:
        self._snapshots[account] = snapshot
        self.publishes += 1
        self._own.published(account, snapshot)

    def scrape(self) -> "Scrape":
        """What a page that is rendered now shows; for `note_seen` after it was sent."""
        return Scrape(self.term, dict(self._shown))

    def note_seen(self, scrape: "Scrape") -> None:
        """A page was sent."""
        if scrape.term != self.term:
            return
        self.release_counters()
        if any(self.seen.get(account) is not counts for account, counts in scrape.shown.items()):
            self.seen.update(scrape.shown)
            self.on_seen()

    def release_counters(self) -> bool:
        """Let the counters rise, now that a scrape has seen where they start.

        `increase()` sees a step only between two scrapes: without the first one it would miss what the first
        poll finds. Returns whether anything changed.
        """
        if self._released or not self._shown:
            return False
        self._released = True
        self.publishes += 1
        self._shown.update({account: snapshot.counts for account, snapshot in self._snapshots.items()})
        return True


class Scrape(NamedTuple):
    term: int
    """Changes whenever the process begins or ceases to be active."""
    shown: Mapping[str, Counts]


class _Polled(Collector):
    """Turns published snapshots and counts into Prometheus families.

    An account's gauges appear with its first snapshot. They come one account at a time, so that the writer of
    the text can pause in between.
    """

    def __init__(
        self,
        snapshots: Mapping[str, Snapshot],
        breakdowns: Mapping[str, Breakdown | None],
        shown: Mapping[str, Counts],
        bases: Mapping[str, Counts],
    ) -> None:
        self._bases = bases
        self._snapshots = snapshots
        self._breakdowns = breakdowns
        self._shown = shown

    def collect(self) -> Iterator[Metric]:
        # A publish may happen while the text is written: all families must show one state.
        snapshots, breakdowns = dict(self._snapshots), dict(self._breakdowns)
        shown = {each: _since(self._bases.get(each), counts) for each, counts in self._shown.items()}
        for gauge in POLLED_GAUGES:
            for account, snapshot in snapshots.items():
                yield _gauge(gauge, account, gauge.read(snapshot))
        for refreshed in BREAKDOWN_GAUGES:
            for account, breakdown in breakdowns.items():
                yield _gauge(refreshed, account, refreshed.read(breakdown))
        for family in SURVIVING:
            if isinstance(family, SurvivingHistogram):
                yield _histogram(family, shown)
            else:
                yield _counter(family, shown)


def _since(base: Counts | None, counts: Counts) -> Counts:
    return counts if base is None else {key: value - base[key] for key, value in counts.items()}


def _gauge(family: PolledGauge | BreakdownGauge, account: str, samples: Samples) -> Metric:
    metric = GaugeMetricFamily(family.name, family.help, labels=family.labels)
    for labels, value in samples:
        metric.add_metric((account, *labels), value)
    return metric


def _counter(family: SurvivingCounter, shown: Mapping[str, Counts]) -> Metric:
    metric = CounterMetricFamily(family.name, family.help, labels=family.labels)
    for account, counts in shown.items():
        for labels, value in family.count(counts):
            metric.add_metric((account, *labels), value)
    return metric


def _histogram(family: SurvivingHistogram, shown: Mapping[str, Counts]) -> Metric:
    metric = HistogramMetricFamily(family.name, family.help, labels=family.labels)
    for account, counts in shown.items():
        *buckets, (_, total) = family.count(counts)
        metric.add_metric((account,), [(labels[0], value) for labels, value in buckets], total)
    return metric
