"""What bench.requests counts: that the stand-in asks what the wire asks, and that the arithmetic is right."""

import pytest

from bench.requests import Asked, EvenTwilio, compared, fewest_lists, measure, steady
from exporter.simulator.world import World
from tests.support.clock import ManualClock
from tests.support.rig import POLL, poller_of, rigged

PER_WEEK = 3000


def test_fewest_lists() -> None:
    """One page where all fits; else the recent part, and of the rest a fifteenth."""
    assert fewest_lists(1000) == 1
    assert fewest_lists(10_000) == 1 + 10 / 15
    assert fewest_lists(1_000_000) == 12 + 989 / 15


async def test_stand_in_is_asked_what_twilio_is_asked() -> None:
    """The same operations over HTTP, through client and simulator: the same requests in every poll."""
    clock = ManualClock()
    twilio, world = EvenTwilio(PER_WEEK, clock), World.empty()
    poller = poller_of("even", twilio, clock)
    async with rigged(world, clock, requests_per_second=1e9) as rig:
        put_from = clock.now() - POLL.lookback
        for _ in range(12):
            numbers = twilio.numbers(put_from, clock.now())
            world.put(*map(twilio.operation, numbers))
            put_from = clock.now() - 2 * 86400  # what may still change
            await poller.poll()
            await rig.poll()
            assert rig.requests() == {"list": twilio.lists, "fetch": twilio.fetches}
            twilio.lists = twilio.fetches = 0
            clock.advance(POLL.interval)


async def test_small_account_costs_one_list_and_its_unfinished() -> None:
    """And no more."""
    asked = await measure(100)
    assert (asked.lists, asked.fewest_lists) == (1, 1)
    assert asked.fetches == asked.unfinished


async def test_larger_account_is_near_the_floor() -> None:
    """Slices are whole pages."""
    asked = await measure(10_000)
    assert all(row.met for row in compared(10_000, asked))
    assert asked.lists < 2.1


def test_what_is_above_the_goal_is_told() -> None:
    """Of lists and of fetches each by themselves."""
    lists, fetches = compared(10_000, Asked(lists=4.0, fetches=2.0, fewest_lists=2.0, unfinished=2.0))
    assert (lists.value, lists.met, fetches.met) == (2.0, False, True)
    (_, fetches) = compared(100, Asked(lists=1.0, fetches=1.0, fewest_lists=1.0, unfinished=0.0))
    assert fetches.met is False


async def test_fetches_of_steady_are_told_apart() -> None:
    """Some of what is fetched the listing had just shown, most of it not."""
    fetches = await steady(polls=5)
    assert 0 < fetches.just_listed < fetches.fetches
    assert fetches.fetches == pytest.approx(40, abs=20)
