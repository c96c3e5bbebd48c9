"""One table defines every metric: name, help, labels, and how its samples are read off what was found.

Pure. Metrics, docs, dashboards and alerts are held to this table. Must not know of Prometheus' library.

Rule: a label value is a name from the settings, a word from a fixed list or a checked id.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from exporter.errors import OUTCOMES, RETRY_REASONS
from exporter.events import CALLS
from exporter.ledger.counters import DURATION_BUCKETS, OUTCOME_STATUSES, Counts
from exporter.ledger.snapshot import Snapshot
from exporter.operation import EMAIL_STATUSES, STAT_INDEX

Samples: TypeAlias = Iterator[tuple[tuple[str, ...], float]]
"""Label values without the account's, and the value."""

Read: TypeAlias = Callable[[Snapshot], Samples]
Count: TypeAlias = Callable[[Counts], Samples]

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
    """For gauges of polled data: their samples in a snapshot."""
    count: Count | None = None
    """For counters that survive: their samples in what was counted. With neither: its own."""
    known: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Of its own metrics: the label values that show from the first scrape on."""
    buckets: tuple[float, ...] = ()
    at_scrape: bool = False
    """Of its own metrics: read at each scrape (`set_function`), not set when something happens."""

    @property
    def is_own(self) -> bool:
        return self.read is None and self.count is None


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
    for operation in snapshot.top_failing:
        for status in EMAIL_STATUSES:
            value = operation.stats[STAT_INDEX[status]]
            if value is not None:
                yield (operation.id, operation.status, status), value


def _counter(name: str, *labels: str) -> Count:
    """A counter with one series for each label value, or a single one."""

    def count(counts: Counts) -> Samples:
        for label in labels or ("",):
            yield (label,) if labels else (), counts[name, label]

    return count


def _stat(stat: str) -> Count:
    def count(counts: Counts) -> Samples:
        yield (), counts["stat", stat]

    return count


def _durations(counts: Counts) -> Samples:
    """Cumulative, by upper edge; the sum comes last."""
    reached = 0.0
    for edge in (*map(str, DURATION_BUCKETS), "+Inf"):
        reached += counts["duration", edge]
        yield (edge,), reached
    yield ("sum",), counts["duration_sum", ""]


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
        "twilio_email_outcomes_total",
        "counter",
        f"Emails seen to reach a state since coverage began, {AS_OF}",
        ("account", "status"),
        count=_counter("stat", *OUTCOME_STATUSES),
    ),
    Family(
        "twilio_email_emails_total",
        "counter",
        f"Email resources created (increases of stats.total) since coverage began, {AS_OF}",
        count=_stat("total"),
    ),
    Family(
        "twilio_email_recipients_total",
        "counter",
        f"Recipients targeted (increases of stats.recipients) since coverage began, {AS_OF}",
        count=_stat("recipients"),
    ),
    Family(
        "twilio_email_attempts_total",
        "counter",
        f"Sending attempts (increases of stats.attempts) since coverage began, {AS_OF}",
        count=_stat("attempts"),
    ),
    Family(
        "twilio_email_operations_total",
        "counter",
        f"Operations created since coverage began, counted when first seen, {AS_OF}",
        count=_counter("operations"),
    ),
    Family(
        "twilio_email_operations_finished_total",
        "counter",
        f"Operations seen to become final since coverage began, {AS_OF}",
        ("account", "operation_status"),
        count=_counter("finished", "completed", "canceled"),
    ),
    Family(
        "twilio_email_operation_duration_seconds",
        "histogram",
        f"createdAt to updatedAt of the operations seen to be completed since coverage began, {AS_OF}",
        count=_durations,
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
        "As of when the numbers are: the start of the last successful poll; 0 before the first.",
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
        ("account", "call", "code"),
        known={"call": CALLS, "code": ("200", "429", "timeout", "connection")},
    ),
    Family(
        "twilio_email_exporter_request_duration_seconds",
        "histogram",
        "Duration of the requests to Twilio, answered or not.",
        ("account", "call"),
        known={"call": CALLS},
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
        at_scrape=True,
    ),
    Family(
        "twilio_email_exporter_next_request_timestamp_seconds",
        "gauge",
        "No request leaves before this Unix time; 0 when one may leave now.",
        at_scrape=True,
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
        "twilio_email_exporter_changed_after_final_total",
        "counter",
        f"Replies that changed the stats of an operation that was already final, {AS_OF}",
        count=_counter("changed_after_final"),
    ),
    Family(
        "twilio_email_exporter_regressions_total",
        "counter",
        f"Stats of an operation that fell from one reply to the next, {AS_OF}",
        ("account", "status"),
        count=_counter("regressions", *OUTCOME_STATUSES),
    ),
    Family(
        "twilio_email_exporter_unknown_values_total",
        "counter",
        f"Operations first seen with a value that this version does not know, by field, {AS_OF}",
        ("account", "field"),
        count=_counter("unknown", "status"),
    ),
    Family(
        "twilio_email_exporter_expired_unfinished_total",
        "counter",
        f"Operations that left the window without a final status, {AS_OF}",
        count=_counter("expired_unfinished"),
    ),
    Family(
        "twilio_email_exporter_state_writes_total",
        "counter",
        "Writes of the state file, by how they ended.",
        ("outcome",),
        known={"outcome": ("success", "failure")},
    ),
    Family(
        "twilio_email_exporter_state_bytes",
        "gauge",
        "Size of the state file and what belongs to it; 0 without one.",
        (),
        at_scrape=True,
    ),
    Family(
        "twilio_email_exporter_clock_skew_seconds",
        "gauge",
        "Our clock less the Date of Twilio's last reply, which has no fractions of a second.",
    ),
    Family(
        "twilio_email_exporter_config_last_reload_successful",
        "gauge",
        "1 if the files that may change while running were last read without a problem.",
        (),
    ),
    Family(
        "twilio_email_exporter_config_last_reload_success_timestamp_seconds",
        "gauge",
        "When the files that may change while running were last read without a problem.",
        (),
    ),
)
