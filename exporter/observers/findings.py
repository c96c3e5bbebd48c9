"""How an account's mail is, judged by one snapshot and the thresholds of the alerts. Pure.

Must not know earlier verdicts, except which troubles they named: a trouble ends a little below the threshold
at which it begins.

Rule 1: a share is judged by the newest mail of which there is enough. Older mail counts only while there is
too little since.
Rule 2: mail above a threshold is never fine. Where there is too little to judge, the verdict is unknown.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Final, TypeAlias

from exporter.config.alerts import Alerts
from exporter.config.parsers import duration_text
from exporter.ledger.snapshot import Snapshot
from exporter.observers.deliveries import LateDeliveries
from exporter.observers.finding import Finding, Mail
from exporter.observers.shares import Share
from exporter.observers.spikes import (
    AGES,
    FAILED,
    NORMAL_CEILING,
    UNDELIVERED,
    above_threshold,
    attempts_shares,
    limit_text,
    threshold_of,
)

SLACK: Final = 0.8
"""A trouble that is there ends below this part of its thresholds, so that the verdict does not flap."""

DAY_EMAILS: Final = 50
"""Minimum number of undelivered or overdue emails for the rules on the share of a day."""
LATE_EMAILS: Final = 50
LATE_DELIVERIES: Final = 100
LATE_TIMES_NORMAL: Final = 2

_Rule: TypeAlias = Callable[[Snapshot, Alerts, LateDeliveries, float], Finding | None]


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
        return Finding(Mail.UNKNOWN, "no mail", f"no mail {AGES[age]}")
    for share, did, threshold in _too_few(snapshot, alerts, age):
        return Finding(
            Mail.UNKNOWN,
            "too few emails",
            f"too few emails to judge: {share.emails:,} of {share.all:,} attempts {did} {AGES[age]}",
            limit_text(threshold),
        )
    return _fine(snapshot, alerts)


def _fine(snapshot: Snapshot, alerts: Alerts) -> Finding:
    """With the shares of the longest age that is below the thresholds: an incident may have ended in it."""
    failed_shares, undelivered_shares = (
        attempts_shares(snapshot, stat) for stat in ("failed", "undelivered")
    )
    below = [
        age
        for age in snapshot.recent
        if failed_shares[age].value <= alerts.failed_ratio
        and undelivered_shares[age].value <= alerts.undelivered_ratio
    ]
    age = [*snapshot.recent, *below][-1]
    failed, undelivered = failed_shares[age], undelivered_shares[age]
    return Finding(Mail.FINE, "", f"{failed} of attempts failed, {undelivered} undelivered {AGES[age]}")


def _too_few(snapshot: Snapshot, alerts: Alerts, age: str) -> Iterator[tuple[Share, str, float]]:
    """The shares of the longest age that are above a threshold, with too few emails for its rule."""
    for spike in (FAILED, UNDELIVERED):
        share = attempts_shares(snapshot, spike.stat)[age]
        if share.emails < spike.emails or share.all < spike.attempts:
            limit = threshold_of(spike, snapshot, alerts)
            if share.value > limit:
                yield share, _did(spike.stat), limit
    share = attempts_shares(snapshot, "undelivered")[age]
    if share.emails < DAY_EMAILS and share.value > alerts.bounce_ratio:
        yield share, _did("undelivered"), alerts.bounce_ratio


def _did(stat: str) -> str:
    return "were undelivered" if stat == "undelivered" else stat


def _failed(snapshot: Snapshot, alerts: Alerts, _: LateDeliveries, slack: float) -> Finding | None:
    return above_threshold(FAILED, snapshot, alerts, slack)


def _undelivered(snapshot: Snapshot, alerts: Alerts, _: LateDeliveries, slack: float) -> Finding | None:
    return above_threshold(UNDELIVERED, snapshot, alerts, slack)


def _bounces(snapshot: Snapshot, alerts: Alerts, _: LateDeliveries, slack: float) -> Finding | None:
    share = attempts_shares(snapshot, "undelivered").get("24h")
    if share is None or share.emails < DAY_EMAILS * slack or share.value <= alerts.bounce_ratio * slack:
        return None
    figure = f"{share} of attempts undelivered {AGES['24h']}"
    return Finding(Mail.BOUNCING, Mail.BOUNCING.value, figure, limit_text(alerts.bounce_ratio))


def _slow(_: Snapshot, alerts: Alerts, deliveries: LateDeliveries, slack: float) -> Finding | None:
    short, long, earlier = deliveries
    normal = earlier.value if earlier.all >= LATE_DELIVERIES else 0.0
    threshold = max(alerts.late_ratio, min(LATE_TIMES_NORMAL * normal, NORMAL_CEILING))
    if long.emails < LATE_EMAILS * slack or long.all < LATE_DELIVERIES * slack:
        return None
    if min(short.value, long.value) <= threshold * slack:
        return None
    figure = f"{long} of deliveries {AGES['6h']} took longer than {duration_text(alerts.late_after)}"
    return Finding(Mail.LATE, "slow", figure, limit_text(threshold))


def _overdue(snapshot: Snapshot, alerts: Alerts, _: LateDeliveries, slack: float) -> Finding | None:
    if "24h" not in snapshot.recent:
        return None
    share = Share(snapshot.overdue, snapshot.recent["24h"].stat("total"))
    new = snapshot.overdue - snapshot.long_overdue
    if new < DAY_EMAILS * slack or share.value <= alerts.waiting_ratio * slack:
        return None
    waited = f"{snapshot.overdue:,} emails have waited for longer than {duration_text(alerts.waiting_after)}"
    figure = f"{waited}, {share} of the mail of 24 hours"
    return Finding(Mail.LATE, "overdue", figure, limit_text(alerts.waiting_ratio))


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
