"""Generates the operations of an hour for a scenario; the same seed gives the same operations.

Pure: all randomness comes from the seed and the hour. Emails change status in batches, not one by one: a
large operation costs a few dozen events, and a page of a thousand operations takes tens of milliseconds.
"""

import math
import random
from collections.abc import Iterator
from operator import itemgetter
from typing import Final

from exporter.simulator.ids import operation_id
from exporter.simulator.life import (
    CANCELED,
    DELIVERED,
    FAILED,
    OPENED,
    QUEUED,
    SCHEDULED,
    SENT,
    UNDELIVERED,
    Event,
    Life,
)
from exporter.simulator.scenarios import Mix, Scenario

HOUR_SECONDS: Final = 3600
RETRIED_SHARE: Final = 0.04
STUCK_SHARE: Final = 0.002
"""Share of the sent emails that never get an outcome."""
_by_time: Final = itemgetter(0)


def draw_hour(scenario: Scenario, seed: int, hour: int, started: float) -> dict[str, Life]:
    """All operations created in an hour, by id, oldest first. `hour` is in hours since 1970."""
    rng = random.Random(f"{seed}:{hour}")
    lives = sorted(_drawn(scenario, rng, hour, started), key=lambda life: life.created_at)
    return {life.id: life for life in lives}


def _drawn(scenario: Scenario, rng: random.Random, hour: int, started: float) -> Iterator[Life]:
    begin = float(hour * HOUR_SECONDS)
    usual = scenario.operations_per_hour * (1 + scenario.diurnal_swing * _daylight(hour))
    for at in _instants(rng, begin, begin + HOUR_SECONDS, usual):
        spiking = scenario.spike and scenario.spike.remaining_seconds(at - started)
        yield draw_life(rng, at, scenario, scenario.spike_mix if spiking else scenario.mix)
    if scenario.spike:
        for first, last in scenario.spike.spans(begin - started, begin - started + HOUR_SECONDS):
            for at in _instants(rng, first + started, last + started, scenario.spike_operations_per_hour):
                yield draw_life(rng, at, scenario, scenario.spike_mix)


def _daylight(hour: int) -> float:
    """From -1 at 02:00 to 1 at 14:00 UTC."""
    return math.sin((hour % 24 - 8) / 24 * math.tau)


def _instants(rng: random.Random, first: float, last: float, per_hour: float) -> Iterator[float]:
    expected = per_hour * (last - first) / HOUR_SECONDS
    for _ in range(round(rng.gauss(expected, math.sqrt(expected)))):
        yield first + (last - first) * rng.random()


def draw_life(rng: random.Random, created_at: float, scenario: Scenario, mix: Mix) -> Life:
    created_ms = int(created_at * 1000)
    created_at = created_ms / 1000
    operation = operation_id(created_ms, rng.getrandbits(80))
    few, many = scenario.fewest_emails, scenario.most_emails
    emails = int(few * ((many + 1) / few) ** rng.random())
    starts_at = created_at + rng.uniform(0.5, 5.0)
    if rng.random() < mix.scheduled_share:
        starts_at += HOUR_SECONDS * mix.scheduled_within_hours * rng.random() ** 3
        if rng.random() < mix.canceled_share:
            at = round(rng.uniform(created_at, starts_at), 3)
            return Life(operation, created_at, emails, (_canceled(at, emails),))
    return Life(operation, created_at, emails, tuple(_sending(rng, starts_at, emails, mix)))


def _canceled(at: float, emails: int) -> Event:
    return Event(at, SCHEDULED, CANCELED, emails, status="canceled")


def _sending(rng: random.Random, starts_at: float, emails: int, mix: Mix) -> list[Event]:
    """Events from PROCESSING to the last open."""
    events = [Event(round(starts_at, 3), SCHEDULED, QUEUED, emails, status="processing")]
    failed = _some(rng, emails, mix.failed_share)
    at = starts_at
    for batch in _batches(emails - failed, 1 + emails // 40):
        at += rng.uniform(0.5, 1.0 + batch)
        events += _sent(rng, at, batch, mix)
    for batch in _batches(failed, 1 + failed // 40):
        at += rng.uniform(0.2, 2.0)
        events.append(Event(round(at, 3), QUEUED, FAILED, batch, batch * rng.randint(1, 3)))
    events.append(Event(round(at, 3), QUEUED, QUEUED, 0, status="completed"))
    events.sort(key=_by_time)
    return events


def _sent(rng: random.Random, at: float, emails: int, mix: Mix) -> Iterator[Event]:
    """Events of one batch: sending and outcomes."""
    yield Event(round(at, 3), QUEUED, SENT, emails, emails + _some(rng, emails, RETRIED_SHARE))
    undelivered = _some(rng, emails, mix.undelivered_share)
    delivered = emails - undelivered
    delivered -= _some(rng, delivered, STUCK_SHARE)
    late = _some(rng, delivered, mix.late_share)
    if undelivered:
        bounced_at = at + 2 + (mix.bounce_within_seconds - 2) * rng.random() ** 2
        yield Event(round(bounced_at, 3), SENT, UNDELIVERED, undelivered)
    if late:
        yield Event(round(at + rng.uniform(120, mix.late_within_seconds), 3), SENT, DELIVERED, late)
    if prompt := delivered - late:
        at += rng.uniform(1.0, 60.0)
        yield Event(round(at, 3), SENT, DELIVERED, prompt)
        for batch in _batches(_some(rng, prompt, mix.opened_share), 3):
            opened_at = at + 5 + min(rng.expovariate(1 / 7200), 48 * HOUR_SECONDS)
            yield Event(round(opened_at, 3), DELIVERED, OPENED, batch)


def _some(rng: random.Random, emails: int, share: float) -> int:
    """A random number near that share of the emails."""
    return min(emails, int(emails * share * rng.uniform(0.7, 1.3) + rng.random()))


def _batches(emails: int, at_most: int) -> Iterator[int]:
    """Splits into batches of nearly equal size; no batch is empty."""
    parts = min(emails, at_most)
    for part in range(parts):
        yield emails * (part + 1) // parts - emails * part // parts
