"""The families: one table defines every metric, and everything else is read off it.

The home of prometheus_client's objects. Is told what happened by frozen records and what was found by
frozen snapshots; must not know of HTTP, Twilio's replies or how text is rendered.

Rule 1: gauges of polled data come from the last published snapshot and appear with the first one.
Rule 2: the exporter's own metrics are there from the first scrape on, every known label value at 0.
Rule 3: a label value is a name from the settings, a word from a fixed list or a checked id.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Final, TypeAlias

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector

from exporter.errors import OUTCOMES, RETRY_REASONS
from exporter.operation import EMAIL_STATUSES, STAT_INDEX
from exporter.report import ENDPOINTS, PollCrashed, PollFinished, Report, RequestFinished, RequestRetried
from exporter.snapshot import Snapshot

disable_created_metrics()  # type: ignore[no-untyped-call] # they would double the series, and Prometheus makes nothing of them in text

Samples: TypeAlias = Iterator[tuple[tuple[str, ...], float]]
"""Label values without the account's, and the value."""

Read: TypeAlias = Callable[[Snapshot], Samples]

AS_OF: Final = "as of the last successful poll."


@dataclass(frozen=True, slots=True)
class Family:
    """One row of the table."""

    name: str
    kind: str
    """`gauge`, `counter` or `histogram`."""
    help: str
    labels: tuple[str, ...] = ("account",)
    read: Read | None = None
    """For polled data: its samples in a snapshot. Without: the exporter's own, kept live."""
    known: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Of its own metrics: the label values that show from the first scrape on."""
    buckets: tuple[float, ...] = ()


def _window_operations(snapshot: Snapshot) -> Samples:
    for status, sums in snapshot.window.items():
        yield (status,), sums.operations


def _window_emails(snapshot: Snapshot) -> Samples:
    for operation_status, sums in snapshot.window.items():
        for status in EMAIL_STATUSES:
            yield (operation_status, status), sums.stats[STAT_INDEX[status]]


def _window_stat(stat: str) -> Read:
    def read(snapshot: Snapshot) -> Samples:
        for status, sums in snapshot.window.items():
            yield (status,), sums.stats[STAT_INDEX[stat]]

    return read


def _oldest_created(snapshot: Snapshot) -> Samples:
    for status in ("scheduled", "processing"):
        if status in snapshot.oldest_created_at:
            yield (status,), snapshot.oldest_created_at[status]


def _recent_emails(snapshot: Snapshot) -> Samples:
    for age, sums in snapshot.recent.items():
        for status in EMAIL_STATUSES:
            yield (age, status), sums.stats[STAT_INDEX[status]]


def _recent_stat(stat: str) -> Read:
    def read(snapshot: Snapshot) -> Samples:
        for age, sums in snapshot.recent.items():
            yield (age,), sums.stats[STAT_INDEX[stat]]

    return read


def _top_operation_emails(snapshot: Snapshot) -> Samples:
    for operation in snapshot.worst:
        for status in EMAIL_STATUSES:
            value = operation.stats[STAT_INDEX[status]]
            if value is not None:
                yield (operation.id, operation.status, status), value


_WINDOW = ("account", "operation_status")
_RECENT = ("account", "created_within")
_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

FAMILIES: Final = (
    Family(
        "twilio_email_window_operations",
        "gauge",
        f"Email Operations created within the window, by their status, {AS_OF}",
        _WINDOW,
        _window_operations,
    ),
    Family(
        "twilio_email_window_emails",
        "gauge",
        "Emails of the operations created within the window, by the operation's status and their own, "
        f"{AS_OF}",
        (*_WINDOW, "status"),
        _window_emails,
    ),
    Family(
        "twilio_email_window_total_emails",
        "gauge",
        f"Email resources created by the operations created within the window (stats.total), {AS_OF}",
        _WINDOW,
        _window_stat("total"),
    ),
    Family(
        "twilio_email_window_recipients",
        "gauge",
        f"Recipients targeted by the operations created within the window (stats.recipients), {AS_OF}",
        _WINDOW,
        _window_stat("recipients"),
    ),
    Family(
        "twilio_email_window_attempts",
        "gauge",
        "Sending attempts of the operations created within the window (stats.attempts); "
        f"may exceed the emails, {AS_OF}",
        _WINDOW,
        _window_stat("attempts"),
    ),
    Family(
        "twilio_email_window_oldest_created_timestamp_seconds",
        "gauge",
        "When the oldest operation that is still scheduled or processing was created; "
        f"absent when there is none, {AS_OF}",
        _WINDOW,
        _oldest_created,
    ),
    Family(
        "twilio_email_recent_emails",
        "gauge",
        "Emails of the operations created in the last 1h, 6h or 24h; these overlap, "
        f"so never sum over created_within, {AS_OF}",
        (*_RECENT, "status"),
        _recent_emails,
    ),
    Family(
        "twilio_email_recent_total_emails",
        "gauge",
        f"Email resources created by the operations created in the last 1h, 6h or 24h, {AS_OF}",
        _RECENT,
        _recent_stat("total"),
    ),
    Family(
        "twilio_email_recent_attempts",
        "gauge",
        f"Sending attempts of the operations created in the last 1h, 6h or 24h, {AS_OF}",
        _RECENT,
        _recent_stat("attempts"),
    ),
    Family(
        "twilio_email_top_operation_emails",
        "gauge",
        f"Emails of the operations with the most failed and undelivered ones, worst first, {AS_OF}",
        ("account", "operation_id", "operation_status", "status"),
        _top_operation_emails,
    ),
    Family(
        "twilio_email_up",
        "gauge",
        "1 if the last poll of the account succeeded, 0 if it failed or there was none yet.",
    ),
    Family(
        "twilio_email_exporter_build_info",
        "gauge",
        "Always 1; the label names the version that runs.",
        ("version",),
    ),
    Family(
        "twilio_email_exporter_polls_total",
        "counter",
        "Polls, by how they ended.",
        ("account", "outcome"),
        known={"outcome": OUTCOMES},
    ),
    Family(
        "twilio_email_exporter_poll_duration_seconds",
        "histogram",
        "Duration of the polls, whatever their outcome.",
        buckets=(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0),
    ),
    Family(
        "twilio_email_exporter_last_success_timestamp_seconds",
        "gauge",
        "When the last successful poll ended; 0 before the first.",
    ),
    Family(
        "twilio_email_exporter_poll_interval_seconds",
        "gauge",
        "The configured interval from the start of a poll to the start of the next.",
    ),
    Family(
        "twilio_email_exporter_requests_total",
        "counter",
        "Requests sent to Twilio; code is the HTTP status, or timeout, or connection.",
        ("account", "endpoint", "code"),
        known={"endpoint": ENDPOINTS, "code": ("200",)},
    ),
    Family(
        "twilio_email_exporter_request_duration_seconds",
        "histogram",
        "Duration of the requests to Twilio, answered or not.",
        ("account", "endpoint"),
        known={"endpoint": ENDPOINTS},
        buckets=_SECONDS,
    ),
    Family(
        "twilio_email_exporter_retries_total",
        "counter",
        "Requests sent again within a poll, by why.",
        ("account", "reason"),
        known={"reason": RETRY_REASONS},
    ),
    Family(
        "twilio_email_exporter_request_rate_limit",
        "gauge",
        "Requests per second that the exporter now allows itself: halved when Twilio answers 429, raised "
        "again by successes.",
    ),
    Family(
        "twilio_email_exporter_next_request_timestamp_seconds",
        "gauge",
        "No request leaves before this Unix time; 0 when one may leave now.",
    ),
    Family(
        "twilio_email_exporter_internal_errors_total",
        "counter",
        "Polls that a mistake in the exporter ended; the log has the traceback.",
    ),
    Family(
        "twilio_email_exporter_tracked_operations",
        "gauge",
        "Operations in the sums.",
    ),
    Family(
        "twilio_email_exporter_skipped_fetches_total",
        "counter",
        "Non-final operations that a poll did not fetch for want of time; the listing's numbers stand.",
    ),
    Family(
        "twilio_email_exporter_unknown_values_total",
        "counter",
        "Operations first seen with a value that this version does not know, by field.",
        ("account", "field"),
        known={"field": ("status",)},
    ),
    Family(
        "twilio_email_exporter_clock_skew_seconds",
        "gauge",
        "Our clock less the Date of Twilio's last reply, which has no fractions of a second.",
    ),
)


class Metrics:
    """The families of one process, filled."""

    def __init__(self, accounts: Iterable[str], *, version: str, interval: float) -> None:
        self._snapshots: dict[str, Snapshot] = {}
        self.polled = CollectorRegistry(auto_describe=False)
        """What Twilio said: changes at a publish only."""
        self.polled.register(_Polled(self._snapshots))
        self.own = CollectorRegistry()
        """The exporter itself: changes at any moment."""
        ProcessCollector(registry=self.own)
        PlatformCollector(registry=self.own)
        GCCollector(registry=self.own)
        self._own = {family.name: self._build(family) for family in FAMILIES if family.read is None}
        self._series("twilio_email_exporter_build_info", version).set(1)
        for account in accounts:
            self._show_known(account)
            self._series("twilio_email_exporter_poll_interval_seconds", account).set(interval)

    def publish(self, account: str, snapshot: Snapshot) -> None:
        self._snapshots[account] = snapshot
        self._series("twilio_email_exporter_tracked_operations", account).set(snapshot.tracked_operations)

    def watch(
        self, account: str, requests_per_second: Callable[[], float], next_request_at: Callable[[], float]
    ) -> None:
        """Show an account's pace as it is at each scrape."""
        limit = self._series("twilio_email_exporter_request_rate_limit", account)
        limit.set_function(requests_per_second)
        next_request = self._series("twilio_email_exporter_next_request_timestamp_seconds", account)
        next_request.set_function(next_request_at)

    def observe(self, report: Report) -> None:
        match report:
            case RequestFinished():
                self._observe_request(report)
            case RequestRetried(account=account, reason=reason):
                self._series("twilio_email_exporter_retries_total", account, reason).inc()
            case PollCrashed(account=account):
                self._series("twilio_email_up", account).set(0)
                self._series("twilio_email_exporter_internal_errors_total", account).inc()
            case PollFinished():
                self._observe_poll(report)
            case _:
                pass  # of use to the log and the status page

    def _observe_request(self, request: RequestFinished) -> None:
        account, endpoint = request.account, request.endpoint
        self._series("twilio_email_exporter_requests_total", account, endpoint, request.code).inc()
        duration = self._series("twilio_email_exporter_request_duration_seconds", account, endpoint)
        duration.observe(request.duration_seconds)
        if request.clock_skew_seconds is not None:
            self._series("twilio_email_exporter_clock_skew_seconds", account).set(request.clock_skew_seconds)

    def _observe_poll(self, poll: PollFinished) -> None:
        account = poll.account
        self._series("twilio_email_up", account).set(poll.error is None)
        self._series("twilio_email_exporter_polls_total", account, poll.outcome).inc()
        self._series("twilio_email_exporter_poll_duration_seconds", account).observe(poll.duration_seconds)
        self._series("twilio_email_exporter_skipped_fetches_total", account).inc(poll.skipped_fetches)
        unknown = self._series("twilio_email_exporter_unknown_values_total", account, "status")
        unknown.inc(poll.unknown_statuses)
        if poll.error is None:
            last_success = self._series("twilio_email_exporter_last_success_timestamp_seconds", account)
            last_success.set(poll.finished_at)

    def _build(self, family: Family) -> Counter | Gauge | Histogram:
        if family.buckets:
            return Histogram(
                family.name, family.help, family.labels, buckets=family.buckets, registry=self.own
            )
        return _KINDS[family.kind](family.name, family.help, family.labels, registry=self.own)

    def _show_known(self, account: str) -> None:
        for family in FAMILIES:
            if family.read is None and family.labels[0] == "account":
                for values in product(*(family.known[label] for label in family.labels[1:])):
                    self._series(family.name, account, *values)

    def _series(self, name: str, *labels: str) -> Any:
        return self._own[name].labels(*labels)


_KINDS: Final[Mapping[str, type[Counter | Gauge]]] = {"counter": Counter, "gauge": Gauge}


class _Polled(Collector):
    """Turns the published snapshots into families; an account without one has no series."""

    def __init__(self, snapshots: Mapping[str, Snapshot]) -> None:
        self._snapshots = snapshots

    def collect(self) -> Iterator[GaugeMetricFamily]:
        snapshots = dict(self._snapshots)  # a publish may come in between: all families show one state
        if not snapshots:
            return
        for family in FAMILIES:
            if family.read is not None:
                metric = GaugeMetricFamily(family.name, family.help, labels=family.labels)
                for account, snapshot in snapshots.items():
                    for labels, value in family.read(snapshot):
                        metric.add_metric((account, *labels), value)
                yield metric
