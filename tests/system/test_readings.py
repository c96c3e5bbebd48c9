"""Every reading of the open questions, through the whole poller: numbers are right or absent in each."""

from bisect import bisect_right
from contextlib import suppress
from dataclasses import replace
from itertools import product
from typing import Final, get_args

import pytest

from exporter.errors import TwilioError
from exporter.ledger.counters import DELAY_BUCKETS, DELAY_LABELS
from exporter.ledger.snapshot import WAITING_AGES, Snapshot
from exporter.operation import Operation
from exporter.simulator.life import Life
from exporter.simulator.readings import Order, PageFilters, Readings, States, UpdatedAt
from exporter.simulator.scenarios import SCENARIOS, Episode, Scenario
from exporter.simulator.world import World
from tests.support import lives
from tests.support.clock import SATURDAY, ManualClock
from tests.support.rig import rigged

INTERVAL: Final = 300.0
HOUR: Final = 3600.0
WEEK: Final = 7 * 24 * HOUR
LOOKBACK: Final = 30 * HOUR
POLLS: Final = 24

READINGS: Final = [
    Readings(states, updated_at, order, inclusive, page_filters)
    for states, updated_at, order, inclusive, page_filters in product(
        *(get_args(each) for each in (States, UpdatedAt, Order)), (True, False), get_args(PageFilters)
    )
]


def name_of(readings: Readings) -> str:
    bounds = "inclusive" if readings.inclusive else "exclusive"
    return f"{readings.states}-{readings.updated_at}-{readings.order}-{bounds}-{readings.page_filters}"


def mixed(scenario: str, operations_per_hour: float, scheduled_hours: float) -> Scenario:
    """Some mail now and some scheduled for the next hours, so that a short test sees both arrive."""
    usual = SCENARIOS[scenario]
    mix = replace(usual.mix, scheduled_share=0.3, scheduled_within_hours=scheduled_hours)
    return replace(usual, operations_per_hour=operations_per_hour, most_emails=60, fewest_emails=1, mix=mix)


class Follower:
    """What the polls have seen of a world, and what must follow from it, computed without the ledger.

    All lower and upper bounds are those that the contract of the numbers allows: a delivery happened after
    the last reply that did not show it, and before the first that did.
    """

    def __init__(self, world: World, coverage: float) -> None:
        self._world = world
        self._coverage = coverage
        self._seen_at: dict[str, float] = {}
        self._lives: dict[str, Life] = {}
        self._delivered: dict[str, int] = {}
        self._scheduled: set[str] = set()
        self.delivered = 0
        self.shortest = self.longest = 0.0
        """Bounds of the sum of all delays, in seconds."""

    def follow(self, now: float) -> None:
        """Take in what the poll at `now` has seen."""
        self._lives = {life.id: life for life in lives.lives(self._world, now - LOOKBACK, now)}
        for life in self._lives.values():
            found = self._world.state(life, now)
            self._deliver(found, now)
            if found.status == "scheduled":
                self._scheduled.add(found.id)
            self._seen_at[found.id] = now

    def _deliver(self, found: Operation, now: float) -> None:
        known = self._delivered.get(found.id, None if found.created_at < self._coverage else 0)
        value = found.stats.delivered or 0
        if known is not None and value > known:
            life = self._lives[found.id]
            earliest = self._seen_at.get(found.id, found.created_at)
            began = self.began_at(life)
            slack = 0.0 if began == found.created_at else INTERVAL  # it is seen to begin one poll later
            self.delivered += value - known
            self.shortest += (value - known) * max(0.0, earliest - began - slack)
            self.longest += (value - known) * max(0.0, now - began)
        self._delivered[found.id] = max(value, known or 0)

    def began_at(self, life: Life) -> float:
        """When sending began, or when it was created, if it was never seen scheduled."""
        began = lives.sending_began_at(life)
        return began if life.id in self._scheduled and began is not None else life.created_at

    def waiting(self, now: float, age: float) -> int:
        old = (life for life in self._lives.values() if self.began_at(life) <= now - age)
        return sum(lives.waiting(life, now) for life in old)

    def arrived(self, now: float, age: float) -> int:
        young = (life for life in self._lives.values() if life.created_at >= now - age)
        return sum(lives.arrived(life, now) for life in young)


def delays_of(snapshot: Snapshot) -> float:
    return sum(snapshot.counts["delay", label] for label in DELAY_LABELS)


