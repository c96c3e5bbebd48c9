"""One table defines every metric: its name, HELP text, labels, and where its samples come from.

Pure. The metrics, the docs, the dashboards and the alerts are all checked against this table. It must not
know prometheus_client.

Rule: a label value is a name from the settings, a word from a fixed list or a checked id; or a domain or a
tag's value from which `twilio.personal` has removed the personal data.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final, TypeAlias

from exporter.breakdown import TAG_PREFIX, Breakdown
from exporter.email import BAD_STATUSES
from exporter.errors import OUTCOMES, RETRY_REASONS
from exporter.events import CALLS
from exporter.ledger.counters import DELAY_LABELS, DURATION_LABELS, OUTCOME_STATUSES, Counts
from exporter.ledger.reading import READINGS
from exporter.ledger.snapshot import Snapshot
from exporter.operation import EMAIL_STATUSES

Samples: TypeAlias = Iterator[tuple[tuple[str, ...], float]]
"""Pairs of the label values after the account's, and the value."""

Read: TypeAlias = Callable[[Snapshot], Samples]
ReadBreakdown: TypeAlias = Callable[[Breakdown | None], Samples]
"""Takes `None` before the first refresh."""
Count: TypeAlias = Callable[[Counts], Samples]

Labels: TypeAlias = tuple[str, ...]

AS_OF: Final = "as of the last successful poll."
AS_OF_REFRESH: Final = "as of the last successful refresh of the breakdown."
_ACCOUNT: Final = ("account",)


@dataclass(frozen=True, slots=True)
class PolledGauge:
    """A gauge whose samples come from an account's last published snapshot."""

    kind: ClassVar = "gauge"
    name: str
    help: str
    labels: Labels
    read: Read


@dataclass(frozen=True, slots=True)
class BreakdownGauge:
    """A gauge whose samples come from an account's last breakdown; absent while there are no breakdowns."""

    kind: ClassVar = "gauge"
    name: str
    help: str
    labels: Labels
    read: ReadBreakdown


@dataclass(frozen=True, slots=True)
class SurvivingCounter:
    """A counter that is kept in the state and survives restarts."""

    kind: ClassVar = "counter"
    name: str
    help: str
    labels: Labels
    count: Count


@dataclass(frozen=True, slots=True)
class SurvivingHistogram:
    """A histogram that is kept in the state and survives restarts."""

    kind: ClassVar = "histogram"
    name: str
    help: str
    labels: Labels
    count: Count
    """Gives the cumulative buckets by their upper edge, then the sum."""


@dataclass(frozen=True, slots=True)
class OwnGauge:
    """A gauge of the exporter itself."""

    kind: ClassVar = "gauge"
    name: str
    help: str
    labels: Labels = _ACCOUNT
    known: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By label: the values that show from the first scrape on."""
    at_scrape: bool = False
    """Read at each scrape (`set_function`), not set when something happens."""


@dataclass(frozen=True, slots=True)
class OwnCounter:
    """A counter of the exporter itself; it starts at zero with the process."""

    kind: ClassVar = "counter"
    name: str
    help: str
    labels: Labels = _ACCOUNT
    known: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By label: the values that show from the first scrape on."""


