"""All thresholds of the alerts. Shares are from 0 to 1, times in seconds.

The alerts and the dashboards are generated from these numbers. docs/alerts.md explains them.
"""

from dataclasses import dataclass
from typing import Final

from exporter.config.alerts import Alerts

MINUTE: Final = 60
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
WEEK: Final = 7 * DAY


def duration(seconds: float) -> str:
    """Formats seconds as a Prometheus duration, in the largest exact unit."""
    milliseconds = round(seconds * 1000)
    for unit, size in (("w", WEEK), ("d", DAY), ("h", HOUR), ("m", MINUTE), ("s", 1)):
        if milliseconds % (size * 1000) == 0:
            return f"{milliseconds // (size * 1000)}{unit}"
    return f"{milliseconds}ms"


EVALUATION_INTERVAL: Final = MINUTE
PRESENT: Final = 5 * MINUTE
"""An exporter that has not been scraped for this long is absent, and alerts on its data end."""
SETTINGS: Final = Alerts()
"""The defaults of `alerts.*`, for exporters that do not expose their thresholds."""


@dataclass(frozen=True, slots=True)
class Spike:
    """Thresholds for the share of one counter in another, in a short and in a long window."""

    alert: str
    severity: str
    name: str
    """Of the counted emails, in the names of recorded series."""
    per: str
    """What they are a share of, in the same names."""
    counter: str
    per_counter: str
    setting: str
    """The setting of `alerts` that is the lower bound of the threshold."""
    short: int
    """The alert resolves when this window is below the threshold."""
    long: int
    """Filters noise. At least the short window plus the time that an email takes to be counted."""
    times_normal: int
    """The threshold, as a multiple of the account's normal share."""
    emails: int
    """Minimum number of counted emails, in the long window or among the recent operations."""
    attempts: int
    """Minimum of what they are a share of, in the long window."""
    lasting: int
    recent: str = ""
    """The status whose share among recent operations is also compared; empty: none."""
    settled: str = ""
    """A value of `created_within`: a normal share among these means that the emails belong to older mail."""
    lag: int = 0
    """How long emails are counted after what they are a share of, when that cannot be told from `settled`."""
    ceiling: float = 0.5
    """Upper bound of the threshold, unless the lower bound is higher."""
    normal: int = WEEK
    """The normal share is a median over this time: one sample per hour, each of the preceding 24 hours."""
    normal_looks: int = 6
    """Minimum number of samples with enough attempts."""

    @property
    def floor(self) -> float:
        """The default of `setting`."""
        floor: float = getattr(SETTINGS, self.setting)
        return floor


ATTEMPTS: Final = "twilio_email_attempts_total"
FAILED: Final = Spike(
    alert="TwilioEmailFailedSpike",
    severity="critical",
    name="failed",
    per="attempt",
    counter='twilio_email_outcomes_total{status="failed"}',
    per_counter=ATTEMPTS,
    setting="failed_ratio",
    short=15 * MINUTE,
    long=HOUR,
    times_normal=3,
    emails=10,
    attempts=50,
    lasting=MINUTE,
    recent="failed",
)
UNDELIVERED: Final = Spike(
    alert="TwilioEmailUndeliveredSpike",
    severity="critical",
    name="undelivered",
    per="attempt",
    counter='twilio_email_outcomes_total{status="undelivered"}',
    per_counter=ATTEMPTS,
    setting="undelivered_ratio",
    short=30 * MINUTE,
    long=6 * HOUR,  # bounces arrive for hours
    times_normal=3,
    emails=20,
    attempts=100,
    lasting=MINUTE,
    recent="undelivered",
    settled="6h",
)
LATE: Final = Spike(
    alert="TwilioEmailDeliverySlow",
    severity="warning",
    name="late",
    per="delivery",
    counter="twilio_email_late_deliveries_total",
    per_counter='twilio_email_outcomes_total{status="delivered"}',
    setting="late_ratio",
    short=HOUR,
    long=6 * HOUR,  # the late deliveries of a batch follow the prompt ones for hours
    times_normal=2,
    emails=50,
    attempts=100,
    lasting=5 * MINUTE,
    lag=6 * HOUR,
)
SPIKES: Final = (FAILED, UNDELIVERED, LATE)

