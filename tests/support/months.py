"""Months of six kinds of accounts as series, with scripted incidents: what a perfect exporter would expose.

The lives of simulated operations become samples directly, without HTTP and polls: an account's month takes a
second. The whole exporter is tested with the same rules in tests/system.
"""

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Final, NamedTuple, TypeAlias

from exporter.config.alerts import Alerts
from exporter.simulator.life import DELIVERED, FAILED, OPENED, QUEUED, SENT, UNDELIVERED, Event, Life
from exporter.simulator.scenarios import SCENARIOS, Mix
from exporter.simulator.traffic import draw_life
from tests.support.lives import sending_began_at

MINUTE: Final = 60.0
HOUR: Final = 3600.0
DAY: Final = 24 * HOUR
DAYS: Final = 30
STEP: Final = 300.0
"""Of polls, scrapes and evaluations, in seconds."""
RECENT: Final = {"15m": 900.0, "1h": HOUR, "6h": 6 * HOUR, "24h": DAY}
DEFAULTS: Final = Alerts()
ORDINARY: Final = Mix()
_AT_ONCE: Final = Mix(scheduled_share=0.0)
"""Incidents have no scheduled mail, which would carry them into the days after."""
_SETTLED: Final = (DELIVERED, UNDELIVERED, FAILED)

Rate: TypeAlias = Callable[[float], float]
"""Operations per hour at an instant; seconds since Monday 00:00, the start of the month."""


class Harm(NamedTuple):
    """What an incident does to the mail created in it."""

    what: str
    alerts: tuple[str, ...]
    """The first one must fire; the others may."""
    mix: Mix = ORDINARY
    delay_seconds: float = 0.0
    """Added to every delivery."""
    rate: float = 1.0
    """Factor of the traffic."""


_SPIKE_FAILED = "TwilioEmailFailedSpike"
_SPIKE_UNDELIVERED = "TwilioEmailUndeliveredSpike"
_BOUNCES = "TwilioEmailBounceRateHigh"
_SLOW = "TwilioEmailDeliverySlow"
_BACKLOG = "TwilioEmailBacklog"
_STOPPED = "TwilioEmailTrafficStopped"
MAIL_ALERTS: Final = (_SPIKE_FAILED, _SPIKE_UNDELIVERED, _BOUNCES, _SLOW, _BACKLOG, _STOPPED)

FAILING: Final = Harm("80 % of the mail fails", (_SPIKE_FAILED,), replace(_AT_ONCE, failed_share=0.8))
BOUNCING: Final = Harm(
    "70 % of the mail bounces",
    (_SPIKE_UNDELIVERED, _BOUNCES, _BACKLOG),
    replace(_AT_ONCE, undelivered_share=0.7),
)
LISTED: Final = Harm(
    "7 % of the mail bounces",
    (_BOUNCES, _BACKLOG),  # mail that bounces waits for up to three hours
    replace(_AT_ONCE, undelivered_share=0.07),
)
SLOW: Final = Harm("deliveries take 40 minutes longer", (_SLOW,), _AT_ONCE, delay_seconds=40 * MINUTE)
SLOWER: Final = Harm("deliveries take 5 hours longer", (_SLOW, _BACKLOG), _AT_ONCE, delay_seconds=5 * HOUR)
HELD: Final = Harm("mail waits for 12 hours", (_BACKLOG, _SLOW), _AT_ONCE, delay_seconds=12 * HOUR)
STOPPED: Final = Harm("the application stops", (_STOPPED,), rate=0.0)


class Incident(NamedTuple):
    harm: Harm
    begins: float
    lasts: float


@dataclass(frozen=True)
class Kind:
    """A kind of account: its traffic, and the incidents of its month."""

    name: str
    rate: Rate
    incidents: tuple[Incident, ...]
    most_emails: int = 300
    fewest_emails: int = 1
    batch_emails: int = 0
    """An operation with this many emails each Tuesday at 10:00."""
    alerts: Alerts = DEFAULTS
    """The account's own thresholds."""


def _hour(at: float) -> float:
    return at % DAY / HOUR


