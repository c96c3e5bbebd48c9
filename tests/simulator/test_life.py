"""The rules of an operation's life, for lives of every scenario and mix."""

import random
from dataclasses import replace
from itertools import pairwise
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.operation import EMAIL_STATUSES, FINAL_STATUSES, ID_PATTERN, Operation
from exporter.simulator.ids import created_ms, new_id
from exporter.simulator.life import (
    CANCELED,
    DELIVERED,
    OPENED,
    QUEUED,
    SCHEDULED,
    SENT,
    Event,
    Life,
    operation_at,
)
from exporter.simulator.readings import Readings, States, UpdatedAt
from exporter.simulator.scenarios import QUIET, Mix
from exporter.simulator.traffic import draw_life
from tests.support.clock import SATURDAY
from tests.support.lives import arrived, deliveries, sending_began_at, waiting

unhurried = settings(deadline=None)  # the machine may be busy with other tests
LONGEST_SECONDS = 300 * 3600.0

shares = st.floats(0, 1)
mixes = st.builds(
    Mix,
    failed_share=shares,
    undelivered_share=shares,
    opened_share=shares,
    bounce_within_seconds=st.floats(10, 50_000),
    scheduled_share=shares,
    canceled_share=shares,
    late_share=shares,
    late_within_seconds=st.floats(120, 50_000),
)


@st.composite
def lives(draw: st.DrawFn) -> Life:
    scenario = replace(QUIET, most_emails=draw(st.sampled_from([1, 3, 300, 5000])))
    created_at = SATURDAY + draw(st.floats(0, 3600))
    return draw_life(random.Random(draw(st.integers())), created_at, scenario, draw(mixes))


readings = st.builds(
    Readings,
    states=st.sampled_from(get_args(States)),
    updated_at=st.sampled_from(get_args(UpdatedAt)),
)


@st.composite
def stories(draw: st.DrawFn) -> tuple[Life, list[Operation]]:
    """A life, and what is seen of it at rising instants, those of its events among them."""
    life = draw(lives())
    ages = draw(st.lists(st.floats(0, LONGEST_SECONDS), max_size=20))
    instants = sorted([event.at for event in life.events] + [life.created_at + age for age in ages])
    shown = draw(readings)
    return life, [operation_at(life, now, shown) for now in instants]


def stat(operation: Operation, name: str) -> int:
    value: int | None = getattr(operation.stats, name)
    assert value is not None
    return value


@unhurried
@given(lives(), st.floats(0, LONGEST_SECONDS))
def test_each_email_is_in_exactly_one_status(life: Life, age: float) -> None:
    """Exclusive states sum to the total at every instant, and none is negative."""
    operation = operation_at(life, life.created_at + age)
    assert all(isinstance(value, int) and value >= 0 for value in operation.stats)
    assert sum(stat(operation, name) for name in EMAIL_STATUSES) == stat(operation, "total") == life.emails


@unhurried
@given(lives(), st.floats(0, LONGEST_SECONDS))
def test_cumulative_states_contain_those_that_follow(life: Life, age: float) -> None:
    """Opened ≤ delivered ≤ sent ≤ total; each state is at least the exclusive one, only these two differ."""
    now = life.created_at + age
    exclusive, cumulative = (operation_at(life, now, Readings(states=states)) for states in get_args(States))
    was_sent = stat(cumulative, "sent")
    delivered, undelivered = stat(cumulative, "delivered"), stat(cumulative, "undelivered")
    assert stat(cumulative, "opened") <= delivered <= delivered + undelivered <= was_sent <= life.emails
    assert delivered == stat(exclusive, "delivered") + stat(exclusive, "opened") == arrived(life, now)
    assert was_sent == delivered + undelivered + stat(exclusive, "sent")
    assert cumulative.stats._replace(sent=0, delivered=0) == exclusive.stats._replace(sent=0, delivered=0)
    assert cumulative._replace(stats=exclusive.stats) == exclusive


@unhurried
@given(lives(), st.floats(0, LONGEST_SECONDS))
def test_the_truth_about_a_life(life: Life, age: float) -> None:
    """Waiting, arrived and settled emails add up; nothing is delivered before sending began."""
    now = life.created_at + age
    operation = operation_at(life, now)
    settled = sum(stat(operation, name) for name in ("scheduled", "failed", "undelivered", "canceled"))
    assert waiting(life, now) + arrived(life, now) + settled == life.emails
    began = sending_began_at(life)
    assert began is None or began >= life.created_at
    assert (began is None or began > now) == (operation.status in {"scheduled", "canceled"})
    assert all(began is not None and delivery.at >= began for delivery in deliveries(life))


