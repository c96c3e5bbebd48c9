"""The rules of the verdict."""

from dataclasses import replace
from operator import sub
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.config.alerts import Alerts
from exporter.ledger.hourly import Hour
from exporter.ledger.snapshot import LONG_OVERDUE_SECONDS, RECENT_AGES, Snapshot
from exporter.ledger.totals import Totals
from exporter.observers import findings, spikes
from exporter.observers.deliveries import LateDeliveries
from exporter.observers.finding import Finding, Mail
from exporter.observers.findings import SLACK, judge
from exporter.observers.shares import Share
from exporter.observers.spikes import FAILED, UNDELIVERED
from exporter.operation import STATS
from grafana import thresholds
from tests.support.clock import SATURDAY
from tests.support.states import snapshot_of

ALERTS: Final = Alerts()
NO_DELIVERIES: Final = LateDeliveries(Share(0, 0), Share(0, 0), Share(0, 0))
EMPTY: Final = snapshot_of([])
Recent = dict[str, tuple[int, int, int]]
"""Attempts, failed and undelivered emails by age; longer ages have at least those of the shorter ones."""


def totals(attempts: int, failed: int, undelivered: int) -> Totals:
    stats = {"total": attempts, "attempts": attempts, "failed": failed, "undelivered": undelivered}
    return Totals(1, tuple(stats.get(stat, 0) for stat in STATS))