def _by_day(at: float) -> float:
    return 1 + 0.6 * (1 - abs(_hour(at) - 14) / 6) if _hour(at) >= 2 else 0.4


def _steady(at: float) -> float:
    return 15 * _by_day(at)


def _between_newsletters(at: float) -> float:
    return 3 * _by_day(at)


def _tiny(at: float) -> float:
    return 2 * _by_day(at)


def _growing(at: float) -> float:
    return 10 * _by_day(at) * (1 + 0.5 * at / (DAYS * DAY))


def _office(at: float) -> float:
    return 25.0 if at // DAY % 7 < 5 and 8 <= _hour(at) < 18 else 0.0


def _nightly(at: float) -> float:
    return 120.0 if 2 <= _hour(at) < 3 else 1.0


def _days(*plan: tuple[Harm, int, float, float]) -> tuple[Incident, ...]:
    return tuple(Incident(harm, day * DAY + hour * HOUR, hours * HOUR) for harm, day, hour, hours in plan)


_USUAL: Final = _days(
    (FAILING, 9, 10, 3),
    (BOUNCING, 11, 10, 3),
    (SLOW, 15, 9, 8),
    (HELD, 17, 9, 7),
    (LISTED, 21, 8, 48),
    (STOPPED, 25, 9, 8),
)
KINDS: Final = (
    Kind("steady", _steady, _USUAL),
    Kind("weekday only", _office, _USUAL),
    Kind(
        "one large newsletter a week",
        _between_newsletters,
        _days(
            (FAILING, 8, 9, 3),
            (BOUNCING, 15, 9, 3),
            (SLOWER, 22, 9, 6),
            (LISTED, 29, 9, 12),
        ),
        batch_emails=20_000,
        alerts=Alerts(late_after=4 * HOUR, waiting_after=4 * HOUR),  # it takes three hours to send
    ),
    Kind(
        "nightly batch",
        _nightly,
        _days(
            (FAILING, 9, 2, 1),
            (BOUNCING, 12, 2, 1),
            (SLOW, 16, 2, 1),
            (HELD, 20, 2, 1),
            (LISTED, 24, 1.5, 1.5),  # the whole batch: a part of it is too little
        ),
    ),
    Kind(
        "tiny",
        _tiny,
        _days((FAILING._replace(rate=15.0), 12, 11, 3), (BOUNCING._replace(rate=30.0), 20, 11, 4)),
        most_emails=3,
    ),
    Kind("growing by half", _growing, _USUAL),
)


def lives(kind: Kind, seed: int, incidents: tuple[Incident, ...], days: int = DAYS) -> Iterator[Life]:
    """The operations of a month, drawn minute by minute."""
    rng = random.Random(f"{kind.name}:{seed}")
    scenario = replace(SCENARIOS["steady"], fewest_emails=kind.fewest_emails, most_emails=kind.most_emails)
    batch = replace(scenario, fewest_emails=kind.batch_emails, most_emails=kind.batch_emails)
    for minute in range(int(days * DAY / MINUTE)):
        at = minute * MINUTE
        harm = next((each.harm for each in incidents if 0 <= at - each.begins < each.lasts), None)
        expected = kind.rate(at) / 60 * (harm.rate if harm else 1.0)
        number = int(expected) + (rng.random() < expected % 1)
        mix = harm.mix if harm else ORDINARY
        for _ in range(number):
            life = draw_life(rng, at + MINUTE * rng.random(), scenario, mix)
            yield _delayed(life, harm.delay_seconds) if harm else life
        if kind.batch_emails and at % (7 * DAY) == DAY + 10 * HOUR:
            life = draw_life(rng, at, batch, replace(mix, scheduled_share=0.0))
            yield _delayed(life, harm.delay_seconds) if harm else life


def _delayed(life: Life, seconds: float) -> Life:
    moved = (DELIVERED, OPENED)
    events = [each._replace(at=each.at + seconds) if each.target in moved else each for each in life.events]
    return replace(life, events=tuple(sorted(events, key=lambda each: each.at)))