RECENT: Final = ("15m", "1h")
"""The ages of operations, as values of `created_within`, whose shares are compared without their history."""
RECENT_TIMES: Final = 3
"""The limit for recent operations, as a multiple of the threshold."""
RECENT_FLOOR: Final = 0.3
RECENT_CEILING: Final = 0.8
"""Bounds of that limit."""
BURST_WINDOW: Final = 5 * MINUTE
"""The good mail of the minutes before an incident hides it less here than among the recent operations."""
BURST_SHARE: Final = 0.5
"""The limit in this window, as a share of that for recent operations."""
POLLED_SHARE: Final = 0.95
"""Share of the long window in which polls must have succeeded, where delays are compared."""

DAY_EMAILS: Final = 50
"""Minimum number of undelivered or overdue emails for the alerts on the share of a day."""
BOUNCE_LASTING: Final = 15 * MINUTE
BACKLOG_NEW: Final = 12 * HOUR
"""Emails overdue for less than this are new. Below a day, after which they are not compared any more."""
BACKLOG_LASTING: Final = 5 * MINUTE

STUCK_LASTING: Final = 5 * MINUTE

STOPPED_WINDOW: Final = 2 * HOUR
STOPPED_LASTING: Final = 10 * MINUTE
STOPPED_OPERATIONS: Final = 10
"""Minimum number of operations in the same hours a week ago."""
STOPPED_SHIFT: Final = HOUR
"""Tolerance to the same hours a week ago: daylight saving time shifts traffic by an hour."""
STOPPED_FRESH_SHARE: Final = 0.9
"""Share of the window in which the data must have been fresh."""
STOPPED_IDLE_AFTER: Final = 3 * DAY
"""An account without operations for this long is idle, and the alert does not fire."""

ABSENT_LASTING: Final = 5 * MINUTE

FAILING_WINDOW: Final = 15 * MINUTE
FAILING_SHARE: Final = 0.5
"""Share of the polls in the window."""
FAILING_LASTING: Final = 5 * MINUTE
RARE_POLLS_WINDOW: Final = HOUR
"""Malformed and truncated polls become as rare as one in 15 minutes."""

STALE_AFTER: Final = 15 * MINUTE
STALE_INTERVALS: Final = 5
"""Data is stale when it is older than both."""
STALE_LASTING: Final = 2 * MINUTE
GAP: Final = 10 * MINUTE
"""An account seen within this time is present. Below STALE_AFTER, or removed accounts would be stale."""
RESTARTS_WINDOW: Final = HOUR
"""Processes of one target within this time count as one exporter."""

UNAUTHORIZED_WINDOW: Final = HOUR
UNAUTHORIZED_LASTING: Final = 5 * MINUTE
OTHERWISE_WINDOW: Final = 5 * MINUTE
"""A poll within this time that failed for another reason resolves the alert."""

THROTTLED_WINDOW: Final = 30 * MINUTE
THROTTLED_EVENTS: Final = 10
"""Replies with 429 and polls ended by throttling. A few are normal: the rate limiter probes for the limit."""
THROTTLED_LASTING: Final = 5 * MINUTE

STATE_WINDOW: Final = 5 * MINUTE
"""The state counts as saved if a write succeeded within this time."""
STATE_MEMORY: Final = 6 * HOUR
"""How long a failed write is remembered while nothing is written."""
STATE_LASTING: Final = 2 * MINUTE

RESTARTS: Final = 4
RESTARTS_SEEN: Final = 3
"""Minimum number of starts or reloads, and of signs that they were starts, in RESTARTS_WINDOW."""
RESTARTS_LASTING: Final = MINUTE

SKEW: Final = MINUTE
"""Difference of the clocks. `created_within` and the delays are wrong by as much."""
SKEW_LASTING: Final = 15 * MINUTE

OVERWRITTEN_LASTING: Final = 5 * MINUTE

OPERATIONS_DASHBOARD: Final = "twilio-email-operations"
EXPORTER_DASHBOARD: Final = "twilio-email-exporter"
"""Stable uids: alerts, dashboards and bookmarks link to them."""