@dataclass(frozen=True, slots=True)
class OwnHistogram:
    """A histogram of the exporter itself; it starts empty with the process."""

    kind: ClassVar = "histogram"
    name: str
    help: str
    buckets: tuple[float, ...]
    labels: Labels = _ACCOUNT
    known: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By label: the values that show from the first scrape on."""


Surviving: TypeAlias = SurvivingCounter | SurvivingHistogram
Own: TypeAlias = OwnGauge | OwnCounter | OwnHistogram
Family: TypeAlias = PolledGauge | BreakdownGauge | Surviving | Own


def _window_operations(snapshot: Snapshot) -> Samples:
    for status, totals in snapshot.window.items():
        yield (status,), totals.operations


def _window_emails(snapshot: Snapshot) -> Samples:
    for operation_status, totals in snapshot.window.items():
        for status in EMAIL_STATUSES:
            yield (operation_status, status), totals.stat(status)


def _window_stat(stat: str) -> Read:
    def read(snapshot: Snapshot) -> Samples:
        for status, totals in snapshot.window.items():
            yield (status,), totals.stat(stat)

    return read


def _oldest_created(snapshot: Snapshot) -> Samples:
    for status in ("scheduled", "processing"):
        if status in snapshot.oldest_created_at:
            yield (status,), snapshot.oldest_created_at[status]


def _recent_emails(snapshot: Snapshot) -> Samples:
    for age, totals in snapshot.recent.items():
        for status in EMAIL_STATUSES:
            yield (age, status), totals.stat(status)


def _recent_stat(stat: str) -> Read:
    def read(snapshot: Snapshot) -> Samples:
        for age, totals in snapshot.recent.items():
            yield (age,), totals.stat(stat)

    return read


def _top_operation_emails(snapshot: Snapshot) -> Samples:
    for operation in snapshot.top_failing:
        for status in EMAIL_STATUSES:
            value = getattr(operation.stats, status)
            if value is not None:
                yield (operation.id, operation.status, status), value


def _window_arrived(snapshot: Snapshot) -> Samples:
    if snapshot.arrived is not None:
        yield (), snapshot.arrived


def _recent_arrived(snapshot: Snapshot) -> Samples:
    for age, emails in snapshot.recent_arrived.items():
        yield (age,), emails


def _waiting(snapshot: Snapshot) -> Samples:
    for age, emails in snapshot.waiting.items():
        yield (age,), emails


def _overdue(snapshot: Snapshot) -> Samples:
    yield (), snapshot.overdue


def _oldest_processing(snapshot: Snapshot) -> Samples:
    if snapshot.oldest_processing_at is not None:
        yield (), snapshot.oldest_processing_at


def _domain_emails(dimension: str) -> ReadBreakdown:
    def read(breakdown: Breakdown | None) -> Samples:
        for value, bad in breakdown.dimensions.get(dimension, ()) if breakdown else ():
            for status in BAD_STATUSES:
                yield (value, status), getattr(bad, status)

    return read


def _tag_emails(breakdown: Breakdown | None) -> Samples:
    for dimension in breakdown.dimensions if breakdown else ():
        if dimension.startswith(TAG_PREFIX):
            for labels, emails in _domain_emails(dimension)(breakdown):
                yield (dimension.removeprefix(TAG_PREFIX), *labels), emails


def _operation_errors(breakdown: Breakdown | None) -> Samples:
    for code, errors in (breakdown.errors or ()) if breakdown else ():
        yield (code,), errors


def _refreshed_at(breakdown: Breakdown | None) -> Samples:
    yield (), breakdown.as_of if breakdown else 0.0


def _is_complete(breakdown: Breakdown | None) -> Samples:
    if breakdown:
        yield (), breakdown.complete


def _counter(name: str, *labels: str) -> Count:
    """Reads one series for each label value, or a single series without labels."""

    def count(counts: Counts) -> Samples:
        for label in labels or ("",):
            yield (label,) if labels else (), counts[name, label]

    return count


def _stat(stat: str) -> Count:
    def count(counts: Counts) -> Samples:
        yield (), counts["stat", stat]

    return count


def _histogram(name: str, edges: Sequence[str]) -> Count:
    """Reads the cumulative buckets by upper edge, then the sum of all values."""

    def count(counts: Counts) -> Samples:
        reached = 0.0
        for edge in edges:
            reached += counts[name, edge]
            yield (edge,), reached
        yield ("sum",), counts[f"{name}_sum", ""]

    return count


_WINDOW = ("account", "operation_status")
_RECENT = ("account", "created_within")
_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

POLLED_GAUGES: Final = (
    PolledGauge(
        "twilio_email_window_operations",
        f"Email Operations created within the window, {AS_OF}",
        _WINDOW,
        _window_operations,
    ),
    PolledGauge(
        "twilio_email_window_emails",
        f"Emails of the operations created within the window, by operation and email status, {AS_OF}",
        (*_WINDOW, "status"),
        _window_emails,
    ),
    PolledGauge(
        "twilio_email_window_total_emails",
        f"Sum of stats.total over the operations created within the window, {AS_OF}",
        _WINDOW,
        _window_stat("total"),
    ),
    PolledGauge(
        "twilio_email_window_recipients",
        f"Sum of stats.recipients over the operations created within the window, {AS_OF}",
        _WINDOW,
        _window_stat("recipients"),
    ),
    PolledGauge(
        "twilio_email_window_attempts",
        f"Sum of stats.attempts over the operations created within the window; may exceed total, {AS_OF}",
        _WINDOW,
        _window_stat("attempts"),
    ),
    PolledGauge(
        "twilio_email_window_oldest_created_timestamp_seconds",
        (
            "Creation time of the oldest operation that is scheduled or processing; absent if there is none, "
            f"{AS_OF}"
        ),
        _WINDOW,
        _oldest_created,
    ),
    PolledGauge(
        "twilio_email_recent_emails",
        (
            "Emails of the operations created in the last 15m, 1h, 6h or 24h; the ranges overlap, "
            f"do not sum over created_within, {AS_OF}"
        ),
        (*_RECENT, "status"),
        _recent_emails,
    ),
    PolledGauge(
        "twilio_email_recent_total_emails",
        f"Sum of stats.total over the operations created in the last 15m, 1h, 6h or 24h, {AS_OF}",
        _RECENT,
        _recent_stat("total"),
    ),
    PolledGauge(
        "twilio_email_recent_attempts",
        f"Sum of stats.attempts over the operations created in the last 15m, 1h, 6h or 24h, {AS_OF}",
        _RECENT,
        _recent_stat("attempts"),
    ),
    PolledGauge(
        "twilio_email_top_operation_emails",
        f"Emails of the operations with the most failed and undelivered emails, {AS_OF}",
        ("account", "operation_id", "operation_status", "status"),
        _top_operation_emails,
    ),
    PolledGauge(
        "twilio_email_window_arrived_emails",
        (
            "Emails of the operations created within the window that reached their recipient; absent while "
            f"twilio_email_exporter_stats_reading does not say how to count them, {AS_OF}"
        ),
        _ACCOUNT,
        _window_arrived,
    ),
    PolledGauge(
        "twilio_email_recent_arrived_emails",
        (
            "Emails of the operations created in the last 15m, 1h, 6h or 24h that reached their recipient; "
            f"absent as twilio_email_window_arrived_emails is, {AS_OF}"
        ),
        _RECENT,
        _recent_arrived,
    ),
    PolledGauge(
        "twilio_email_waiting_emails",
        (
            "Emails without an outcome, of operations whose sending began at least this long ago; the ages "
            f"overlap, do not sum over older_than, {AS_OF}"
        ),
        ("account", "older_than"),
        _waiting,
    ),
    PolledGauge(
        "twilio_email_overdue_emails",
        (
            "Emails without an outcome, of operations whose sending began longer ago than "
            f"alerts.waiting_after, {AS_OF}"
        ),
        _ACCOUNT,
        _overdue,
    ),
    PolledGauge(
        "twilio_email_oldest_processing_timestamp_seconds",
        (
            "Time since when the operation that has been processing longest has been so; absent if there is "
            f"none, {AS_OF}"
        ),
        _ACCOUNT,
        _oldest_processing,
    ),
)

_VALUES: Final = "the values with the most emails, all others as other"

BREAKDOWN_GAUGES: Final = (
    BreakdownGauge(
        "twilio_email_recipient_domain_emails",
        (
            "Failed and undelivered emails created within breakdown.lookback, by domain of the recipient; "
            f"{_VALUES}; an email with several recipients counts for each domain, {AS_OF_REFRESH}"
        ),
        ("account", "recipient_domain", "status"),
        _domain_emails("recipient_domain"),
    ),
    BreakdownGauge(
        "twilio_email_sender_domain_emails",
        (
            "Failed and undelivered emails created within breakdown.lookback, by domain of the sender; "
            f"{_VALUES}, {AS_OF_REFRESH}"
        ),
        ("account", "sender_domain", "status"),
        _domain_emails("sender_domain"),
    ),
    BreakdownGauge(
        "twilio_email_tag_emails",
        (
            "Failed and undelivered emails created within breakdown.lookback, by the value of a tag; "
            f"{_VALUES}; none: emails without the tag, {AS_OF_REFRESH}"
        ),
        ("account", "tag", "value", "status"),
        _tag_emails,
    ),
    BreakdownGauge(
        "twilio_email_operation_errors",
        (
            "Errors of the top failing operations that have failed emails, by Twilio's error code; "
            f"the most frequent codes, all others as other, {AS_OF_REFRESH}"
        ),
        ("account", "code"),
        _operation_errors,
    ),
    BreakdownGauge(
        "twilio_email_exporter_breakdown_last_success_timestamp_seconds",
        "Start time of the last successful refresh of the breakdown; 0 before the first.",
        _ACCOUNT,
        _refreshed_at,
    ),
    BreakdownGauge(
        "twilio_email_exporter_breakdown_complete",
        (
            "0 if breakdown.max_requests ended the last refresh of the breakdown, so that its numbers are "
            "lower bounds; otherwise 1."
        ),
        _ACCOUNT,
        _is_complete,
    ),
)

SURVIVING: Final[tuple[Surviving, ...]] = (
    SurvivingCounter(
        "twilio_email_outcomes_total",
        f"Emails that reached this status since coverage began, {AS_OF}",
        ("account", "status"),
        _counter("stat", *OUTCOME_STATUSES),
    ),
    SurvivingCounter(
        "twilio_email_emails_total",
        f"Emails created (increases of stats.total) since coverage began, {AS_OF}",
        _ACCOUNT,
        _stat("total"),
    ),
    SurvivingCounter(
        "twilio_email_recipients_total",
        f"Recipients targeted (increases of stats.recipients) since coverage began, {AS_OF}",
        _ACCOUNT,
        _stat("recipients"),
    ),
    SurvivingCounter(
        "twilio_email_attempts_total",
        f"Sending attempts (increases of stats.attempts) since coverage began, {AS_OF}",
        _ACCOUNT,
        _stat("attempts"),
    ),
    SurvivingCounter(
        "twilio_email_operations_total",
        f"Operations created since coverage began, counted when first listed, {AS_OF}",
        _ACCOUNT,
        _counter("operations"),
    ),
    SurvivingCounter(
        "twilio_email_operations_finished_total",
        f"Operations that became completed or canceled since coverage began, {AS_OF}",
        ("account", "operation_status"),
        _counter("finished", "completed", "canceled"),
    ),
    SurvivingHistogram(
        "twilio_email_operation_duration_seconds",
        f"Time from createdAt to updatedAt of operations completed since coverage began, {AS_OF}",
        _ACCOUNT,
        _histogram("duration", DURATION_LABELS),
    ),
    SurvivingHistogram(
        "twilio_email_delivery_delay_seconds",
        (
            "Time from when the sending of an operation began until its emails were delivered, for each "
            f"email of twilio_email_outcomes_total with status delivered, {AS_OF}"
        ),
        _ACCOUNT,
        _histogram("delay", DELAY_LABELS),
    ),
    SurvivingCounter(
        "twilio_email_late_deliveries_total",
        f"Emails that were delivered later than alerts.late_after, since coverage began, {AS_OF}",
        _ACCOUNT,
        _counter("late"),
    ),
    SurvivingCounter(
        "twilio_email_exporter_changed_after_final_total",
        f"Replies that changed the stats of an operation that was already final, {AS_OF}",
        _ACCOUNT,
        _counter("changed_after_final"),
    ),
    SurvivingCounter(
        "twilio_email_exporter_regressions_total",
        f"Times that a stat of an operation fell from one reply to the next, {AS_OF}",
        ("account", "status"),
        _counter("regressions", *OUTCOME_STATUSES),
    ),
    SurvivingCounter(
        "twilio_email_exporter_unknown_values_total",
        (
            "Operations with an unknown status, operations with unknown stats, and rows of listings that "
            f"could not be read, by field, {AS_OF}"
        ),
        ("account", "field"),
        _counter("unknown", "status", "stats", "row"),
    ),
    SurvivingCounter(
        "twilio_email_exporter_expired_unfinished_total",
        f"Operations that left the window before they became final, {AS_OF}",
        _ACCOUNT,
        _counter("expired_unfinished"),
    ),
)

UP: Final = OwnGauge(
    "twilio_email_up",
    (
        "1 if the account's last poll succeeded, 0 if it failed, if no poll has finished yet or if this "
        "process is not active."
    ),
)
BUILD_INFO: Final = OwnGauge(
    "twilio_email_exporter_build_info",
    "Constant 1, labeled with the version of the exporter.",
    labels=("version",),
)
POLLS: Final = OwnCounter(
    "twilio_email_exporter_polls_total",
    "Finished polls, by outcome.",
    labels=("account", "outcome"),
    known={"outcome": OUTCOMES},
)
POLL_DURATION: Final = OwnHistogram(
    "twilio_email_exporter_poll_duration_seconds",
    "Duration of polls, successful or not.",
    buckets=(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0),
)
LAST_SUCCESS: Final = OwnGauge(
    "twilio_email_exporter_last_success_timestamp_seconds",
    "Start time of the last successful poll; 0 before the first.",
)
POLL_INTERVAL: Final = OwnGauge(
    "twilio_email_exporter_poll_interval_seconds",
    "Configured time from the start of one poll to the start of the next.",
)
ALERT_THRESHOLD: Final = OwnGauge(
    "twilio_email_exporter_alert_threshold",
    "Thresholds that the alerts of the account use: the settings alerts.*, durations in seconds.",
    labels=("account", "setting"),
)
REQUESTS: Final = OwnCounter(
    "twilio_email_exporter_requests_total",
    "Requests sent to Twilio; code is the HTTP status, timeout or connection.",
    labels=("account", "call", "code"),
    known={"call": CALLS, "code": ("200", "429", "timeout", "connection")},
)
REQUEST_DURATION: Final = OwnHistogram(
    "twilio_email_exporter_request_duration_seconds",
    "Duration of requests to Twilio, including those without a reply.",
    buckets=_SECONDS,
    labels=("account", "call"),
    known={"call": CALLS},
)
RETRIES: Final = OwnCounter(
    "twilio_email_exporter_retries_total",
    "Requests that were retried within a poll, by reason.",
    labels=("account", "reason"),
    known={"reason": RETRY_REASONS},
)
REQUEST_RATE_LIMIT: Final = OwnGauge(
    "twilio_email_exporter_request_rate_limit",
    (
        "Current limit of the rate limiter in requests per second; halved by a reply with status 429, raised "
        "by successful requests."
    ),
    at_scrape=True,
)
NEXT_REQUEST: Final = OwnGauge(
    "twilio_email_exporter_next_request_timestamp_seconds",
    "Earliest time of the next request to Twilio; 0 if a request may be sent now.",
    at_scrape=True,
)
INTERNAL_ERRORS: Final = OwnCounter(
    "twilio_email_exporter_internal_errors_total",
    "Polls and refreshes of the breakdown that ended with a bug in the exporter; the log has the traceback.",
)
TRACKED_OPERATIONS: Final = OwnGauge(
    "twilio_email_exporter_tracked_operations",
    "Operations included in the sums of the window.",
)
STATS_READING: Final = OwnGauge(
    "twilio_email_exporter_stats_reading",
    "1 for the reading of the stats that the operations of the window support, 0 for the others.",
    labels=("account", "reading"),
    known={"reading": READINGS},
)
SKIPPED_FETCHES: Final = OwnCounter(
    "twilio_email_exporter_skipped_fetches_total",
    "Unfinished operations that a poll had no time to fetch; their last known stats are kept.",
)
STATE_WRITES: Final = OwnCounter(
    "twilio_email_exporter_state_writes_total",
    "Writes of the state, by outcome.",
    labels=("outcome",),
    known={"outcome": ("success", "failure")},
)
STATE_BYTES: Final = OwnGauge(
    "twilio_email_exporter_state_bytes",
    "Size of the state as of the last write; 0 without a state.",
    labels=(),
    at_scrape=True,
)
CLOCK_SKEW: Final = OwnGauge(
    "twilio_email_exporter_clock_skew_seconds",
    "Exporter's clock minus the Date header of Twilio's last reply, which has whole seconds.",
)
LAST_RELOAD_SUCCESSFUL: Final = OwnGauge(
    "twilio_email_exporter_config_last_reload_successful",
    "1 if the last read of credentials and web.config_file succeeded, 0 if it failed.",
    labels=(),
)
LAST_RELOAD_SUCCESS: Final = OwnGauge(
    "twilio_email_exporter_config_last_reload_success_timestamp_seconds",
    "Time when credentials and web.config_file were last read successfully.",
    labels=(),
)
ACTIVE: Final = OwnGauge(
    "twilio_email_exporter_active",
    "1 if this process polls, 0 if it stands by or has no connection to the database of the state.",
    labels=(),
)

OWN: Final[tuple[Own, ...]] = (
    UP,
    BUILD_INFO,
    POLLS,
    POLL_DURATION,
    LAST_SUCCESS,
    POLL_INTERVAL,
    ALERT_THRESHOLD,
    REQUESTS,
    REQUEST_DURATION,
    RETRIES,
    REQUEST_RATE_LIMIT,
    NEXT_REQUEST,
    INTERNAL_ERRORS,
    TRACKED_OPERATIONS,
    STATS_READING,
    SKIPPED_FETCHES,
    STATE_WRITES,
    STATE_BYTES,
    CLOCK_SKEW,
    LAST_RELOAD_SUCCESSFUL,
    LAST_RELOAD_SUCCESS,
    ACTIVE,
)

FAMILIES: Final[tuple[Family, ...]] = (*POLLED_GAUGES, *BREAKDOWN_GAUGES, *SURVIVING, *OWN)
