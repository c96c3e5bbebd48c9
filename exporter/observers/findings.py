"""What is wrong with an account's mail, judged by one snapshot and the thresholds of the alerts. Pure.

The alerts compare counters over time, a snapshot has the operations of the last minutes, hours and days: each
rule here is that of an alert, applied to these. Must not know earlier verdicts, except which troubles they
named: a trouble ends a little below the threshold at which it begins.

Rule 1: a share is judged by the newest mail of which there is enough. Older mail counts only while there is
too little since.
Rule 2: mail above a threshold is never fine. Where there is too little to judge, the verdict is unknown.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, NamedTuple, TypeAlias

from exporter.config.alerts import Alerts
from exporter.config.parsers import duration_text
from exporter.ledger.failing import DAY_SECONDS
from exporter.ledger.snapshot import Snapshot
from exporter.observers.deliveries import LateDeliveries
from exporter.observers.shares import Share, normal_share

SLACK: Final = 0.8
"""A trouble that is there ends below this part of its thresholds, so that the verdict does not flap."""

DAY_EMAILS: Final = 50
"""Minimum number of undelivered or overdue emails for the rules on the share of a day."""
RECENT: Final = ("15m", "1h")
"""The ages in which a very high share is enough by itself."""
RECENT_TIMES: Final = 3
RECENT_FLOOR: Final = 0.3
RECENT_CEILING: Final = 0.8
NORMAL_CEILING: Final = 0.5
"""Highest threshold that a normal share can lead to."""

_AGES: Final = {
    "15m": "in the last 15 minutes",
    "1h": "in the last hour",
    "6h": "in the last 6 hours",
    "24h": "in the last 24 hours",
}


class Mail(StrEnum):
    """What a verdict says; the worst first."""

    FAILING = "failing"
    BOUNCING = "bouncing"
    LATE = "late"
    UNKNOWN = "unknown"
    FINE = "fine"


class Finding(NamedTuple):
    """One statement about the mail of an account."""

    mail: Mail
    name: str
    """The trouble as an adjective, or why the verdict is unknown; empty for fine mail."""
    figure: str
    threshold: str = ""
    """What the figure is compared with; empty for nothing."""

    def __str__(self) -> str:
        return f"mail is {self.mail}: {self.figure}"


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
LATE_EMAILS: Final = 50
LATE_DELIVERIES: Final = 100
LATE_TIMES_NORMAL: Final = 2

_Rule = Callable[[Snapshot, Alerts, LateDeliveries, float], Finding | None]


def judge(
    snapshot: Snapshot, alerts: Alerts, deliveries: LateDeliveries, before: Collection[str] = ()
) -> tuple[Finding, ...]:
    """At least one finding, the worst first. `before`: the names of the troubles that were there before."""
    troubles: dict[str, Finding] = {}
    for name, rules in _RULES.items():
        slack = SLACK if name in before else 1.0
        found = filter(None, (rule(snapshot, alerts, deliveries, slack) for rule in rules))
        troubles |= {each.name: each for each in [*found][:1]}
    return tuple(troubles.values()) or (_without_trouble(snapshot, alerts),)


def _without_trouble(snapshot: Snapshot, alerts: Alerts) -> Finding:
    if not snapshot.recent:
        return Finding(Mail.UNKNOWN, "no mail", "the window is shorter than 15 minutes")
    age, totals = list(snapshot.recent.items())[-1]
    if not totals.stat("total") and not totals.stat("attempts"):
        return Finding(Mail.UNKNOWN, "no mail", f"no mail {_AGES[age]}")
    for share, did, threshold in _too_few(snapshot, alerts, age):
        return Finding(
            Mail.UNKNOWN,
            "too few emails",
            f"too few emails to judge: {share.emails:,} of {share.all:,} attempts {did} {_AGES[age]}",
            _limit_text(threshold),
        )
    return _fine(snapshot, alerts)


def _fine(snapshot: Snapshot, alerts: Alerts) -> Finding:
    """With the shares of the longest age that is below the thresholds: an incident may have ended in it."""
    failed_shares, undelivered_shares = (_attempts(snapshot, stat) for stat in ("failed", "undelivered"))
    below = [
        age
        for age in snapshot.recent
        if failed_shares[age].value <= alerts.failed_ratio
        and undelivered_shares[age].value <= alerts.undelivered_ratio
    ]
    age = [*snapshot.recent, *below][-1]
    failed, undelivered = failed_shares[age], undelivered_shares[age]
    return Finding(Mail.FINE, "", f"{failed} of attempts failed, {undelivered} undelivered {_AGES[age]}")


def _too_few(snapshot: Snapshot, alerts: Alerts, age: str) -> Iterator[tuple[Share, str, float]]:
    """The shares of the longest age that are above a threshold, with too few emails for its rule."""
    for spike in (FAILED, UNDELIVERED):
        share = _attempts(snapshot, spike.stat)[age]
        if share.emails < spike.emails or share.all < spike.attempts:
            limit = _limit(spike, snapshot, alerts)
            if share.value > limit:
                yield share, _did(spike.stat), limit
    share = _attempts(snapshot, "undelivered")[age]
    if share.emails < DAY_EMAILS and share.value > alerts.bounce_ratio:
        yield share, _did("undelivered"), alerts.bounce_ratio


def _attempts(snapshot: Snapshot, stat: str) -> dict[str, Share]:
    """The share of a stat in the attempts, by age."""
    return {age: Share(totals.stat(stat), totals.stat("attempts")) for age, totals in snapshot.recent.items()}


def _did(stat: str) -> str:
    return "were undelivered" if stat == "undelivered" else stat


def _limit_text(share: float) -> str:
    return f"{100 * share:.3g} %"


def _limit(spike: Spike, snapshot: Snapshot, alerts: Alerts) -> float:
    normal = normal_share(snapshot.hours, spike.stat, min_attempts=spike.attempts)
    floor: float = getattr(alerts, spike.setting)
    return max(floor, min(spike.times_normal * normal, NORMAL_CEILING))


def _spike(spike: Spike, snapshot: Snapshot, alerts: Alerts, slack: float) -> Finding | None:
    shares = _attempts(snapshot, spike.stat)
    floor: float = getattr(alerts, spike.setting)
    if all(share.value <= floor * slack for share in shares.values()):
        return None  # as nearly always; what is normal need not be known
    threshold = _limit(spike, snapshot, alerts)
    found = (
        _above(spike, shares, threshold * slack, slack)
        or _far_above(spike, shares, threshold, slack)
        or _newest_above(spike, shares, snapshot, threshold * slack, slack)
    )
    if found is None:
        return None
    share, when = found
    of_attempts = "of attempts" if spike.stat == "failed" else "of attempts undelivered"
    return Finding(spike.mail, spike.mail.value, f"{share} {of_attempts} {when}", _limit_text(threshold))


_Found: TypeAlias = tuple[Share, str]
"""A share, and in words of when."""


def _above(spike: Spike, shares: Mapping[str, Share], limit: float, slack: float) -> _Found | None:
    """The share of the longer age of the rule, if the shares of both ages are above the limit."""
    judged = _judged(spike, shares)
    if not judged or any(shares[age].value <= limit for age in judged):
        return None
    share = shares[judged[-1]]
    return (share, _AGES[judged[-1]]) if share.emails >= spike.emails * slack else None


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
        (shares[age], _AGES[age])
        for age in RECENT
        if age in shares
        and shares[age].emails >= spike.emails * slack
        and shares[age].value >= limit * slack
        and shares[age].value > threshold * slack
    ]
    return max(found, key=lambda each: each[0].value, default=None)


def _failed(snapshot: Snapshot, alerts: Alerts, _: LateDeliveries, slack: float) -> Finding | None:
    return _spike(FAILED, snapshot, alerts, slack)


def _undelivered(snapshot: Snapshot, alerts: Alerts, _: LateDeliveries, slack: float) -> Finding | None:
    return _spike(UNDELIVERED, snapshot, alerts, slack)


def _bounces(snapshot: Snapshot, alerts: Alerts, _: LateDeliveries, slack: float) -> Finding | None:
    share = _attempts(snapshot, "undelivered").get("24h")
    if share is None or share.emails < DAY_EMAILS * slack or share.value <= alerts.bounce_ratio * slack:
        return None
    figure = f"{share} of attempts undelivered {_AGES['24h']}"
    return Finding(Mail.BOUNCING, Mail.BOUNCING.value, figure, _limit_text(alerts.bounce_ratio))


def _slow(_: Snapshot, alerts: Alerts, deliveries: LateDeliveries, slack: float) -> Finding | None:
    short, long, earlier = deliveries
    normal = earlier.value if earlier.all >= LATE_DELIVERIES else 0.0
    threshold = max(alerts.late_ratio, min(LATE_TIMES_NORMAL * normal, NORMAL_CEILING))
    if long.emails < LATE_EMAILS * slack or long.all < LATE_DELIVERIES * slack:
        return None
    if min(short.value, long.value) <= threshold * slack:
        return None
    figure = f"{long} of deliveries {_AGES['6h']} took longer than {duration_text(alerts.late_after)}"
    return Finding(Mail.LATE, "slow", figure, _limit_text(threshold))


def _overdue(snapshot: Snapshot, alerts: Alerts, _: LateDeliveries, slack: float) -> Finding | None:
    if "24h" not in snapshot.recent:
        return None
    share = Share(snapshot.overdue, snapshot.recent["24h"].stat("total"))
    new = snapshot.overdue - snapshot.overdue_for_a_day
    if new < DAY_EMAILS * slack or share.value <= alerts.waiting_ratio * slack:
        return None
    waited = f"{snapshot.overdue:,} emails have waited for longer than {duration_text(alerts.waiting_after)}"
    figure = f"{waited}, {share} of the mail of 24 hours"
    return Finding(Mail.LATE, "overdue", figure, _limit_text(alerts.waiting_ratio))


def _stuck(snapshot: Snapshot, alerts: Alerts, _: LateDeliveries, slack: float) -> Finding | None:
    if snapshot.oldest_processing_at is None:
        return None
    age = snapshot.as_of - snapshot.oldest_processing_at
    if age <= alerts.stuck_after * slack:
        return None
    figure = f"an operation has been processing for {duration_text(age // 60 * 60)}"
    return Finding(Mail.LATE, "stuck", figure, duration_text(alerts.stuck_after))


_RULES: Final[Mapping[str, tuple[_Rule, ...]]] = {
    "failing": (_failed,),
    "bouncing": (_undelivered, _bounces),
    "slow": (_slow,),
    "overdue": (_overdue,),
    "stuck": (_stuck,),
}
"""By the name of the trouble, the worst first; of several rules the first that finds it."""
