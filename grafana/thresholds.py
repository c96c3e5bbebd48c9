"""Every number that decides whether somebody is woken. Shares are from 0 to 1, times in seconds.

The alerts are made of these, the dashboards draw them, docs/alerts.md tells why they are what they are.
"""

from dataclasses import dataclass
from typing import Final

MINUTE: Final = 60
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
WEEK: Final = 7 * DAY


def duration(seconds: float) -> str:
    """As Prometheus writes it, in the largest unit that is exact."""
    milliseconds = round(seconds * 1000)
    for unit, size in (("w", WEEK), ("d", DAY), ("h", HOUR), ("m", MINUTE), ("s", 1)):
        if milliseconds % (size * 1000) == 0:
            return f"{milliseconds // (size * 1000)}{unit}"
    return f"{milliseconds}ms"


EVALUATION_INTERVAL: Final = MINUTE


@dataclass(frozen=True, slots=True)
class Spike:
    """When mail of one status is too much: its share of the attempts in a short and in a long window."""

    status: str
    short: int
    """Once this is clean it is over."""
    long: int
    """While this is clean it is noise. At least the short one and the time that a mail takes to fail."""
    floor: float
    """A share below this is never a spike …"""
    times_normal: int
    """… nor one below so many times the account's own normal …"""
    ceiling: float
    """… but one above this always is."""
    emails: int
    """At least so many in the long window,"""
    attempts: int
    """of at least so many attempts …"""
    lasting: int
    slow: int = 0
    """… or, where there are fewer or none, of so many in this window, whose share is above the ceiling."""
    normal: int = WEEK
    """The account's normal is the median of what each hour of this time saw of its last day …"""
    normal_looks: int = 6
    """… when there were so many with attempts enough."""


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
    slow=6 * HOUR,  # mail may fail before it is attempted
)
UNDELIVERED: Final = Spike(
    status="undelivered",
    short=30 * MINUTE,
    long=6 * HOUR,  # bounces come for hours
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
"""Of that time in which an old operation must have been seen."""

STOPPED_WINDOW: Final = 2 * HOUR
STOPPED_LASTING: Final = 10 * MINUTE
STOPPED_OPERATIONS: Final = 10
"""So many in the same hours a week ago, or an empty window means nothing."""
STOPPED_SHIFT: Final = HOUR
"""Mail may begin or end so much earlier or later than a week ago: clocks are put forward and back."""
STOPPED_FRESH_SHARE: Final = 0.9
"""Of the window in which the numbers must have been fresh."""
STOPPED_IDLE_AFTER: Final = 3 * DAY
"""Without any operation for this long an account is idle, not stopped."""

ABSENT_LASTING: Final = 5 * MINUTE

FAILING_WINDOW: Final = 15 * MINUTE
FAILING_SHARE: Final = 0.5
"""Of the polls in the window."""
FAILING_LASTING: Final = 5 * MINUTE

STALE_AFTER: Final = 15 * MINUTE
STALE_INTERVALS: Final = 5
"""Numbers are stale when older than both."""
STALE_LASTING: Final = 2 * MINUTE
GAP: Final = 10 * MINUTE
"""Who answered within this time is still there. Less than stale, or a removed account would be that."""
RESTARTS_WINDOW: Final = HOUR
"""Processes of one target within this time are one exporter."""

UNAUTHORIZED_WINDOW: Final = HOUR
UNAUTHORIZED_LASTING: Final = 5 * MINUTE
OTHERWISE_WINDOW: Final = 5 * MINUTE
"""A poll in it that failed for another reason says that the credential is not what is wrong now."""

THROTTLED_WINDOW: Final = 30 * MINUTE
THROTTLED_EVENTS: Final = 10
"""Replies with 429, and polls that gave way. One now and then is how the rate is found."""
THROTTLED_LASTING: Final = 5 * MINUTE

STATE_WINDOW: Final = 15 * MINUTE
STATE_SAVED_WINDOW: Final = 5 * MINUTE
"""One success in this window, and the state counts as saved."""
STATE_LASTING: Final = 2 * MINUTE

OPERATIONS_DASHBOARD: Final = "twilio-email-operations"
EXPORTER_DASHBOARD: Final = "twilio-email-exporter"
"""Stable uids: alerts, the dashboards themselves and bookmarks link to them."""