def seen(recent: Recent, **changes: object) -> Snapshot:
    """The mail of each age that is in no shorter one was created in one hour of it."""
    hours = {}
    before = (0, 0, 0)
    for age, hours_ago in (("1h", 1), ("6h", 4), ("24h", 12)):
        numbers = tuple(map(sub, recent[age], before))
        hours[hours_ago] = Hour(SATURDAY - 3600 * hours_ago, 1, numbers[0], *numbers)
        before = recent[age]
    made = replace(
        EMPTY,
        recent={age: totals(*numbers) for age, numbers in recent.items()},
        hours=tuple(hours[each] for each in sorted(hours, reverse=True)),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def verdict(
    snapshot: Snapshot, *, deliveries: LateDeliveries = NO_DELIVERIES, before: tuple[str, ...] = ()
) -> Finding:
    return judge(snapshot, ALERTS, deliveries, before)[0]


def same(attempts: int, failed: int = 0, undelivered: int = 0) -> Recent:
    """The same mail in every age: all of it is of the last minutes."""
    return dict.fromkeys(RECENT_AGES, (attempts, failed, undelivered))


def days(failed: int, attempts: int = 1000) -> tuple[Hour, ...]:
    """A week with the same mail in each hour."""
    start = SATURDAY - 7 * 86400
    return tuple(Hour(start + 3600 * n, 1, attempts, attempts, failed, 0) for n in range(168))


@pytest.mark.parametrize(
    ("snapshot", "mail", "figure"),
    [
        (seen(same(0)), "unknown", "no mail in the last 24 hours"),
        (seen(same(1000)), "fine", "0 % of attempts failed, 0 % undelivered in the last 24 hours"),
        (seen(same(1000, 50)), "fine", "5.0 % of attempts failed, 0 % undelivered in the last 24 hours"),
        (seen(same(1000, 480)), "failing", "48 % of attempts in the last hour"),
        (seen(same(1000, 51)), "failing", "5.1 % of attempts in the last hour"),
        # The last 15 minutes are fine again, and the share of the hour is not extreme.
        (seen({"15m": (100, 0, 0), "1h": (500, 100, 0), "6h": (3000, 100, 0), "24h": (9000, 100, 0)}), "fine",
         "1.1 % of attempts failed, 0 % undelivered in the last 24 hours"),
        (seen({"15m": (100, 0, 0), "1h": (500, 100, 0), "6h": (900, 300, 0), "24h": (900, 300, 0)}), "fine",
         "0 % of attempts failed, 0 % undelivered in the last 15 minutes"),
        # An extreme share of very recent mail is enough, also where the hour has hardly any of it.
        (seen({"15m": (20, 12, 0), "1h": (900, 12, 0), "6h": (3000, 12, 0), "24h": (9000, 12, 0)}), "failing",
         "60 % of attempts in the last 15 minutes"),
        # Too little mail in the last hour: older mail counts.
        (seen({"15m": (0, 0, 0), "1h": (9, 0, 0), "6h": (60, 30, 0), "24h": (400, 30, 0)}), "failing",
         "50 % of attempts since 20:00 UTC"),
        (seen({"15m": (0, 0, 0), "1h": (0, 0, 0), "6h": (0, 0, 0), "24h": (5000, 900, 0)}), "failing",
         "18 % of attempts since 12:00 UTC"),
        (seen({"15m": (0, 0, 0), "1h": (9, 0, 0), "6h": (60, 0, 0), "24h": (400, 90, 0)}), "fine",
         "0 % of attempts failed, 0 % undelivered in the last 6 hours"),
        # Newer mail of which there is enough shows that it is over, though the last hour has too little.
        (seen({"15m": (0, 0, 0), "1h": (9, 0, 0), "6h": (60, 0, 0), "24h": (900, 800, 0)}), "fine",
         "0 % of attempts failed, 0 % undelivered in the last 6 hours"),
        # Tiny accounts.
        (seen(same(3, 3)), "unknown", "too few emails to judge: 3 of 3 attempts failed in the last 24 hours"),
        (seen(same(60, 5)), "unknown",
         "too few emails to judge: 5 of 60 attempts failed in the last 24 hours"),
        (seen(same(40, 0, 9)), "unknown",
         "too few emails to judge: 9 of 40 attempts were undelivered in the last 24 hours"),
        (seen(same(40)), "fine", "0 % of attempts failed, 0 % undelivered in the last 24 hours"),
        # Bounces.
        (seen(same(1000, 0, 120)), "bouncing", "12 % of attempts undelivered in the last 6 hours"),
        (seen({"15m": (50, 0, 0), "1h": (200, 0, 0), "6h": (900, 0, 0), "24h": (2000, 0, 120)}), "bouncing",
         "6.0 % of attempts undelivered in the last 24 hours"),
        (seen(same(700, 0, 40)), "unknown",
         "too few emails to judge: 40 of 700 attempts were undelivered in the last 24 hours"),
        # What is normal for an account is not trouble.
        (seen(same(1000, 100), hours=days(80)), "fine",
         "10 % of attempts failed, 0 % undelivered in the last 24 hours"),
        (seen(same(1000, 300), hours=days(80)), "failing", "30 % of attempts in the last hour"),
        (seen(same(1000, 510), hours=days(400)), "failing", "51 % of attempts in the last hour"),
        # Late mail.
        (seen(same(1000), overdue=300), "late",
         "300 emails have waited for longer than 1h, 30 % of the mail of 24 hours"),
        (seen(same(1000), overdue=300, long_overdue=260), "fine",
         "0 % of attempts failed, 0 % undelivered in the last 24 hours"),
        (seen(same(0), oldest_processing_at=SATURDAY - 3 * 3600), "late",
         "an operation has been processing for 3h"),
        (seen(same(0), oldest_processing_at=SATURDAY - 2 * 3600), "unknown", "no mail in the last 24 hours"),
        (replace(EMPTY, recent={}), "unknown", "the window is shorter than 15 minutes"),
    ],
)  # fmt: skip
def test_verdict_of_one_snapshot(snapshot: Snapshot, mail: str, figure: str) -> None:
    """Each rule has its figure, and guards against too little mail."""
    found = verdict(snapshot)
    assert (found.mail, found.figure) == (mail, figure)


@pytest.mark.parametrize(
    ("deliveries", "mail"),
    [
        (LateDeliveries(Share(40, 100), Share(60, 300), Share(0, 0)), "late"),
        (LateDeliveries(Share(40, 100), Share(49, 300), Share(0, 0)), "fine"),
        (LateDeliveries(Share(40, 60), Share(60, 99), Share(0, 0)), "fine"),
        (LateDeliveries(Share(0, 100), Share(60, 300), Share(0, 0)), "fine"),
        (LateDeliveries(Share(40, 100), Share(60, 300), Share(200, 1000)), "fine"),
        (LateDeliveries(Share(90, 100), Share(260, 300), Share(900, 1000)), "late"),
    ],
)
def test_late_deliveries(deliveries: LateDeliveries, mail: str) -> None:
    """Both the hour and the six hours are above the threshold, which follows what is normal."""
    assert verdict(seen(same(1000)), deliveries=deliveries).mail == mail


def test_several_troubles_are_named_worst_first() -> None:
    """The first is the verdict."""
    snapshot = seen(same(1000, 480, 200), overdue=300, oldest_processing_at=SATURDAY - 9000)
    names = [each.name for each in judge(snapshot, ALERTS, NO_DELIVERIES)]
    assert names == ["failing", "bouncing", "overdue", "stuck"]


def test_finding_shows_its_threshold() -> None:
    """The one that was in force, which may follow what is normal."""
    assert verdict(seen(same(1000, 480))).threshold == "5 %"
    assert verdict(seen(same(1000, 480), hours=days(80))).threshold == "24 %"
    assert verdict(seen(same(1000), oldest_processing_at=SATURDAY - 9000)).threshold == "2h"


def test_own_thresholds_of_an_account_are_used() -> None:
    """They come from the settings."""
    strict, lenient = Alerts(failed_ratio=0.01), Alerts(failed_ratio=0.6)
    assert judge(seen(same(1000, 20)), strict, NO_DELIVERIES)[0].mail is Mail.FAILING
    assert judge(seen(same(1000, 480)), lenient, NO_DELIVERIES)[0].mail is Mail.FINE


def test_trouble_ends_below_the_threshold_at_which_it_begins() -> None:
    """An account at its threshold does not flap."""
    at_threshold, well_below = seen(same(1000, 45)), seen(same(1000, 39))
    assert verdict(at_threshold).mail is Mail.FINE
    assert verdict(at_threshold, before=("failing",)).mail is Mail.FAILING
    assert verdict(well_below, before=("failing",)).mail is Mail.FINE


def test_thresholds_are_those_of_the_alerts() -> None:
    """What pages somebody is not fine on the status page."""
    for ours, alert in ((FAILED, thresholds.FAILED), (UNDELIVERED, thresholds.UNDELIVERED)):
        assert (ours.emails, ours.attempts, ours.times_normal) == (
            alert.emails,
            alert.attempts,
            alert.times_normal,
        )
        assert ours.setting == alert.setting
        assert alert.ceiling == spikes.NORMAL_CEILING
        assert RECENT_AGES[ours.ages[1]] == alert.long
    late = thresholds.LATE
    assert (late.emails, late.attempts) == (findings.LATE_EMAILS, findings.LATE_DELIVERIES)
    assert late.times_normal == findings.LATE_TIMES_NORMAL
    assert findings.DAY_EMAILS == thresholds.DAY_EMAILS
    assert LONG_OVERDUE_SECONDS == thresholds.BACKLOG_NEW
    assert spikes.RECENT == thresholds.RECENT
    assert (spikes.RECENT_TIMES, spikes.RECENT_FLOOR, spikes.RECENT_CEILING) == (
        thresholds.RECENT_TIMES,
        thresholds.RECENT_FLOOR,
        thresholds.RECENT_CEILING,
    )


@st.composite
def recents(draw: st.DrawFn) -> Recent:
    """Ages that contain each other."""
    attempts = failed = undelivered = 0
    recent: Recent = {}
    for age in RECENT_AGES:
        more = draw(st.integers(0, 500))
        attempts += more
        failed += draw(st.integers(0, more))
        undelivered += draw(st.integers(0, more))
        recent[age] = (attempts, failed, undelivered)
    return recent


@given(recents(), st.booleans())
def test_mail_above_its_threshold_is_never_fine(recent: Recent, was_failing: bool) -> None:
    """Whatever the volumes: if all ages are above the threshold, the verdict is trouble or unknown."""
    found = verdict(seen(recent), before=("failing",) if was_failing else ())
    for index, ratio in ((1, ALERTS.failed_ratio), (2, ALERTS.undelivered_ratio)):
        if all(numbers[index] > ratio * numbers[0] for numbers in recent.values()):
            assert found.mail is not Mail.FINE


@given(recents())
def test_mail_below_its_thresholds_is_never_in_trouble(recent: Recent) -> None:
    """If no age is above a threshold, there is no trouble."""
    lowered = {
        age: (attempts, int(failed * 0.05), int(undelivered * 0.05))
        for age, (attempts, failed, undelivered) in recent.items()
    }
    assert verdict(seen(lowered)).mail in {Mail.FINE, Mail.UNKNOWN}


@given(recents())
def test_trouble_does_not_flap(recent: Recent) -> None:
    """The same snapshot again gives the same verdict, and one that names at least the same troubles."""
    first = judge(seen(recent), ALERTS, NO_DELIVERIES)
    names = {each.name for each in first}
    again = judge(seen(recent), ALERTS, NO_DELIVERIES, names)
    if first[0].mail not in {Mail.FINE, Mail.UNKNOWN}:
        assert names <= {each.name for each in again}


@given(recents())
def test_slack_only_keeps_troubles(recent: Recent) -> None:
    """A trouble that was not there before does not begin earlier because of another one."""
    fresh = {each.name for each in judge(seen(recent), ALERTS, NO_DELIVERIES)}
    kept = {each.name for each in judge(seen(recent), ALERTS, NO_DELIVERIES, ("bouncing",))}
    assert ("failing" in fresh) == ("failing" in kept)
    assert 0 < SLACK < 1
