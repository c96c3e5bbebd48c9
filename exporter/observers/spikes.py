"""The rules on the share of the attempts that failed or were undelivered, as in the alerts. Pure.

The alerts compare counters over time; a snapshot has the operations of the last minutes, hours and days, and
each rule here is that of an alert, applied to these.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple, TypeAlias

from exporter.config.alerts import Alerts
from exporter.ledger.failing import DAY_SECONDS
from exporter.ledger.snapshot import Snapshot
from exporter.observers.finding import Finding, Mail
from exporter.observers.shares import Share, normal_share

RECENT: Final = ("15m", "1h")
"""The ages in which a very high share is enough by itself."""
RECENT_TIMES: Final = 3
RECENT_FLOOR: Final = 0.3
RECENT_CEILING: Final = 0.8
NORMAL_CEILING: Final = 0.5
"""Highest threshold that a normal share can lead to."""


AGES: Final = {
    "15m": "in the last 15 minutes",
    "1h": "in the last hour",
    "6h": "in the last 6 hours",
    "24h": "in the last 24 hours",
}


class Spike(NamedTuple):
    """The rule of an alert on a share of the attempts."""

    mail: Mail
    stat: str
    setting: str
    ages: tuple[str, str]
    """Both must be above the threshold, as far as they have enough attempts."""
    emails: int
    attempts: int
    times_normal: int = 3


FAILED: Final = Spike(Mail.FAILING, "failed", "failed_ratio", ("15m", "1h"), emails=10, attempts=50)
UNDELIVERED: Final = Spike(
    Mail.BOUNCING, "undelivered", "undelivered_ratio", ("1h", "6h"), emails=20, attempts=100
)


def attempts_shares(snapshot: Snapshot, stat: str) -> dict[str, Share]:
    """The share of a stat in the attempts, by age."""
    return {age: Share(totals.stat(stat), totals.stat("attempts")) for age, totals in snapshot.recent.items()}


def limit_text(share: float) -> str:
    return f"{100 * share:.3g} %"


def threshold_of(spike: Spike, snapshot: Snapshot, alerts: Alerts) -> float:
    """A multiple of what is normal for the account, but never below the setting."""
    normal = normal_share(snapshot.hours, spike.stat, min_attempts=spike.attempts)
    floor: float = getattr(alerts, spike.setting)
    return max(floor, min(spike.times_normal * normal, NORMAL_CEILING))


def above_threshold(spike: Spike, snapshot: Snapshot, alerts: Alerts, slack: float) -> Finding | None:
    """`slack`: 1, or less for a trouble that is there."""
    shares = attempts_shares(snapshot, spike.stat)
    floor: float = getattr(alerts, spike.setting)
    if all(share.value <= floor * slack for share in shares.values()):
        return None  # as nearly always; what is normal need not be known
    threshold = threshold_of(spike, snapshot, alerts)
    found = (
        _above(spike, shares, threshold * slack, slack)
        or _far_above(spike, shares, threshold, slack)
        or _newest_above(spike, shares, snapshot, threshold * slack, slack)
    )
    if found is None:
        return None
    share, when = found
    of_attempts = "of attempts" if spike.stat == "failed" else "of attempts undelivered"
    return Finding(spike.mail, spike.mail.value, f"{share} {of_attempts} {when}", limit_text(threshold))


_Found: TypeAlias = tuple[Share, str]
"""A share, and in words of when."""


def _above(spike: Spike, shares: Mapping[str, Share], limit: float, slack: float) -> _Found | None:
    """The share of the longer age of the rule, if the shares of both ages are above the limit."""
    judged = _judged(spike, shares)
    if not judged or any(shares[age].value <= limit for age in judged):
        return None
    share = shares[judged[-1]]
    return (share, AGES[judged[-1]]) if share.emails >= spike.emails * slack else None


def _judged(spike: Spike, shares: Mapping[str, Share]) -> list[str]:
    """The ages of the rule that have enough attempts."""
    return [age for age in spike.ages if age in shares and shares[age].all >= spike.attempts]


def _newest_above(
    spike: Spike, shares: Mapping[str, Share], snapshot: Snapshot, limit: float, slack: float
) -> _Found | None:
    """The share of the newest hours with enough emails, unless fewer hours with enough are below the limit.

    For accounts with little mail, or after the mail has stopped.
    """
    if any(shares[age].value <= limit for age in _judged(spike, shares)):
        return None
    share = Share(0, 0)
    for hour in reversed(snapshot.hours):
        if hour.start < snapshot.as_of - DAY_SECONDS:
            break
        share = Share(share.emails + getattr(hour, spike.stat), share.all + hour.attempts)
        if share.all >= spike.attempts:
            if share.value <= limit:
                break
            if share.emails >= spike.emails * slack:
                return share, f"since {datetime.fromtimestamp(hour.start, UTC):%H:%M} UTC"
    return None


def _far_above(spike: Spike, shares: Mapping[str, Share], threshold: float, slack: float) -> _Found | None:
    """A share of very recent mail that is so high that its history does not matter."""
    limit = min(max(RECENT_TIMES * threshold, RECENT_FLOOR), RECENT_CEILING)
    found = [
        (shares[age], AGES[age])
        for age in RECENT
        if age in shares
        and shares[age].emails >= spike.emails * slack
        and shares[age].value >= limit * slack
        and shares[age].value > threshold * slack
    ]
    return max(found, key=lambda each: each[0].value, default=None)
