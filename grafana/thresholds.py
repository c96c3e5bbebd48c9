"""Every number that decides whether somebody is woken. Shares are from 0 to 1, times in seconds.

The alerts are made of these, the dashboards draw them, docs/alerts.md tells why they are what they are.
"""

from dataclasses import dataclass
from typing import Final

MINUTE: Final = 60
HOUR: Final = 3600
DAY: Final = 86400


@dataclass(frozen=True, slots=True)
class Spike:
    """When mail of one status is too much: share of the attempts in a short and in a long window."""

    status: str
    short: int
    """Over when this is clean again."""
    long: int
    """Significant when this is dirty, too. At least the short one and the time that a mail takes to fail."""
    floor: float
    """A share below this is never a spike …"""
    times_normal: float
    """… nor one below this many times the account's own normal …"""
    ceiling: float
    """… but one above this always is."""
    emails: int
    """So many in the long window, or it is noise."""
    attempts: int
    """Of at least so many attempts in the long window."""
    lasting: int
    normal: int = DAY
    """The account's normal is the share over this time, ending where the long window begins."""


FAILED: Final = Spike(
    status="failed",
    short=15 * MINUTE,
    long=HOUR,
    floor=0.05,
    times_normal=3.0,
    ceiling=0.5,
    emails=10,
    attempts=50,
    lasting=2 * MINUTE,
)
UNDELIVERED: Final = Spike(
    status="undelivered",
    short=30 * MINUTE,
    long=6 * HOUR,  # bounces come for hours
    floor=0.1,
    times_normal=3.0,
    ceiling=0.5,
    emails=20,
    attempts=100,
    lasting=5 * MINUTE,
)

STUCK_AFTER: Final = 2 * HOUR
"""In processing for longer than this is stuck."""

STOPPED_WINDOW: Final = 2 * HOUR
STOPPED_OPERATIONS: Final = 10
"""So many in the same hours a week ago, or an empty window means nothing."""
STOPPED_IDLE_AFTER: Final = 3 * DAY
"""Without any operation for this long an account is idle, not stopped."""

FAILING_WINDOW: Final = 15 * MINUTE
FAILING_SHARE: Final = 0.5
"""Of the polls in the window."""

STALE_AFTER: Final = 15 * MINUTE
STALE_INTERVALS: Final = 5
"""Data is stale when older than both."""

THROTTLED_WINDOW: Final = 30 * MINUTE
THROTTLED_SHARE: Final = 0.1
"""Of the requests in the window that were answered 429."""

STATE_WINDOW: Final = 15 * MINUTE

FASTEST_RANGE_INTERVALS: Final = 4
"""Each range holds at least so many poll intervals; Prometheus 3 leaves out a sample on the left edge."""

OPERATIONS_DASHBOARD: Final = "twilio-email-operations"
EXPORTER_DASHBOARD: Final = "twilio-email-exporter"
"""Stable uids: alerts, the dashboards themselves and bookmarks link to them."""
