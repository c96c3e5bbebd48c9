"""All thresholds of the alerts. Shares are from 0 to 1, times in seconds.

The alerts and the dashboards are generated from these numbers. docs/alerts.md explains them.
"""

from dataclasses import dataclass
from typing import Final

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


@dataclass(frozen=True, slots=True)
class Spike:
    """Thresholds for the share of attempts that ended in one status, in a short and in a long window."""

    status: str
    short: int
    """The alert resolves when this window is below the threshold."""
    long: int
    """Filters noise. At least the short window plus the time that an email takes to fail."""
    floor: float
    """Lower bound of the threshold."""
    times_normal: int
    """The threshold, as a multiple of the account's normal share."""
    ceiling: float
    """Upper bound of the threshold."""
    emails: int
    """Minimum number of emails of this status in the long window."""
    attempts: int
    """Minimum number of attempts in the long window."""
    lasting: int
    slow: int = 0
    """With fewer attempts the share in this window must exceed the ceiling; 0: it does not fire then."""
    normal: int = WEEK
    """The normal share is a median over this time: one sample per hour, each of the preceding 24 hours."""
    normal_looks: int = 6
    """Minimum number of samples with enough attempts."""


FAILED: Final = Spike(
    status="failed",
    short=15 * MINUTE,
    long=HOUR,
    floor=0.05,
    times_normal=3,
    ceiling=0.5,
    emails=10,
    attempts=50,
    lasting=2 * MINUTE,
    slow=6 * HOUR,  # emails can fail before they are attempted
)
UNDELIVERED: Final = Spike(
    status="undelivered",
    short=30 * MINUTE,
    long=6 * HOUR,  # bounces arrive for hours
    floor=0.1,
    times_normal=3,
    ceiling=0.5,
    emails=20,
    attempts=100,
    lasting=5 * MINUTE,
)
SPIKES: Final = (FAILED, UNDELIVERED)

STUCK_AFTER: Final = 2 * HOUR
STUCK_LASTING: Final = 10 * MINUTE
STUCK_SEEN_SHARE: Final = 0.9
"""Share of that time in which an old operation must have been seen."""

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

STATE_WINDOW: Final = 15 * MINUTE
STATE_SAVED_WINDOW: Final = 5 * MINUTE
"""The state counts as saved if a write succeeded within this time."""
STATE_LASTING: Final = 2 * MINUTE

OPERATIONS_DASHBOARD: Final = "twilio-email-operations"
EXPORTER_DASHBOARD: Final = "twilio-email-exporter"
"""Stable uids: alerts, dashboards and bookmarks link to them."""