def check(snapshot: Snapshot, follower: Follower, readings: Readings, now: float) -> None:
    assert snapshot.counts["stat", "delivered"] == delays_of(snapshot) == follower.delivered
    assert follower.shortest - 1e-3 <= snapshot.counts["delay_sum", ""] <= follower.longest + 1e-3
    assert snapshot.evidence.reading in {readings.states, "undetermined"}
    if snapshot.evidence.reading == readings.states:
        assert snapshot.arrived == follower.arrived(now, LOOKBACK)
        assert snapshot.recent_arrived["24h"] == follower.arrived(now, 24 * HOUR)
        assert snapshot.recent_arrived["15m"] == follower.arrived(now, 900.0)
    elif snapshot.arrived is not None:
        assert snapshot.arrived == follower.arrived(now, LOOKBACK)
    for name, age in WAITING_AGES.items():
        assert snapshot.waiting[name] <= follower.waiting(now, age)
    assert snapshot.overdue == snapshot.waiting["1h"]


@pytest.mark.parametrize("readings", READINGS, ids=name_of)
async def test_numbers_are_right_or_absent_in_every_reading(
    readings: Readings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gauges, counters, delays, waiting and arrived emails; pages are small, so that tokens are used."""
    monkeypatch.setattr("exporter.twilio.protocol.PAGE_SIZE", 20)
    world = World(mixed("slow-providers", 8.0, 4.0), started=SATURDAY, readings=readings)
    clock = ManualClock()
    async with rigged(world, clock, lookback=LOOKBACK, interval=INTERVAL, requests_per_second=1e9) as rig:
        follower = Follower(world, clock.now())
        for _ in range(POLLS):
            snapshot = await rig.poll()
            follower.follow(clock.now())
            check(snapshot, follower, readings, clock.now())
            clock.advance(INTERVAL)
        assert follower.delivered > 50
        assert snapshot.evidence.reading == readings.states


MONTH_INTERVAL: Final = 1800.0
MONTH_DAYS: Final = 30
EXPORTER_IS_DOWN: Final = (11.3 * 24 * HOUR, 11.4 * 24 * HOUR)
"""From and until which second of the month nothing is polled."""


def true_delays(world: World, since: float, until: float) -> list[float]:
    """The delay of every email that was delivered in between."""
    delays = []
    for life in lives.lives(world, since - WEEK, until):
        ahead = lives.is_scheduled_ahead(life)
        began = lives.sending_began_at(life) if ahead else life.created_at
        for delivery in lives.deliveries(life):
            if began is not None and since < delivery.at <= until:
                delays += [delivery.at - began] * delivery.emails
    return sorted(delays)


@pytest.mark.long
async def test_delays_of_a_month_are_within_an_interval_of_the_truth() -> None:
    """For 99 of 100 emails, at every edge of the histogram: with scheduled campaigns, slow providers, errors
    of Twilio, and two hours without an exporter."""
    usual = mixed("slow-providers", 2.0, 100.0)
    scenario = replace(usual, trouble="outage", trouble_episode=Episode(7 * HOUR, HOUR, 200 * HOUR))
    readings = Readings("cumulative", "until_final")  # of these, the delivered emails are known exactly
    world = World(scenario, started=SATURDAY, readings=readings, held_operations=1_000_000)
    clock = ManualClock()
    async with rigged(world, clock, interval=MONTH_INTERVAL, requests_per_second=1e9) as rig:
        while clock.monotonic() < MONTH_DAYS * 24 * HOUR:
            if not EXPORTER_IS_DOWN[0] <= clock.monotonic() < EXPORTER_IS_DOWN[1]:
                with suppress(TwilioError):
                    snapshot = await rig.poll()
            clock.advance(MONTH_INTERVAL - clock.monotonic() % MONTH_INTERVAL)
    expected = true_delays(world, SATURDAY, snapshot.as_of)
    counted = snapshot.counts
    assert counted["stat", "delivered"] == delays_of(snapshot) == len(expected) > 10_000
    reached, tolerated = 0.0, 0.01 * len(expected)
    for bound in DELAY_BUCKETS:
        reached += counted["delay", str(bound)]
        assert reached <= bisect_right(expected, bound + MONTH_INTERVAL) + tolerated
        assert reached >= bisect_right(expected, bound - MONTH_INTERVAL) - tolerated