@dataclass
class Series:
    """Sums by series, kept as changes at steps."""

    changes: dict[str, dict[int, float]] = field(default_factory=dict)

    def add(self, name: str, first: float, value: float, last: float | None = None) -> None:
        """From the first step at or after `first` until the last one at or before `last`, in seconds."""
        changes = self.changes.setdefault(name, {})
        begin = max(0, -int(-first // STEP))
        end = None if last is None else int(last // STEP) + 1
        if end is None or begin < end:
            changes[begin] = changes.get(begin, 0.0) + value
            if end is not None:
                changes[end] = changes.get(end, 0.0) - value

    def values(self, days: int) -> Mapping[str, list[float]]:
        steps = range(int(days * DAY / STEP) + 1)
        return {
            name: list(accumulate(changes.get(step, 0.0) for step in steps))
            for name, changes in self.changes.items()
        }


def series(
    operations: Iterator[Life], account: str, alerts: Alerts, days: int = DAYS
) -> Mapping[str, list[float]]:
    """The samples that the mail alerts read, by series."""
    found = Series()
    labels = f'account="{account}",instance="a:1",job="mail"'
    for status in ("delivered", "undelivered", "failed"):
        found.add(f'twilio_email_outcomes_total{{{labels},status="{status}"}}', 0.0, 0.0)
    for name in ("late_deliveries_total", "attempts_total", "operations_total", "overdue_emails"):
        found.add(f"twilio_email_{name}{{{labels}}}", 0.0, 0.0)
    for life in operations:
        _add(found, labels, life, alerts)
    values = dict(found.values(days))
    steps = len(next(iter(values.values())))
    values[f"twilio_email_exporter_last_success_timestamp_seconds{{{labels}}}"] = [
        step * STEP for step in range(steps)
    ]
    values[f"twilio_email_exporter_poll_interval_seconds{{{labels}}}"] = [STEP] * steps
    values[f'twilio_email_exporter_polls_total{{{labels},outcome="success"}}'] = list(
        map(float, range(steps))
    )
    return values


def _add(found: Series, labels: str, life: Life, alerts: Alerts) -> None:
    began = sending_began_at(life)
    found.add(f"twilio_email_operations_total{{{labels}}}", life.created_at, 1)
    total = f'twilio_email_recent_total_emails{{{labels},created_within="24h"}}'
    found.add(total, life.created_at, life.emails, life.created_at + DAY)
    for event in life.events:
        _add_attempts(found, labels, life, event)
        _add_outcome(found, labels, life, event, began or life.created_at, alerts)
    if began is not None:
        waiting = sum(each.emails for each in life.events if each.target == QUEUED)
        settled = sum(each.emails for each in life.events if each.target in _SETTLED)
        overdue = f"twilio_email_overdue_emails{{{labels}}}"
        found.add(overdue, began + alerts.waiting_after, waiting - settled, life.created_at + 7 * DAY)


def _add_attempts(found: Series, labels: str, life: Life, event: Event) -> None:
    if event.attempts:
        found.add(f"twilio_email_attempts_total{{{labels}}}", event.at, event.attempts)
        for name, age in RECENT.items():
            attempts = f'twilio_email_recent_attempts{{{labels},created_within="{name}"}}'
            found.add(attempts, event.at, event.attempts, life.created_at + age)


def _add_outcome(found: Series, labels: str, life: Life, event: Event, began: float, alerts: Alerts) -> None:
    if event.source not in (QUEUED, SENT) or event.target not in _SETTLED:
        return
    status = {DELIVERED: "delivered", UNDELIVERED: "undelivered", FAILED: "failed"}[event.target]
    found.add(f'twilio_email_outcomes_total{{{labels},status="{status}"}}', event.at, event.emails)
    if status == "delivered" and event.at - began > alerts.late_after:
        found.add(f"twilio_email_late_deliveries_total{{{labels}}}", event.at, event.emails)
    if status != "delivered":
        for name, age in RECENT.items():
            emails = f'twilio_email_recent_emails{{{labels},created_within="{name}",status="{status}"}}'
            found.add(emails, event.at, event.emails, life.created_at + age)
    if event.at > began + alerts.waiting_after:
        found.add(
            f"twilio_email_overdue_emails{{{labels}}}", began + alerts.waiting_after, event.emails, event.at
        )