@unhurried
@given(lives(), st.floats(0, LONGEST_SECONDS))
def test_updated_at_in_each_reading(life: Life, age: float) -> None:
    """It moves with every change, not after the final status, or with the status only."""
    now = life.created_at + age
    always, until_final, with_status = (
        operation_at(life, now, Readings(updated_at=reading)) for reading in get_args(UpdatedAt)
    )
    past = [event for event in life.events if event.at <= now]
    assert always.updated_at == max([life.created_at, *(event.at for event in past)])
    assert with_status.updated_at == max([life.created_at, *(event.at for event in past if event.status)])
    assert with_status.updated_at <= until_final.updated_at <= always.updated_at
    assert until_final.updated_at == (with_status if always.is_final else always).updated_at
    assert always.stats == until_final.stats == with_status.stats


@unhurried
@given(stories())
def test_what_never_falls(story: tuple[Life, list[Operation]]) -> None:
    """Attempts, updatedAt and the terminal email statuses never fall in any reading."""
    _, seen = story
    for before, after in pairwise(seen):
        assert before.updated_at <= after.updated_at
        for name in ("total", "attempts", "failed", "undelivered", "canceled", "opened"):
            assert stat(before, name) <= stat(after, name)


@unhurried
@given(stories())
def test_status_goes_one_way(story: tuple[Life, list[Operation]]) -> None:
    """An operation goes SCHEDULED, PROCESSING, COMPLETED, or to CANCELED, and what is final stays so."""
    _, seen = story
    ranks = {"scheduled": 0, "processing": 1, "completed": 2, "canceled": 2}
    statuses = [operation.status for operation in seen]
    assert [ranks[status] for status in statuses] == sorted(ranks[status] for status in statuses)
    assert len(FINAL_STATUSES & set(statuses)) <= 1


@unhurried
@given(stories())
def test_nothing_waits_in_a_final_operation(story: tuple[Life, list[Operation]]) -> None:
    """COMPLETED means that all emails have been processed; while SCHEDULED nothing has been attempted."""
    _, seen = story
    for operation in seen:
        if operation.is_final:
            assert stat(operation, "scheduled") == stat(operation, "queued") == 0
        if operation.status == "scheduled":
            assert stat(operation, "attempts") == 0


@unhurried
@given(lives())
def test_a_life_is_in_order(life: Life) -> None:
    """Events follow each other in time after creation; the id matches Twilio's pattern and tells the time."""
    instants = [life.created_at, *(event.at for event in life.events)]
    assert instants == sorted(instants)
    assert ID_PATTERN.fullmatch(life.id)
    assert created_ms(life.id) == round(life.created_at * 1000)


LIFE = Life(
    new_id("one"),
    100.0,
    2,
    (
        Event(110.0, SCHEDULED, QUEUED, 2, status="processing"),
        Event(120.0, QUEUED, SENT, 2, attempts=3),
        Event(120.0, QUEUED, QUEUED, 0, status="completed"),
        Event(180.0, SENT, DELIVERED, 2),
        Event(240.0, DELIVERED, OPENED, 1),
    ),
)


@pytest.mark.parametrize(
    ("now", "status", "updated_at", "attempts", "delivered", "opened"),
    [
        (100.0, "scheduled", 100.0, 0, 0, 0),
        (110.0, "processing", 110.0, 0, 0, 0),
        (120.0, "completed", 120.0, 3, 0, 0),
        (239.0, "completed", 180.0, 3, 2, 0),
        (240.0, "completed", 240.0, 3, 1, 1),
    ],
)
def test_one_life(
    now: float, status: str, updated_at: float, attempts: int, delivered: int, opened: int
) -> None:
    """Delivered falls when a mail is opened; attempts may exceed the total."""
    operation = operation_at(LIFE, now)
    assert (operation.status, operation.updated_at) == (status, updated_at)
    assert [stat(operation, name) for name in ("attempts", "delivered", "opened")] == [
        attempts,
        delivered,
        opened,
    ]


def test_updated_may_stand_still_after_final() -> None:
    """In that reading updatedAt stays at the completion while stats continue to change."""
    operation = operation_at(LIFE, 1e9, Readings(updated_at="until_final"))
    assert operation.updated_at == 120.0
    assert stat(operation, "opened") == 1


def test_a_canceled_operation() -> None:
    """A canceled operation has canceled every email."""
    life = Life(new_id("two"), 100.0, 5, (Event(110.0, SCHEDULED, CANCELED, 5, status="canceled"),))
    operation = operation_at(life, 110.0)
    assert operation.status == "canceled"
    assert stat(operation, "canceled") == 5
