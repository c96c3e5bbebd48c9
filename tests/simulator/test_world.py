"""The world: what it generates from a seed, and what a test scripts into it."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from exporter.operation import Operation
from exporter.simulator.ids import new_id
from exporter.simulator.readings import Readings
from exporter.simulator.scenarios import QUIET, SCENARIOS, Episode
from exporter.simulator.world import RETENTION_SECONDS, World
from tests.simulator.ask import an_operation
from tests.support.clock import SATURDAY

DAY_SECONDS = 86_400.0


def a_week(name: str = "steady", **world: Any) -> World:
    return World(SCENARIOS[name], started=SATURDAY, **world)


def share(operations: list[Operation], stat: str) -> float:
    """Of all emails of these operations."""
    emails = sum(getattr(operation.stats, stat) or 0 for operation in operations)
    return emails / sum(operation.stats.total or 0 for operation in operations)


def test_the_same_seed_gives_the_same_world() -> None:
    """A world is its scenario, seed and start; in which order it is looked at does not matter."""
    forwards, backwards = a_week(), a_week()
    backwards.listed(SATURDAY - 3600, None, None, SATURDAY)
    assert forwards.visible(SATURDAY) == backwards.visible(SATURDAY)
    assert forwards.visible(SATURDAY) != a_week(seed=2).visible(SATURDAY)


def test_a_world_begins_with_its_history() -> None:
    """Steady traffic fills the seven days before the start with about 30 operations an hour."""
    seen = a_week().visible(SATURDAY)
    assert 4500 < len(seen) < 5600
    assert all(SATURDAY - RETENTION_SECONDS <= operation.created_at <= SATURDAY for operation in seen)
    assert len({operation.id for operation in seen}) == len(seen)
    statuses = Counter(operation.status for operation in seen)
    assert min(statuses[status] for status in ("scheduled", "completed", "canceled")) > 0
    sizes = [operation.stats.total for operation in seen]
    assert all(size and 1 <= size <= 300 for size in sizes)
    assert {1, 2, 3} < set(sizes)


def test_days_are_busier_than_nights() -> None:
    """Early afternoon brings more operations than the small hours."""
    hours = Counter(int(operation.created_at // 3600) % 24 for operation in a_week().visible(SATURDAY))
    assert hours[14] > 2 * hours[2]


def test_operations_age_out() -> None:
    """Seven days after creation an operation is gone from lists and fetches."""
    world = World.empty()
    old = an_operation(created_at=SATURDAY)
    world.put(old)
    assert world.find(old.id, SATURDAY + RETENTION_SECONDS) == old
    assert world.find(old.id, SATURDAY + RETENTION_SECONDS + 1) is None
    assert world.visible(SATURDAY + RETENTION_SECONDS + 1) == []
    assert world.find(old.id, SATURDAY - 1) is None


def test_a_generated_operation_is_found_by_its_id() -> None:
    """What a listing shows is what a fetch finds, at any instant."""
    world = a_week()
    for operation in world.listed(SATURDAY - DAY_SECONDS, None, None, SATURDAY):
        assert world.find(operation.id, SATURDAY) == operation


@pytest.mark.parametrize(
    "unknown",
    [
        "",
        "comms_operation_",
        "comms_operation_7" + "z" * 25,
        "comms_operation_0" + "a" * 30,
        new_id(1, SATURDAY),
    ],
)
def test_an_unknown_id_is_not_found(unknown: str) -> None:
    """Ids of other forms, times and accounts find nothing."""
    assert a_week().find(unknown, SATURDAY) is None


def test_put_replaces_at_once() -> None:
    """A second record of an id takes the place of the first, even with another creation time."""
    world = World.empty()
    first = an_operation()
    second = first._replace(status="processing", created_at=first.created_at - DAY_SECONDS)
    world.put(first)
    world.put(second)
    assert world.visible(SATURDAY) == [second]
    assert world.find(first.id, SATURDAY) == second


def test_put_wins_over_generated() -> None:
    """A scripted record hides the generated one of the same id."""
    world = a_week()
    generated = world.visible(SATURDAY)[0]
    scripted = generated._replace(status="canceled")
    world.put(scripted)
    assert world.find(generated.id, SATURDAY) == scripted
    assert [seen for seen in world.visible(SATURDAY) if seen.id == generated.id] == [scripted]


@pytest.mark.parametrize("scripted", [False, True])
def test_remove_and_restore(scripted: bool) -> None:
    """A removed operation is gone from lists and fetches until it is restored or put again."""
    world = World.empty() if scripted else a_week()
    world.put(*[an_operation()] if scripted else [])
    seen = world.visible(SATURDAY)[0]
    world.remove(seen.id)
    assert world.find(seen.id, SATURDAY) is None
    assert seen not in world.visible(SATURDAY)
    world.restore(seen.id)
    assert world.find(seen.id, SATURDAY) == seen
    assert seen in world.visible(SATURDAY)
    world.remove(seen.id)
    world.put(seen)
    assert world.find(seen.id, SATURDAY) == seen


def test_listed_filters() -> None:
    """A listing holds what was created between its bounds, both inside, with the status asked for."""
    world = World.empty()
    records = [an_operation(number, SATURDAY - 100 * number) for number in range(5)]
    records[2] = records[2]._replace(status="processing")
    world.put(*records)
    assert world.listed(SATURDAY - 300, SATURDAY - 100, None, SATURDAY) == records[1:4]
    assert world.listed(SATURDAY - 300, SATURDAY - 100, "completed", SATURDAY) == [records[1], records[3]]
    assert world.listed(SATURDAY - 100, SATURDAY - 300, None, SATURDAY) == []


@pytest.mark.parametrize(
    ("name", "stat", "usual", "least"),
    [("failure-spike", "failed", 0.03, 0.6), ("undelivered-spike", "undelivered", 0.04, 0.5)],
)
def test_a_spike_shows(name: str, stat: str, usual: float, least: float) -> None:
    """While the spike is on, many new operations come, and most of their emails go wrong within a minute."""
    world = a_week(name)
    before = world.listed(None, SATURDAY, None, SATURDAY + 120)
    during = world.listed(SATURDAY + 120, SATURDAY + 180, None, SATURDAY + 720)
    after = world.listed(SATURDAY + 721, SATURDAY + 2500, None, SATURDAY + 4000)
    assert share(before, stat) < usual
    assert len(during) >= 5
    assert share(during, stat) > least
    assert share(after, stat) < 2 * usual


def test_a_spike_reaches_over_the_hour() -> None:
    """A spike that begins in one hour and ends in the next has operations in both."""
    scenario = replace(
        SCENARIOS["failure-spike"], spike=Episode(3000, 1200, 100_000), operations_per_hour=0.0
    )
    world = World(scenario, started=SATURDAY)
    seen = [operation.created_at - SATURDAY for operation in world.visible(SATURDAY + 7000)]
    assert 3000 <= min(seen) < 3600 < max(seen) < 4200
    assert 120 < len(seen) < 280


def test_updated_at_follows_the_readings() -> None:
    """The readings decide whether updatedAt moves with opens and bounces after COMPLETED."""
    still = World(SCENARIOS["steady"], started=SATURDAY, readings=Readings(updated_at="until_final"))
    pairs = list(zip(a_week().visible(SATURDAY), still.visible(SATURDAY), strict=True))
    assert all(moving.updated_at >= standing.updated_at for moving, standing in pairs)
    assert any(moving.updated_at > standing.updated_at for moving, standing in pairs)


def test_a_busy_week_costs_nothing_to_start() -> None:
    """Only the hours someone looks at are drawn, each once while it is held, and few are held."""
    world = a_week("busy", held_operations=7000)
    assert not world._hours
    hour = int(SATURDAY // 3600)
    newest = world.rows(hour - 1)
    assert 2700 < len(newest) < 3300
    world.find(newest[0].id, SATURDAY)
    assert list(world._hours) == [hour - 1]
    assert world.rows(hour - 1)[0] is newest[0]
    for back in (2, 3, 4):
        world.rows(hour - back)
    assert list(world._hours) == [hour - 3, hour - 4]
    drawn_again = world.rows(hour - 1)[0]
    assert drawn_again is not newest[0]
    assert drawn_again == newest[0]


def test_an_hour_larger_than_all_that_is_held() -> None:
    """The hour being looked at is kept, however large."""
    world = a_week("busy", held_operations=10)
    assert len(world.rows(0)) == len(world.rows(0)) > 2700


def test_a_quiet_world_is_empty() -> None:
    """Without traffic of its own a world holds nothing but what is put."""
    assert World(QUIET, started=SATURDAY).visible(SATURDAY) == []
