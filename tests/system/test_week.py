"""A simulated week: after every poll the gauges equal the simulator's own truth."""

from dataclasses import replace

import pytest

from exporter.operation import Operation
from exporter.simulator.readings import Readings
from exporter.simulator.scenarios import SCENARIOS
from exporter.simulator.world import World
from tests.support.clock import SATURDAY, ManualClock
from tests.support.rig import POLL, TOP_FAILING, Rig, rigged
from tests.support.truth import snapshot_of

DAY = 86400.0


async def follow(rig: Rig, days: float, step: float) -> int:
    """Poll for some days; returns how many operations were seen in all."""
    seen: set[str] = set()
    while rig.clock.monotonic() < days * DAY:
        rig.simulator.journal.clear()
        snapshot = await rig.poll()
        now = rig.clock.now()
        truth: list[Operation] = rig.simulator.world.visible(now)
        expected = snapshot_of(
            truth,
            now,
            lookback=POLL.lookback,
            count=TOP_FAILING,
            counts=snapshot.counts,
            began=rig.poller._ledger._store.began,
        )
        assert snapshot == expected
        assert rig.last_poll.skipped_fetches == 0
        seen |= {each.id for each in truth}
        rig.clock.advance(step - rig.clock.monotonic() % step)
    return len(seen)


@pytest.mark.long
async def test_gauges_equal_the_truth_after_every_poll_of_a_week() -> None:
    """Thousands of operations live, are delivered, bounce and age out; none of it is missed or doubled.

    The interval is stretched to an hour and the world stands still during a poll, so that "after
    every poll" has one truth to be held against.
    """
    scenario = replace(SCENARIOS["steady"], operations_per_hour=12.0, most_emails=20)
    world = World(scenario, started=SATURDAY, readings=Readings(order="shuffled", empty_page_every=3))
    clock = ManualClock()
    async with rigged(world, clock, interval=3600.0, requests_per_second=1e9) as rig:
        assert await follow(rig, days=8, step=3600.0) > 3000


async def test_gauges_equal_the_truth_when_nothing_tells_of_late_changes() -> None:
    """The same with an `updatedAt` that stands still once an operation is completed."""
    scenario = replace(SCENARIOS["steady"], operations_per_hour=12.0, most_emails=20)
    world = World(scenario, started=SATURDAY, readings=Readings(updated_at="until_final"))
    async with rigged(world, ManualClock(), interval=3600.0, requests_per_second=1e9) as rig:
        await follow(rig, days=2, step=3600.0)


async def test_sliced_listing_is_at_most_a_sweep_behind_the_truth() -> None:
    """A large account's older part is read in slices: the sums lie between the truths of then and now."""
    scenario = replace(SCENARIOS["steady"], operations_per_hour=20.0, most_emails=10)
    world = World(scenario, started=SATURDAY)
    async with rigged(world, ManualClock(), requests_per_second=1e9, page_size=300) as rig:
        for _ in range(40):
            snapshot = await rig.poll()
            now = rig.clock.now()
            truth = world.visible(now)
            recent = snapshot_of(truth, now, lookback=POLL.lookback, count=20).recent
            assert snapshot.recent["1h"] == recent["1h"], "the recent part is never behind"
            assert snapshot.tracked_operations == len(truth)
            rig.clock.advance(60)
        assert rig.requests()["list"] > 40, "it was read in slices"
        before = {each.id: each for each in world.visible(now - POLL.sweep_interval)}
        for each in rig.poller._ledger:  # what is known of each is not older than a sweep
            assert each.id not in before or each.updated_at >= before[each.id].updated_at
